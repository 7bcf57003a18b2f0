/* attached: a program of four threads that runs already when it is attached to (tests/tests/notify_attach.rs).
 * Trap: each thread waits in another call, the first one in the call that is named; all of them must go on as
 * if nothing was. Then each opens a file through libc, and one by an instruction of its own, and starts nothing;
 * at last the first one executes a program.
 * Usage: attached CALL [filter|profile|deadly|begins]: read, poll, nanosleep, epoll, or recv with a time limit;
 * with a seccomp filter that allows everything, in one thread or in all, or in all that kills where another one is
 * installed, or where the kernel continues a call (restart_syscall).
 * build: -pthread
 */
#include "waits.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define NO_CALL 0xffffffffu

static int go, epoll;

static long raw_open(const char *path) {
#ifdef __aarch64__
    register long number asm("x8") = SYS_openat, mode asm("x3") = 0600, flags asm("x2") = O_CREAT | O_WRONLY | O_CLOEXEC;
    register const char *named asm("x1") = path;
    register long result asm("x0") = AT_FDCWD;
    asm volatile("svc 0" : "+r"(result) : "r"(number), "r"(named), "r"(flags), "r"(mode) : "memory");
#else
    long result;
    register long mode asm("r10") = 0600;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(SYS_openat), "D"(AT_FDCWD), "S"(path), "d"(O_CREAT | O_WRONLY | O_CLOEXEC), "r"(mode)
                 : "rcx", "r11", "memory");
#endif
    return result;
}

static void deed(const char *name) {
    char path[64];
    snprintf(path, sizeof path, "attached.libc.%s", name);
    int by_libc = touch(path);
    snprintf(path, sizeof path, "attached.raw.%s", name);
    long raw = raw_open(path);
    if (raw >= 0) close(raw);
    say("%s: %d %d\n", name, by_libc, raw < 0 ? (int)raw : 0);
}

static void wait_in(const char *call) {
    if (waits_in(call, go)) return;
    if (!strcmp(call, "epoll")) {
        struct epoll_event event;
        SHOW(epoll_wait(epoll, &event, 1, 20000));
    } else if (!strcmp(call, "recv")) {
        char byte;
        int pair[2];
        struct timeval limit = {2, 0};
        MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        MUST(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
        SHOW(recv(pair[0], &byte, 1, 0));
        close(pair[0]);
        close(pair[1]);
    }
}

/* Kills the process at one call. */
static void install(unsigned at) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, at, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static pthread_mutex_t turns[3];
static const char *filter = "";

static void *waits(void *argument) {
    long i = (long)argument;
    char name[16];
    if (i == 2 && !strcmp(filter, "filter")) install(NO_CALL);
    if (i == 2) MUST(touch("ready") == 0);
    pthread_mutex_lock(&turns[i]);
    snprintf(name, sizeof name, "thread-%ld", i);
    deed(name);
    return NULL;
}

int main(int argc, char **argv) {
    MUST(argc >= 2 && mkfifo("go", 0600) == 0 && (go = open("go", O_RDWR | O_CLOEXEC)) >= 0);
    MUST((epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0);
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, go, &(struct epoll_event){EPOLLIN, {0}}) == 0);
    if (argc > 2) filter = argv[2];
    if (!strcmp(filter, "deadly")) install(SYS_seccomp);
    if (!strcmp(filter, "begins")) install(SYS_restart_syscall);
    if (!strcmp(filter, "profile")) install(NO_CALL);
    pthread_t threads[3];
    for (long i = 0; i < 3; i++) pthread_mutex_lock(&turns[i]);
    for (long i = 0; i < 3; i++) MUST(pthread_create(&threads[i], NULL, waits, (void *)i) == 0);
    wait_in(argv[1]);
    if (!strcmp(argv[1], "nanosleep") || !strcmp(argv[1], "recv")) wait_in("poll");
    deed("first");
    for (long i = 0; i < 3; i++) {
        pthread_mutex_unlock(&turns[i]);
        pthread_join(threads[i], NULL);
    }
    say_descriptors("at the end");
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(9);
    }
    reap("child", child);
    return 7;
}
