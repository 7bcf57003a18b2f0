/* resolver: names asked of DNS by resolver(3), and by messages that the program makes itself.
 * Trap: programs with a resolver of their own (c-ares, dnspython) never call getaddrinfo. No server need
 * listen at port 53: messages to this machine are sent all the same. On glibc a child answers resolver(3).
 * run: (no arguments)
 */
#include "victim.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct sockaddr_in server = {.sin_family = AF_INET};

/* A query for NAME.example, type A; gives its length. */
static size_t query(unsigned char *message, const char *name) {
    static const unsigned char head[12] = {1, 2, 1, 0, 0, 1}, tail[] = "\7example\0\0\1\0\1";
    size_t len = strlen(name);
    memcpy(message, head, 12);
    message[12] = len;
    memcpy(message + 13, name, len);
    memcpy(message + 13 + len, tail, 13);
    return 26 + len;
}

static int made(int connects) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (connects) SHOW(connect(fd, (struct sockaddr *)&server, sizeof server));
    return fd;
}

static void by_hand(void) {
    unsigned char message[100];
    struct iovec part = {message, 0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};

    int fd = made(0);
    SHOW(sendto(fd, message, query(message, "sendto"), 0, (struct sockaddr *)&server, sizeof server));
    close(fd);
    fd = made(1);
    SHOW(send(fd, message, query(message, "send"), 0));
    close(fd);
    fd = made(1);
    part.iov_len = query(message, "sendmsg");
    SHOW(sendmsg(fd, &header, 0));
    close(fd);
    fd = made(1);
    part.iov_len = query(message, "sendmmsg");
    struct mmsghdr several[1] = {{.msg_hdr = header}};
    SHOW(sendmmsg(fd, several, 1, 0));
    close(fd);
    fd = made(1);
    SHOW(send(fd, "no query at all, but as long as one", 35, 0));
    close(fd);
}

#ifdef __GLIBC__
static void answer(int fd) {
    unsigned char message[512];
    struct sockaddr_in peer;
    socklen_t peer_len = sizeof peer;
    for (;;) {
        ssize_t len = recvfrom(fd, message, sizeof message, 0, (struct sockaddr *)&peer, &peer_len);
        if (len < 12) _exit(1);
        message[2] |= 0x80, message[7] = 1, message[11] = 0;
        for (len = 12; message[len]; len += message[len] + 1) {}
        len += 5;
        memcpy(message + len, "\300\14\0\1\0\1\0\0\0\0\0\4\300\0\2\7", 16);
        sendto(fd, message, len + 16, 0, (struct sockaddr *)&peer, peer_len);
    }
}

static void by_resolver(void) {
    unsigned char reply[512], message[100];
    socklen_t len = sizeof server;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    server.sin_port = 0;
    MUST(bind(fd, (struct sockaddr *)&server, sizeof server) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&server, &len) == 0);
    pid_t child = fork();
    if (child == 0) answer(fd);
    close(fd);
    res_init();
    _res.nsaddr_list[0] = server, _res.nscount = 1, _res.options &= ~(RES_USE_EDNS0 | RES_TRUSTAD);
    SHOW(res_query("query.example", 1, 1, reply, sizeof reply));
    SHOW(res_search("search.example.", 1, 1, reply, sizeof reply));
    SHOW(res_querydomain("querydomain", "example", 1, 1, reply, sizeof reply));
    SHOW(res_nquery(&_res, "nquery.example", 1, 1, reply, sizeof reply));
    SHOW(res_send(message, query(message, "exchanged"), reply, sizeof reply));
    struct gaicb later = {.ar_name = "127.0.0.1"};
    struct gaicb *list[] = {&later, NULL};
    SHOW(getaddrinfo_a(GAI_WAIT, list, 2, NULL));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
#else
static void by_resolver(void) {}
#endif

int main(void) {
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK), server.sin_port = htons(53);
    by_hand();
    by_resolver();
    return 0;
}
