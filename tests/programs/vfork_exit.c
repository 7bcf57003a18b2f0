/* vfork_exit: a vfork child that ends or execs in its parent's memory; then the parent opens 50 files.
 * Trap: AppScope's child shuts its parent's reporting (0 of 50 opens); a vfork wrapped as a function returns
 * through a dead frame.
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    static volatile int shared;
    char *arguments[] = {"true", NULL};

    pid_t pid = vfork();
    if (pid == 0) {
        shared = 1; /* the same memory: visible to the parent */
        _exit(3);
    }
    say("child wrote %d\n", shared);
    reap("vfork _exit", pid);

    pid = vfork();
    if (pid == 0) {
        int fd = open("by-the-vfork-child", O_CREAT | O_WRONLY, 0600);
        shared = fd;
        close(fd);
        _exit(4);
    }
    say("child's fd %d\n", shared);
    reap("vfork open _exit", pid);

    pid = vfork();
    if (pid == 0) {
        execv("/bin/true", arguments);
        _exit(5);
    }
    reap("vfork exec", pid);

    pid = vfork();
    if (pid == 0) {
        execv("/missing/program", arguments);
        shared = errno;
        _exit(127);
    }
    say("failed exec: errno %d\n", shared);
    reap("vfork failed exec", pid);

    pid = vfork();
    if (pid == 0) {
        kill(getpid(), SIGKILL);
        _exit(6);
    }
    reap("vfork killed", pid);

    for (int i = 0; i < 200; i++) {
        pid = vfork();
        if (pid == 0) _exit(i & 1);
        MUST(waitpid(pid, NULL, 0) == pid);
    }
    for (int i = 0; i < 50; i++) {
        char path[32];
        snprintf(path, sizeof path, "parent.%d", i);
        MUST(touch(path) == 0);
    }
    say_descriptors("at the end");
    return 0;
}
