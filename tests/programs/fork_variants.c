/* fork_variants: all ways to become two, each child's opens its own, the parent's unharmed.
 * Trap: 100 opens then fork reported 200 (AppScope); a child made by clone or a raw system call writes under
 * its parent's number; CLONE_VM children share every byte of the sensor's state. Each child opens
 * `child-<how>` three times and exits with its own status; the parent then opens `parent-<how>`.
 * run: (no arguments)
 */
#include "victim.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

static char stack[256 * 1024] __attribute__((aligned(64)));

static void opens(const char *who, const char *how, int times) {
    char path[64];
    snprintf(path, sizeof path, "%s-%s", who, how);
    for (int i = 0; i < times; i++)
        if (touch(path) != 0) _exit(97);
}

static int clone_child(void *how) {
    opens("child", how, 3);
    return 11;
}

static int clone_exec_child(void *path) {
    char *arguments[] = {path, NULL};
    execv(path, arguments);
    return 98;
}

/* Runs inside fork, before it returns in the child: libuv closes its pipes here. */
static void in_child(void) {
    opens("child", "handler", 2);
}

static void finish(const char *how, pid_t pid) {
    if (pid < 0) say("%s failed: errno %d\n", how, errno);
    else reap(how, pid);
    opens("parent", how, 2);
}

int main(void) {
    opens("parent", "before", 100);
    pid_t pid = fork();
    if (pid == 0) opens("child", "fork", 3), _exit(10);
    finish("fork", pid);

#ifdef __GLIBC__
    pid = _Fork();
    if (pid == 0) opens("child", "_Fork", 3), _exit(10);
    finish("_Fork", pid);
#endif
#ifdef SYS_fork
    pid = syscall(SYS_fork);
    if (pid == 0) opens("child", "sys_fork", 3), _exit(10);
    finish("sys_fork", pid);
#endif
    pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) opens("child", "sys_clone", 3), _exit(10);
    finish("sys_clone", pid);

    struct clone_args arguments = {.exit_signal = SIGCHLD};
    pid = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid == 0) opens("child", "sys_clone3", 3), _exit(10);
    finish("sys_clone3", pid);

    pid = clone(clone_child, stack + sizeof stack, SIGCHLD, "clone");
    finish("clone", pid);
    pid = clone(clone_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, "clone_vm_vfork");
    finish("clone_vm_vfork", pid);
    pid = clone(clone_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, "clone_files");
    finish("clone_files", pid);
    pid = clone(clone_child, stack + sizeof stack, CLONE_VM | SIGCHLD, "clone_vm");
    finish("clone_vm", pid);
    pid = clone(clone_exec_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, "/bin/true");
    finish("clone_exec", pid);

    /* A child of a child, and a child that forks after its parent is gone. */
    pid = fork();
    if (pid == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) opens("child", "grandchild", 3), _exit(12);
        reap("grandchild", grandchild);
        opens("child", "middle", 3);
        _exit(13);
    }
    finish("middle", pid);
    MUST(pthread_atfork(NULL, NULL, in_child) == 0);
    pid = fork();
    if (pid == 0) opens("child", "handler", 1), _exit(14);
    finish("handler", pid);
    opens("parent", "after", 100);
    SHOW(waitpid(-1, NULL, 0));
    return 0;
}
