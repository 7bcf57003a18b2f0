/* cancel: pthread_cancel of a thread that is blocked in a hooked call; its cleanup handlers must run.
 * Trap: `extern "C-unwind"` with panic = "abort" aborts the host there (rust-lang/rust#101469), redhook's
 * debug build too; mirrord holds a guard across the call. Without .eh_frame the handlers of -fexceptions code
 * are skipped.
 *
 * Usage: cancel CALL...   each in turn; `all` for every one.
 * Before each cancel the thread is known to sleep inside its system call (state S in /proc, twice).
 * build: -pthread -fexceptions -O1 -lresolv
 * run: all
 */
#include "victim.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static int pipe_read = -1, pipe_full = -1, quiet = -1, full = -1, listener = -1, datagram_full = -1, busy = -1;
static struct sockaddr_un busy_address = {.sun_family = AF_UNIX, .sun_path = "busy"};
static pid_t sleeper;
static char page[65536];
static struct iovec one = {page, sizeof page};

static volatile int handler_ran, attribute_ran, destructor_ran, outer_ran;
static volatile pid_t blocked_tid;
static pthread_key_t key;

static void handler(void *counter) { (*(volatile int *)counter)++; }
static void attribute(int *unused) {
    (void)unused;
    attribute_ran++;
}
static void destructor(void *unused) {
    (void)unused;
    destructor_ran++;
}

static void call_read(void) { read(pipe_read, page, 1); }
static void call_readv(void) { readv(pipe_read, &one, 1); }
static void call_write(void) { write(pipe_full, page, sizeof page); }
static void call_writev(void) { writev(pipe_full, &one, 1); }
static void call_open(void) { open("fifo", O_RDONLY); }
static void call_openat(void) { openat(AT_FDCWD, "fifo", O_WRONLY); }
static void call_creat(void) { creat("fifo", 0600); }
static void call_accept(void) { accept(listener, NULL, NULL); }
static void call_accept4(void) { accept4(listener, NULL, NULL, SOCK_CLOEXEC); }
static void call_connect(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connect(fd, (struct sockaddr *)&busy_address, sizeof busy_address); /* its backlog is full */
}
static void call_recv(void) { recv(quiet, page, 1, 0); }
static void call_recvfrom(void) { recvfrom(quiet, page, 1, 0, NULL, NULL); }
static void call_recvmsg(void) {
    struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1};
    recvmsg(quiet, &message, 0);
}
static void call_recvmmsg(void) {
    struct mmsghdr several[1] = {{.msg_hdr = {.msg_iov = &one, .msg_iovlen = 1}}};
    recvmmsg(quiet, several, 1, 0, NULL);
}
static void call_send(void) { send(full, page, sizeof page, 0); }
static void call_sendto(void) { sendto(full, page, sizeof page, 0, NULL, 0); }
static void call_sendmsg(void) {
    struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1};
    sendmsg(full, &message, 0);
}
static void call_sendmmsg(void) {
    struct mmsghdr several[1] = {{.msg_hdr = {.msg_iov = &one, .msg_iovlen = 1}}};
    sendmmsg(datagram_full, several, 1, 0);
}
static void call_waitpid(void) { waitpid(sleeper, NULL, 0); }
static void call_wait4(void) { wait4(sleeper, NULL, 0, NULL); }
static void call_waitid(void) {
    siginfo_t info;
    waitid(P_PID, sleeper, &info, WEXITED);
}
static void call_fcntl_lock(void) {
    struct flock whole = {.l_type = F_WRLCK};
    fcntl(busy, F_SETLKW, &whole);
}
static void call_poll(void) {
    struct pollfd readable = {pipe_read, POLLIN, 0};
    poll(&readable, 1, -1);
}
static void call_fgets(void) { fgets(page, sizeof page, fdopen(pipe_read, "r")); }
static void call_pause(void) { pause(); }
static void call_system(void) { system("exec sleep 1000"); }
#ifdef __GLIBC__
static void call_getaddrinfo(void) {
    struct addrinfo *found = NULL;
    struct sockaddr_in silent;
    socklen_t len = sizeof silent;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, "127.0.0.1", &silent.sin_addr);
    silent.sin_family = AF_INET, silent.sin_port = 0;
    bind(fd, (struct sockaddr *)&silent, sizeof silent);
    getsockname(fd, (struct sockaddr *)&silent, &len);
    res_init(); /* this thread's name server is a socket that never answers */
    _res.nsaddr_list[0] = silent, _res.nscount = 1, _res.retrans = 1000, _res.retry = 1;
    getaddrinfo("silent.example", "80", NULL, &found);
}
#endif

