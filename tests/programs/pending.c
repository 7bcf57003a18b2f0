/* pending: connects on non-blocking sockets, and the calls that show what became of them.
 * Trap: EINPROGRESS says nothing of the outcome; SO_ERROR is 0 while the connect goes on, too, and asking for it
 * takes the error away, which another descriptor or process that has the socket still wants, however it got it;
 * epoll tells no descriptor. It executes itself with FD PORT, to connect to the port and close the descriptor.
 * run: (no arguments)
 * differs: ports
 */
#include "victim.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>

static struct sockaddr_in open_port, closed_port;
static int listening;

static struct sockaddr_in bound(int fd) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    MUST(bind(fd, (void *)&address, len) == 0 && getsockname(fd, (void *)&address, &len) == 0);
    return address;
}

static int unconnected(void) { return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

static void begin(const char *what, int fd, struct sockaddr_in *to) {
    int result = connect(fd, (void *)to, sizeof *to);
    say("%s: fd %d, %s\n", what, fd, result < 0 && errno == EINPROGRESS ? "under way" : "over at once");
}

static int begun(const char *what, struct sockaddr_in *to) {
    int fd = unconnected();
    begin(what, fd, to);
    return fd;
}

static void await(int fd) {
    struct timespec nap = {0, 20 * 1000 * 1000};
    (void)fd;
    nanosleep(&nap, NULL);
}

static int error_of(int fd) {
    int error = -1;
    socklen_t len = sizeof error;
    errno = ERRNO_SENTINEL;
    int result = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    say("getsockopt %d: %d errno %d\n", result, error, errno);
    return error;
}

static void send_descriptor(int to, int fd, int many) {
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr header; } control;
    struct mmsghdr message = {.msg_hdr = {
        .msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control}};
    control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    if (many) MUST(sendmmsg(to, &message, 1, 0) == 1);
    else MUST(sendmsg(to, &message.msg_hdr, 0) == 1);
}

static int receive_descriptor(int from) {
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr header; } control;
    char byte;
    struct msghdr message = {
        .msg_iov = &(struct iovec){&byte, 1}, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int fd;
    MUST(recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1);
    memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
    return fd;
}

static int accepted(void) {
    int fd = accept(listening, NULL, NULL);
    MUST(fd >= 0);
    return fd;
}

/* A child connects, waits and closes; this process has had the socket for longer. */
static void closed_by_child(int executes) {
    int fd = unconnected(), status;
    pid_t child = fork();
    if (child == 0 && executes) {
        char number[16], port[16];
        snprintf(number, sizeof number, "%d", fd);
        snprintf(port, sizeof port, "%d", ntohs(closed_port.sin_port));
        MUST(fcntl(fd, F_SETFD, 0) == 0);
        execl("/proc/self/exe", "pending", number, port, (char *)NULL);
        _exit(127);
    }
    if (child == 0) {
        begin("refused, closed in a child", fd, &closed_port);
        await(fd), close(fd);
        _exit(0);
    }
    MUST(waitpid(child, &status, 0) == child && status == 0);
    error_of(fd), close(fd);
}

int main(int argc, char **argv) {
    char byte;
    if (argc == 3) {
        int fd = atoi(argv[1]);
        closed_port = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        closed_port.sin_port = htons(atoi(argv[2]));
        begin("refused, closed in another image", fd, &closed_port);
        await(fd), close(fd);
        return 0;
    }
    listening = socket(AF_INET, SOCK_STREAM, 0);
    open_port = bound(listening);
    MUST(listen(listening, 16) == 0);
    int silent = socket(AF_INET, SOCK_STREAM, 0);
    closed_port = bound(silent);

    int fd = begun("refused, asked", &closed_port);
    await(fd), error_of(fd), error_of(fd), close(fd);

    fd = begun("asked", &open_port);
    await(fd), error_of(fd), close(fd), close(accepted());

    fd = begun("polled", &open_port);
    struct pollfd writable = {fd, POLLOUT, 0};
    SHOW(poll(&writable, 1, 5000));
    error_of(fd), close(fd), close(accepted());

    fd = begun("selected", &open_port);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    SHOW(select(fd + 1, NULL, &set, NULL, &(struct timeval){5, 0}));
    close(fd), close(accepted());

    fd = begun("epolled", &open_port);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = &byte}, got;
    MUST(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    SHOW(epoll_wait(epoll, &got, 1, 5000));
    close(epoll), close(fd), close(accepted());

    fd = begun("written", &open_port);
    await(fd);
    SHOW(write(fd, "x", 1));
    close(fd), close(accepted());

    fd = begun("refused, polled and read", &closed_port);
    writable.fd = fd;
    SHOW(poll(&writable, 1, 5000));
    SHOW(read(fd, &byte, 1));
    SHOW(read(fd, &byte, 1));
    close(fd);

    fd = begun("refused, sent", &closed_port);
    await(fd);
    SHOW(send(fd, "x", 1, MSG_NOSIGNAL));
    close(fd);

    fd = begun("connected once more", &open_port);
    await(fd);
    SHOW(connect(fd, (void *)&open_port, sizeof open_port));
    close(fd), close(accepted());

    fd = begun("closed", &open_port);
    await(fd), close(fd), close(accepted());

    fd = begun("refused, closed", &closed_port);
    await(fd), close(fd);

    fd = begun("refused, closed, with another descriptor", &closed_port);
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 50);
    await(fd), close(fd);
    error_of(other), close(other);

    fd = unconnected(), other = dup(fd);
    begin("refused, closed, with an older descriptor", fd, &closed_port);
    await(fd), close(fd);
    error_of(other), close(other);

    for (int many = 0; many < 2; many++) {
        int pair[2];
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        fd = unconnected();
        send_descriptor(pair[0], fd, many);
        begin("refused, closed, with a descriptor on its way", fd, &closed_port);
        await(fd), close(fd);
        other = receive_descriptor(pair[1]);
        error_of(other), close(other), close(pair[0]), close(pair[1]);
    }

    fd = begun("refused, and not replaced", &closed_port);
    await(fd);
    SHOW(dup2(-1, fd));
    error_of(fd), close(fd);

    closed_by_child(0);
    closed_by_child(1);

    fd = open("ports", O_CREAT | O_WRONLY, 0600);
    char text[64];
    int len = snprintf(text, sizeof text, "open %d\nclosed %d\n", ntohs(open_port.sin_port), ntohs(closed_port.sin_port));
    MUST(write(fd, text, len) == len && close(fd) == 0);
    say_descriptors("at the end");
    return 0;
}
