/* seccomp_filter: a filter that kills at anything but a short list; the listed calls are used hard.
 * Trap: an extra system call on the path of a hooked one (clock_gettime, futex, gettid, sendto) kills the
 * program.
 * Usage: seccomp_filter {file|socket|errno|forbidden}
 *   file: openat, open, close, read, write, fcntl, dup are all there is
 *   socket: socket calls are all there is
 *   errno: everything else gives EPERM instead of death; then a child is started by fork and exec under the filter
 *   forbidden: like file, then getppid, which must kill with SIGSYS
 * run: file | socket | errno | forbidden
 */
#include "victim.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static const int files[] = {
    SYS_read, SYS_write, SYS_openat, SYS_close, SYS_fcntl, SYS_dup, SYS_dup3, SYS_exit_group, SYS_rt_sigreturn,
    SYS_writev, SYS_readv, SYS_pread64, SYS_pwrite64,
#ifdef SYS_open
    SYS_open, SYS_dup2,
#endif
};
static const int sockets[] = {SYS_socket, SYS_bind, SYS_listen, SYS_connect, SYS_accept, SYS_accept4, SYS_sendto,
                              SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_getsockname, SYS_close, SYS_write, SYS_read,
                              SYS_exit_group, SYS_rt_sigreturn};
static const int denied[] = {SYS_memfd_create, SYS_futex, SYS_clock_gettime, SYS_gettid, SYS_socket, SYS_connect,
                             SYS_sendmsg, SYS_mremap, SYS_madvise, SYS_membarrier, SYS_getppid};

#define COUNT(list) (sizeof list / sizeof *list)

static void install(const int *list, size_t count, unsigned on_match, unsigned otherwise) {
    struct sock_filter code[128];
    size_t n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, list[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, on_match);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise);
    struct sock_fprog program = {n, code};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void use_files(void) {
    char buffer[16];
    int failed = 0;
    for (int i = 0; i < 300; i++) {
        int fd = open("filtered", O_CREAT | O_RDWR, 0600);
        int copy = dup(fd), high = fcntl(fd, F_DUPFD, 50);
        failed += write(copy, "12345", 5) != 5 || pread(fd, buffer, 5, 0) != 5 || high < 50;
        failed += dup2(fd, 60) != 60 || close(60) != 0;
        failed += close(fd) != 0 || close(copy) != 0 || close(high) != 0;
        failed += open("missing", O_RDONLY) != -1 || errno != ENOENT;
    }
    say("files: %d failed\n", failed);
}

int main(int argc, char **argv) {
    MUST(argc == 2 && setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0);
    MUST(touch("before") == 0);
    if (!strcmp(argv[1], "file") || !strcmp(argv[1], "forbidden")) {
        install(files, COUNT(files), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
        use_files();
        if (!strcmp(argv[1], "forbidden")) syscall(SYS_getppid);
    } else if (!strcmp(argv[1], "socket")) {
        install(sockets, COUNT(sockets), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
        char buffer[16];
        int failed = 0;
        for (int i = 0; i < 100; i++) {
            struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
            socklen_t len = sizeof address;
            int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
            failed += bind(server, (void *)&address, sizeof address) != 0 || listen(server, 1) != 0;
            failed += getsockname(server, (void *)&address, &len) != 0;
            failed += connect(client, (void *)&address, sizeof address) != 0;
            int accepted = accept4(server, NULL, NULL, 0);
            failed += send(client, "hello", 5, 0) != 5 || recv(accepted, buffer, 16, 0) != 5;
            close(server), close(client), close(accepted);
        }
        say("sockets: %d failed\n", failed);
    } else if (!strcmp(argv[1], "errno")) {
        install(denied, COUNT(denied), SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW);
        use_files();
        SHOW(syscall(SYS_getppid));
        pid_t pid = fork();
        if (pid == 0) {
            use_files();
            /* The new image's sensor can make neither memfd nor socket: it must stand aside. */
            execl("/bin/sh", "sh", "-c", "echo from the shell; : > by-the-shell; exit 4", (char *)NULL);
            _exit(98);
        }
        reap("child under the filter", pid);
    } else return 99;
    _exit(5);
}