#define CALL(name) {#name, call_##name}
static const struct { const char *name; void (*run)(void); } calls[] = {
    CALL(read), CALL(readv), CALL(write), CALL(writev), CALL(open), CALL(openat), CALL(creat), CALL(accept),
    CALL(accept4), CALL(connect), CALL(recv), CALL(recvfrom), CALL(recvmsg), CALL(recvmmsg), CALL(send), CALL(sendto),
    CALL(sendmsg), CALL(sendmmsg), CALL(waitpid), CALL(waitid), CALL(fcntl_lock), CALL(poll), CALL(pause),
#ifdef __GLIBC__ /* no cancellation points on musl */
    CALL(fgets), CALL(wait4), CALL(system), CALL(getaddrinfo),
#endif
};

static void *blocked(void *run) {
    pthread_setspecific(key, run);
    pthread_cleanup_push(handler, (void *)&outer_ran);
    {
        __attribute__((cleanup(attribute))) int guarded = 0;
        pthread_cleanup_push(handler, (void *)&handler_ran);
        blocked_tid = syscall(SYS_gettid);
        ((void (*)(void))run)();
        say("  came back: errno %d\n", errno);
        pthread_cleanup_pop(0);
        (void)guarded;
    }
    pthread_cleanup_pop(0);
    return "returned";
}

/* Waits until the thread sleeps, and still sleeps in the same call a moment later. */
static void wait_until_asleep(void) {
    char path[64], text[512];
    int asleep = 0;
    for (int tries = 0; asleep < 5; tries++) {
        MUST(tries < 20000);
        usleep(1000);
        if (!blocked_tid) continue;
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", blocked_tid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
        if (fd >= 0) close(fd);
        if (len <= 0) continue;
        text[len] = 0;
        char *state = strrchr(text, ')');
        asleep = state && state[2] == 'S' ? asleep + 1 : 0;
    }
}

static void fill(int fd) {
    while (send(fd, page, 1024, MSG_DONTWAIT) > 0) {}
}

int main(int argc, char **argv) {
    int pair[2];
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "listener"};
    MUST(pipe(pair) == 0);
    pipe_read = pair[0];
    MUST(pipe(pair) == 0);
    pipe_full = pair[1];
    MUST(fcntl(pipe_full, F_SETFL, O_NONBLOCK) == 0);
    while (write(pipe_full, page, sizeof page) > 0) {}
    MUST(fcntl(pipe_full, F_SETFL, 0) == 0);
    MUST(mkfifo("fifo", 0600) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    quiet = pair[0];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    full = pair[0], fill(full);
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    datagram_full = pair[0], fill(datagram_full);
    MUST((listener = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
    int jammed = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(bind(jammed, (struct sockaddr *)&busy_address, sizeof busy_address) == 0 && listen(jammed, 0) == 0);
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        MUST(fd >= 0);
        if (connect(fd, (struct sockaddr *)&busy_address, sizeof busy_address) != 0) {
            close(fd);
            break;
        }
    }
    /* One child to be waited for, which also holds the lock that call_fcntl_lock waits for. */
    MUST((busy = open("locked", O_CREAT | O_RDWR, 0600)) >= 0);
    int ready[2];
    char byte;
    MUST(pipe(ready) == 0);
    sleeper = fork();
    if (sleeper == 0) {
        struct flock whole = {.l_type = F_WRLCK};
        if (fcntl(busy, F_SETLK, &whole) == 0) write(ready[1], "x", 1);
        for (;;) pause();
    }
    MUST(read(ready[0], &byte, 1) == 1);
    MUST(pthread_key_create(&key, destructor) == 0);

    int all = argc > 1 && !strcmp(argv[1], "all"), ran = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int wanted = all;
        for (int a = 1; a < argc; a++) wanted |= !strcmp(argv[a], calls[i].name);
        if (!wanted) continue;
        ran++;
        pthread_t thread;
        void *result = NULL;
        handler_ran = attribute_ran = destructor_ran = outer_ran = blocked_tid = 0;
        MUST(pthread_create(&thread, NULL, blocked, (void *)calls[i].run) == 0);
        wait_until_asleep();
        MUST(pthread_cancel(thread) == 0);
        MUST(pthread_join(thread, &result) == 0);
        say("%s: %s, handler %d, outer handler %d, cleanup attribute %d, key destructor %d\n", calls[i].name,
            result == PTHREAD_CANCELED ? "cancelled" : "not cancelled", handler_ran, outer_ran, attribute_ran,
            destructor_ran);
        MUST(touch("after-a-cancel") == 0);
    }
    MUST(ran > 0);
    kill(sleeper, SIGKILL);
    int status;
    MUST(waitpid(sleeper, &status, 0) == sleeper);
    SHOW(touch("at-the-end"));
    return 0;
}
