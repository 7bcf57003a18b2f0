/* sockets: the socket family over IPv4, IPv6 and Unix paths, in one process.
 * Trap: EINPROGRESS counted as failed; a datagram's first peer has no connect; addresses of an unexpected
 * length. Ports are the kernel's choice; the test reads them in the file `ports`.
 * run: (no arguments)
 * differs: ports
 */
#include "victim.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

static char ports[512];

static int port_of(int fd) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    MUST(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void note(const char *what, int fd) {
    size_t len = strlen(ports);
    snprintf(ports + len, sizeof ports - len, "%s %d\n", what, port_of(fd));
}

static void talk(const char *what, int client, int server) {
    char buffer[64];
    say("%s: client %d server %d\n", what, client, server);
    SHOW(send(client, "0123456789", 10, 0));
    SHOW(recv(server, buffer, sizeof buffer, 0));
    SHOW(write(server, "abc", 3));
    SHOW(read(client, buffer, sizeof buffer));
    SHOW(close(client));
    SHOW(close(server));
}

int main(void) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un local = {.sun_family = AF_UNIX, .sun_path = "local-socket"};
    struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0glassbox-tests-abstract"};
    socklen_t len, abstract_len = offsetof(struct sockaddr_un, sun_path) + 24;

    int listening = SHOW(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SHOW(bind(listening, (struct sockaddr *)&v4, sizeof v4));
    SHOW(listen(listening, 8));
    v4.sin_port = htons(port_of(listening)), note("v4", listening);
    int client = SHOW(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
    SHOW(connect(client, (struct sockaddr *)&v4, sizeof v4));
    len = sizeof v4;
    struct sockaddr_in peer;
    talk("v4", client, SHOW(accept(listening, (struct sockaddr *)&peer, &len)));

    client = SHOW(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    SHOW(connect(client, (struct sockaddr *)&v4, sizeof v4)); /* EINPROGRESS */
    struct pollfd writable = {client, POLLOUT, 0};
    MUST(poll(&writable, 1, 5000) == 1);
    SHOW(fcntl(client, F_SETFL, 0));
    talk("v4 pending", client, SHOW(accept4(listening, NULL, NULL, SOCK_CLOEXEC)));
    SHOW(close(listening));

    listening = socket(AF_INET6, SOCK_STREAM, 0);
    if (listening >= 0 && bind(listening, (struct sockaddr *)&v6, sizeof v6) == 0) {
        MUST(listen(listening, 1) == 0);
        v6.sin6_port = htons(port_of(listening)), note("v6", listening);
        client = socket(AF_INET6, SOCK_STREAM, 0);
        SHOW(connect(client, (struct sockaddr *)&v6, sizeof v6));
        talk("v6", client, SHOW(accept(listening, NULL, NULL)));
    } else say("no IPv6 here\n");
    SHOW(close(listening));

    listening = SHOW(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(bind(listening, (struct sockaddr *)&local, sizeof local));
    SHOW(listen(listening, 1));
    client = SHOW(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(connect(client, (struct sockaddr *)&local, sizeof local));
    talk("unix", client, SHOW(accept(listening, NULL, NULL)));
    SHOW(close(listening));
    listening = SHOW(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    snprintf(abstract.sun_path + 1, 60, "glassbox-tests-%08x", (unsigned)getpid());
    SHOW(bind(listening, (struct sockaddr *)&abstract, abstract_len));
    SHOW(listen(listening, 1));
    client = SHOW(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    SHOW(connect(client, (struct sockaddr *)&abstract, abstract_len));
    talk("abstract", client, SHOW(accept(listening, NULL, NULL)));
    SHOW(close(listening));

    int receiver = SHOW(socket(AF_INET, SOCK_DGRAM, 0));
    v4.sin_port = 0;
    SHOW(bind(receiver, (struct sockaddr *)&v4, sizeof v4));
    v4.sin_port = htons(port_of(receiver)), note("udp", receiver);
    int second = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SHOW(bind(second, (struct sockaddr *)&other, sizeof other));
    other.sin_port = htons(port_of(second)), note("udp-second", second);
    int sender = SHOW(socket(AF_INET, SOCK_DGRAM, 0));
    char buffer[64];
    for (int i = 0; i < 3; i++) /* one net.connect, three datagrams */
        SHOW(sendto(sender, "datagram", 8, 0, (struct sockaddr *)&v4, sizeof v4));
    for (int i = 0; i < 3; i++) SHOW(recvfrom(receiver, buffer, sizeof buffer, 0, NULL, NULL));
    struct iovec vector = {"message", 7};
    struct msghdr message = {.msg_name = &other, .msg_namelen = sizeof other, .msg_iov = &vector, .msg_iovlen = 1};
    SHOW(sendmsg(sender, &message, 0)); /* another peer */
    SHOW(recv(second, buffer, sizeof buffer, 0));
    struct mmsghdr several[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
    SHOW(sendmmsg(sender, several, 2, 0));
    SHOW(close(sender));
    SHOW(close(receiver));
    SHOW(close(second));

    int fd = open("ports", O_CREAT | O_WRONLY, 0600);
    MUST(write(fd, ports, strlen(ports)) == (ssize_t)strlen(ports) && close(fd) == 0);
    say_descriptors("at the end");
    return 0;
}
