/* exec_in_vain: executes files that cannot be executed, in its own process and in children that end at once,
 * then becomes another user. A start of any of these files would be one that never was.
 * Usage: exec_in_vain NOEXEC: a program on a mount with that option; empty for none.
 * Output: the errors.
 */
#include "victim.h"

static void copy(const char *from, const char *to) {
    char bytes[65536];
    int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    MUST(in >= 0 && out >= 0);
    for (ssize_t len; (len = read(in, bytes, sizeof bytes)) > 0;) MUST(write(out, bytes, len) == len);
    MUST(close(in) == 0 && close(out) == 0);
}

static void try(const char *path) {
    char *argv[] = {(char *)path, NULL}, *none[] = {NULL};
    errno = 0;
    execve(path, argv, none);
    int error = errno;
    const char *name = strrchr(path, '/') + 1;
    say("%s: %s\n", name, strerror(error));
    /* Told by the kernel: the same program goes on. */
    char after[64];
    snprintf(after, sizeof after, "after-%s", name);
    int fd = open(after, O_CREAT | O_WRONLY, 0600);
    MUST(fd >= 0 && close(fd) == 0);
}

static void try_in_child(const char *path) {
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
        char *argv[] = {(char *)path, NULL}, *none[] = {NULL};
        execve(path, argv, none);
        _exit(7);
    }
    int status;
    MUST(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
}

int main(int argc, char **argv) {
    MUST(argc == 2);
    int text = open("text", O_CREAT | O_WRONLY, 0755);
    MUST(text >= 0 && write(text, "no program\n", 11) == 11 && fchmod(text, 0755) == 0 && close(text) == 0);
    MUST(symlink("loop", "loop") == 0);
    copy("/proc/self/exe", "busy");
    int busy = open("busy", O_WRONLY | O_APPEND);
    MUST(busy >= 0);
    try("./text");
    try("./loop");
    try("./missing");
    try("./busy");
    try_in_child("./text");
    try_in_child("./loop");
    MUST(close(busy) == 0);
    if (*argv[1] != 0) {
        try(argv[1]);
        try_in_child(argv[1]);
    }
    if (getuid() == 0) MUST(setgid(2) == 0 && setuid(1) == 0);
    MUST(unlink("text") == 0 || getuid() != 0);
    return 0;
}
