/* undescribed: a program starts where neither the kernel (before Linux 6.4) nor /proc (not mounted) says how
 * it was loaded.
 * Trap: the sensor finds no list of libraries, so no function to call on: _exit returns, and every other call
 * fails.
 * run: (no arguments)
 */
#include "victim.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#define GET_AUXV 0x41555856 /* PR_GET_AUXV */

static int inner(void) {
    SHOW(touch("made"));
    SHOW(open("/proc/self/auxv", O_RDONLY));
    pid_t pid = fork();
    if (pid == 0) _exit(3);
    reap("fork", pid);
    pid = vfork();
    if (pid == 0) _exit(4);
    reap("vfork", pid);
    say_status("system", system("exit 5"));
    return 6;
}

int main(int argc, char **argv) {
    if (argc > 1) return inner();
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, GET_AUXV, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    pid_t pid = fork();
    if (pid == 0) {
        MUST(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        MUST(mount("none", "/proc", "tmpfs", 0, NULL) == 0);
        MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
        execl(argv[0], argv[0], "inner", NULL);
        _exit(98);
    }
    reap("inner", pid);
    return 0;
}
