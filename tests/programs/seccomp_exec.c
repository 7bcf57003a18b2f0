/* seccomp_exec: a launcher installs a filter that kills memfd_create, socket and friends, then execs a
 * program.
 * Trap: the sensor's own start (memfd, socket, sendmsg, futex) happens inside a filter that kills for it: the
 * program dies before main. Bare, it runs. (Sandboxes of browsers, systemd's SystemCallFilter with its
 * default action.)
 * Usage: seccomp_exec {kill|errno|trap}: what the filter does to memfd_create. With kill and trap nothing can
 * be tried out: the sensor must know before it asks.
 * run: kill | errno | trap
 */
#include "victim.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

static volatile sig_atomic_t trapped;
static void on_trap(int number) {
    (void)number;
    trapped++;
}

int main(int argc, char **argv) {
    static char self[4096];
    MUST(argc == 2);
    if (!strcmp(argv[1], "second")) {
        for (int i = 0; i < 10; i++) MUST(touch("inside") == 0);
        say("second image runs, trapped %d\n", (int)trapped);
        return 15;
    }
    MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    MUST(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0);
    signal(SIGSYS, on_trap);
    unsigned action = !strcmp(argv[1], "kill") ? SECCOMP_RET_KILL_PROCESS
                      : !strcmp(argv[1], "trap") ? SECCOMP_RET_TRAP : SECCOMP_RET_ERRNO | EPERM;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, action),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    execl(self, "seccomp_exec", "second", (char *)NULL);
    return 98;
}
