/* exec_failures: execs that fail, and the program that goes on.
 * Trap: a failed exec that leaves the sensor's state half changed, or another errno; posix_spawn returns the
 * number and leaves errno alone; execvp's fall-back to the shell for a file without a header.
 * run: (no arguments)
 */
#include "victim.h"
#include <spawn.h>

static void make(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
    MUST(chmod(path, mode) == 0);
}

int main(void) {
    char *arguments[] = {"zero", "one", NULL};
    char *loop[200002];
    pid_t pid = 777;

    make("plain-text", "not a program\n", 0600);
    make("no-header", "echo by the shell: $0 $1\n", 0700);
    make("bad-header", "#!/missing/interpreter\n", 0700);
    make("broken-elf", "\177ELF\2\1\1", 0700);
    MUST(mkdir("directory", 0700) == 0 && symlink("self", "self") == 0);

    SHOW(execve("missing", arguments, environ));
    SHOW(execve("plain-text", arguments, environ));
    SHOW(execve("no-header", arguments, environ)); /* ENOEXEC */
    SHOW(execve("bad-header", arguments, environ));
    SHOW(execve("broken-elf", arguments, environ));
    SHOW(execve("directory", arguments, environ));
    SHOW(execve("self", arguments, environ)); /* ELOOP */
    SHOW(execve("plain-text/below", arguments, environ));
    SHOW(execve("", arguments, environ));
    SHOW(execv("missing", arguments));
    SHOW(execvp("glassbox-no-such-program", arguments));
    SHOW(execvp("./missing", arguments));
    SHOW(execvp("", arguments));
    SHOW(execlp("glassbox-no-such-program", "zero", (char *)NULL));
    SHOW(fexecve(-1, arguments, environ));
    SHOW(fexecve(99, arguments, environ));
    SHOW(syscall(SYS_execveat, 99, "relative", arguments, environ, 0));
    SHOW(syscall(SYS_execveat, AT_FDCWD, "missing", arguments, environ, 0x7fff0000)); /* EINVAL */
    for (int i = 0; i < 200001; i++) loop[i] = "argument-that-fills";
    loop[200001] = NULL;
    SHOW(execve("/bin/true", loop, environ)); /* E2BIG: more than the stack may hold */

    SHOW(posix_spawn(&pid, "missing", NULL, NULL, arguments, environ));
    SHOW(posix_spawn(&pid, "plain-text", NULL, NULL, arguments, environ));
    SHOW(posix_spawnp(&pid, "glassbox-no-such-program", NULL, NULL, arguments, environ));
    say("pid %s\n", pid == 777 ? "untouched" : "written");

    /* What waits in a pipe is still there. */
    char left[16] = "", name[32];
    int ends[2];
    MUST(mkfifo("fifo", 0700) == 0);
    int fifo = open("fifo", O_RDWR | O_NONBLOCK);
    MUST(write(fifo, "waits", 5) == 5);
    SHOW(execve("fifo", arguments, environ));
    SHOW(read(fifo, left, sizeof left));
    MUST(pipe(ends) == 0 && write(ends[1], "waits", 5) == 5);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
    SHOW(execve(name, arguments, environ));
    SHOW(fexecve(ends[0], arguments, environ));
    SHOW(read(ends[0], left, sizeof left));

    setenv("PATH", ".:/usr/bin:/bin", 1);
    pid = fork();
    if (pid == 0) {
        execvp("no-header", arguments); /* execvp runs it by the shell */
        _exit(98);
    }
    reap("execvp without header", pid);
    pid = fork();
    if (pid == 0) {
        execlp("./no-header", "zero", "one", (char *)NULL);
        _exit(98);
    }
    reap("execlp without header", pid);
    SHOW(waitpid(-1, NULL, 0)); /* ECHILD: there is no other child */
    SHOW(touch("after"));
    say_descriptors("at the end");
    return 5;
}
