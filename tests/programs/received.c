/* received: descriptors that other processes opened, come by message and by pidfd_getfd, and what their close
 * says.
 * Trap: no call in this process opened them, so their bytes have no path and no peer.
 * run: (no arguments)
 */
#include "victim.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define MOST 3

static ssize_t pass(int through, const int *fds, int count) {
    char byte = 'x', control[CMSG_SPACE(MOST * sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    return sendmsg(through, &message, 0);
}

static ssize_t take(int through, int *fds, int count) {
    char byte, control[CMSG_SPACE(MOST * sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control};
    message.msg_controllen = sizeof control;
    ssize_t len = recvmsg(through, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (len > 0 && header) memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    return len;
}

int main(void) {
    int pair[2], fds[MOST] = {-1, -1, -1}, status;
    struct sockaddr_in server = {.sin_family = AF_INET};
    socklen_t len = sizeof server;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    MUST(bind(listener, (struct sockaddr *)&server, len) == 0 && listen(listener, 1) == 0);
    MUST(getsockname(listener, (struct sockaddr *)&server, &len) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);

    pid_t child = fork();
    if (child == 0) {
        fds[0] = open("received.file", O_CREAT | O_RDWR, 0600);
        fds[1] = socket(AF_INET, SOCK_STREAM, 0);
        fds[2] = open("/dev/null", O_WRONLY);
        if (connect(fds[1], (struct sockaddr *)&server, len) != 0) _exit(1);
        _exit(pass(pair[1], fds, MOST) == 1 ? 0 : 2);
    }
    SHOW(take(pair[0], fds, MOST));
    SHOW(waitpid(child, &status, 0) == child);
    SHOW(status);
    SHOW(write(fds[0], "seven b", 7));
    SHOW(send(fds[1], "three", 3, 0));
    SHOW(write(fds[2], "x", 1));
    SHOW(fcntl(fds[0], F_GETFD));
    for (int i = 0; i < MOST; i++) SHOW(close(fds[i]));

    int own = open("received.copied", O_CREAT | O_RDWR, 0600);
    int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
    int copy = syscall(SYS_pidfd_getfd, pidfd, own, 0);
    SHOW(write(copy, "four", 4));
    SHOW(close(copy));
    return 0;
}
