/* uring: files made, linked and removed, and a peer connected to, through an io_uring.
 * Trap: no call is made of what is asked for; the kernel may even take it without any call (SQPOLL), and
 * liburing makes its system calls itself. A tail that the program scribbles leads nowhere. A child may not
 * have the queue in its memory.
 * run: raw | polled | library | scribbled | gone | partly | forked
 */
#include "victim.h"
#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int fd, entries = 8;
static char *ring, *requests;
static struct io_uring_params parameters;

static void begin(unsigned flags) {
    parameters.flags = flags;
    parameters.sq_thread_idle = 1000;
    fd = syscall(SYS_io_uring_setup, entries, &parameters);
    if (fd < 0) {
        say("no io_uring\n");
        exit(0);
    }
    ring = mmap(NULL, parameters.sq_off.array + parameters.sq_entries * 4 + 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    if (ring == MAP_FAILED)
        ring = mmap(NULL, parameters.sq_off.array + parameters.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    requests = mmap(NULL, parameters.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
    MUST(ring != MAP_FAILED && requests != MAP_FAILED);
}

static unsigned *word(unsigned offset) { return (unsigned *)(ring + offset); }

static void ask(struct io_uring_sqe request) {
    unsigned tail = *word(parameters.sq_off.tail), place = tail & (parameters.sq_entries - 1);
    ((struct io_uring_sqe *)requests)[place] = request;
    word(parameters.sq_off.array)[place] = place;
    __atomic_store_n(word(parameters.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
}

#define PATH(text) .addr = (uint64_t)(uintptr_t)(text)

static struct io_uring_sqe opens(const char *path) {
    return (struct io_uring_sqe){.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, PATH(path), .len = 0640, .open_flags = O_CREAT | O_WRONLY};
}

static struct io_uring_sqe makes(const char *path) {
    return (struct io_uring_sqe){.opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, PATH(path), .len = 0700};
}

static struct io_uring_sqe removes(const char *path, int flags) {
    return (struct io_uring_sqe){.opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, PATH(path), .unlink_flags = flags};
}

/* Submits so many, and waits until all that were asked are complete: the completions stay where they are. */
static int enter(int count) {
    static int asked;
    asked += count;
    return syscall(SYS_io_uring_enter, fd, count, asked, IORING_ENTER_GETEVENTS, NULL, 0);
}

static void raw(void) {
    begin(0);
    int port = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ask(opens("made"));
    SHOW(enter(1));
    ask(makes("folder"));
    SHOW(enter(1));
    ask((struct io_uring_sqe){.opcode = IORING_OP_RENAMEAT, .fd = AT_FDCWD, PATH("made"), .len = AT_FDCWD, .addr2 = (uint64_t)(uintptr_t) "moved"});
    SHOW(enter(1));
    ask((struct io_uring_sqe){.opcode = IORING_OP_CONNECT, .fd = port, PATH(&peer), .off = sizeof peer});
    SHOW(enter(1));
    ask(removes("folder", AT_REMOVEDIR));
    ask(removes((char *)8, 0));
    SHOW(enter(2));
    ask((struct io_uring_sqe){.opcode = IORING_OP_CLOSE, .fd = port});
    SHOW(enter(1));
    SHOW(access("moved", F_OK));
}

static void polled(void) {
    begin(IORING_SETUP_SQPOLL);
    ask(opens("made"));
    for (int i = 0; i < 2000 && access("made", F_OK) != 0; i++) {
        if (*word(parameters.sq_off.flags) & IORING_SQ_NEED_WAKEUP) syscall(SYS_io_uring_enter, fd, 1, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0);
        poll(NULL, 0, 1);
    }
    SHOW(access("made", F_OK));
}

/* struct io_uring of liburing 2. */
struct library {
    unsigned *words[7];
    struct io_uring_sqe *requests;
    unsigned first, behind;
    char rest[400];
};

static void library(void) {
    void *handle = dlopen("liburing.so.2", RTLD_NOW);
    if (!handle) {
        say("no liburing\n");
        return;
    }
    int (*init)(unsigned, struct library *, unsigned) = dlsym(handle, "io_uring_queue_init");
    int (*submit)(struct library *) = dlsym(handle, "io_uring_submit");
    int (*submit_and_wait)(struct library *, unsigned) = dlsym(handle, "io_uring_submit_and_wait");
    struct library queue;
    MUST(init && submit && submit_and_wait);
    SHOW(init(4, &queue, 0));
    queue.requests[queue.behind++ & 3] = makes("folder");
    SHOW(submit_and_wait(&queue, 1));
    queue.requests[queue.behind++ & 3] = removes("folder", AT_REMOVEDIR);
    SHOW(submit(&queue));
    SHOW(init(1u << 30, &queue, 0) < 0);
}

static void scribbled(void) {
    begin(0);
    *word(parameters.sq_off.tail) = 77777;
    SHOW(syscall(SYS_io_uring_enter, fd, 0, 0, 0, NULL, 0));
    poll(NULL, 0, 1);
}

static void gone(void) {
    begin(0);
    ask(makes("folder"));
    SHOW(munmap(requests, parameters.sq_entries * sizeof(struct io_uring_sqe)));
    SHOW(enter(1));
    SHOW(close(fd));
    poll(NULL, 0, 1);
    SHOW(access("folder", F_OK));
}

/* The second page of the requests is unmapped, and the next request is said to lie there. */
static void partly(void) {
    entries = 128;
    begin(0);
    SHOW(munmap(requests + 4096, 4096));
    word(parameters.sq_off.array)[0] = 100;
    *word(parameters.sq_off.tail) = 1;
    SHOW(poll(NULL, 0, 1));
}

static void forked(void) {
    begin(0);
    MUST(madvise(ring, parameters.sq_off.array + parameters.sq_entries * 4, MADV_DONTFORK) == 0);
    MUST(madvise(requests, parameters.sq_entries * sizeof(struct io_uring_sqe), MADV_DONTFORK) == 0);
    pid_t child = fork();
    if (child == 0) {
        SHOW(poll(NULL, 0, 1));
        SHOW(enter(0));
        _exit(0);
    }
    reap("child", child);
    ask(makes("folder"));
    SHOW(enter(1));
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    if (!strcmp(what, "raw")) raw();
    if (!strcmp(what, "polled")) polled();
    if (!strcmp(what, "library")) library();
    if (!strcmp(what, "scribbled")) scribbled();
    if (!strcmp(what, "gone")) gone();
    if (!strcmp(what, "partly")) partly();
    if (!strcmp(what, "forked")) forked();
    return 0;
}
