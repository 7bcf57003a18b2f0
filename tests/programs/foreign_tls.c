/* foreign_tls: a child that shares its parent's memory runs with thread-local storage of its own making, all
 * zeroes.
 * Trap: what finds its thread-local block by the pointer at the start of that storage finds 0 there, and the
 * child dies. (Chromium's sandbox gives up its root directory in such a child.)
 * run: (no arguments)
 */
#include "victim.h"
#include <sched.h>

static char root[] = "/";

static int child(void *argument) {
    (void)argument;
    /* Nothing that fails: there is no errno to set. */
    if (chdir(root) != 0) _exit(1);
    if (chroot(root) != 0) _exit(2);
    int fd = open("/dev/null", O_RDONLY);
    if (fd < 0 || close(fd) != 0) _exit(3);
    _exit(42);
}

int main(void) {
    static _Alignas(64) char stack[65536], storage[65536];
    MUST(touch("before") == 0);
    int flags = CLONE_FS | CLONE_VM | CLONE_VFORK | CLONE_SETTLS | SIGCHLD;
    pid_t pid = clone(child, stack + sizeof stack, flags, NULL, NULL, storage + sizeof storage / 2, NULL);
    MUST(pid > 0);
    reap("child", pid);
    MUST(touch("after") == 0);
    return 0;
}
