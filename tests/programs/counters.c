/* counters: bytes moved by each member of the read and write family, reported by the close that ends the
 * file.
 * Trap: partial transfers, failed calls, end of file and MSG_PEEK (AppScope#1017 counted peeked bytes twice)
 * must not be counted as bytes. The name of each file is what the test looks for.
 * run: (no arguments)
 */
#include "victim.h"
#include <sys/socket.h>
#include <sys/uio.h>
#ifndef __GLIBC__ /* musl has these from 1.2.5 */
#define preadv2(fd, vector, count, offset, flags) preadv(fd, vector, count, offset)
#define pwritev2(fd, vector, count, offset, flags) pwritev(fd, vector, count, offset)
#endif

static char buffer[100000];

int main(void) {
    struct iovec two[2] = {{buffer, 10}, {buffer + 10, 20}};

    int fd = open("counters.file", O_CREAT | O_RDWR, 0600);
    SHOW(write(fd, buffer, 1000));
    SHOW(pwrite(fd, buffer, 500, 0));
    SHOW(writev(fd, two, 2));
    SHOW(pwritev(fd, two, 2, 0));
    SHOW(pwritev2(fd, two, 2, 0, 0));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(read(fd, buffer, 700));
    SHOW(read(fd, buffer, sizeof buffer)); /* short: 330 are left */
    SHOW(read(fd, buffer, 100));           /* end of file */
    SHOW(read(fd, NULL, 100) >= 0);        /* end of file first, or EFAULT: either is no bytes */
    SHOW(pread(fd, buffer, 40, 5));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(readv(fd, two, 2));
    SHOW(preadv(fd, two, 2, 0));
    SHOW(preadv2(fd, two, 2, 0, 0));
    SHOW(close(fd)); /* wrote 1000+500+30+30+30 = 1590 in 5; read 700+330+40+30+30+30 = 1160 */

    fd = open("counters.read-only", O_CREAT | O_RDONLY, 0600);
    SHOW(write(fd, buffer, 10)); /* EBADF */
    SHOW(close(fd));

    int pair[2];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SHOW(send(pair[0], buffer, 300, 0));
    SHOW(recv(pair[1], buffer, 100, MSG_PEEK));
    SHOW(recv(pair[1], buffer, 300, MSG_WAITALL));
    SHOW(sendto(pair[0], buffer, 20, 0, NULL, 0));
    SHOW(recvfrom(pair[1], buffer, 50, 0, NULL, NULL));
    struct msghdr message = {.msg_iov = two, .msg_iovlen = 2};
    SHOW(sendmsg(pair[0], &message, 0));
    SHOW(recvmsg(pair[1], &message, 0));
    struct mmsghdr several[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
    SHOW(sendmmsg(pair[0], several, 2, 0));
    SHOW(read(pair[1], buffer, 60));
    SHOW(recv(pair[1], buffer, 10, MSG_DONTWAIT)); /* EAGAIN */
    SHOW(close(pair[1]));
    SHOW(send(pair[0], buffer, 10, MSG_NOSIGNAL)); /* EPIPE */
    SHOW(close(pair[0]));
    return 0;
}
