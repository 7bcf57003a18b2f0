/* apart: processes of user and mount namespaces of their own: by unshare(2) without a map of users and with one,
 * by clone(2), and by an exec there; ids that are set in a user namespace; chroot(2), which is no namespace.
 * Trap: a process may see another user, and other files, than its collector, from the middle of its life on.
 * Each lives long enough to be looked at.
 */
#include "victim.h"
#include <sched.h>

#define LOOK usleep(100000)

/* A name that says which mount namespace this is; made and removed. */
static void name_mounts(void) {
    struct stat here;
    char name[64];
    MUST(stat("/proc/self/ns/mnt", &here) == 0);
    snprintf(name, sizeof name, "mounts-%lu", (unsigned long)here.st_ino);
    MUST(touch(name) == 0 && unlink(name) == 0);
}

static void write_map(pid_t pid, const char *map) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/uid_map", (int)pid);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    MUST(fd >= 0 && write(fd, map, strlen(map)) == (ssize_t)strlen(map));
    close(fd);
}

/* Runs `body` in a child. */
static void in_child(void (*body)(void)) {
    pid_t child = fork();
    MUST(child >= 0);
    if (child == 0) {
        body();
        LOOK;
        _exit(0);
    }
    MUST(waitpid(child, NULL, 0) == child);
}

static void without_map(void) {
    touch("before-users");
    MUST(unshare(CLONE_NEWUSER) == 0);
    touch("unmapped");
}

static void by_grandchild(void) { touch("by-grandchild"); }

static void with_map(void) {
    MUST(unshare(CLONE_NEWUSER) == 0);
    LOOK;
    write_map(getpid(), "5 0 1");
    touch("mapped");
    in_child(by_grandchild);
    execl("/proc/self/exe", "apart", "inside", NULL);
    _exit(127);
}

static void with_mounts(void) {
    touch("before-mounts");
    MUST(chroot("/") == 0);
    touch("in-root");
    MUST(unshare(CLONE_NEWNS) == 0);
    name_mounts();
    in_child(name_mounts);
    execl("/proc/self/exe", "apart", "inside", NULL);
    _exit(127);
}

/* A user of the range, then another, in a namespace from the first instruction on. */
static void by_clone(void) {
    int gate[2];
    char byte;
    MUST(pipe2(gate, O_CLOEXEC) == 0);
    pid_t child = syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0);
    MUST(child >= 0);
    if (child == 0) {
        close(gate[1]);
        MUST(read(gate[0], &byte, 1) == 0);
        MUST(setresuid(0, 0, 0) == 0);
        LOOK;
        (void)open("as-root", O_RDONLY | O_CLOEXEC);
        MUST(setresuid(3, 3, 3) == 0);
        LOOK;
        (void)open("as-3", O_RDONLY | O_CLOEXEC);
        LOOK;
        _exit(0);
    }
    write_map(child, "0 100000 10");
    LOOK;
    close(gate[1]);
    close(gate[0]);
    MUST(waitpid(child, NULL, 0) == child);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "inside") == 0) {
        name_mounts();
        touch("executed");
        LOOK;
        return 0;
    }
    in_child(without_map);
    in_child(with_map);
    in_child(with_mounts);
    by_clone();
    touch("outside");
    return 0;
}
