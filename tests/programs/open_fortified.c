/* open_fortified: the same source, compiled with fortify and 64-bit offsets, calls other symbols.
 * Trap: `_FORTIFY_SOURCE` turns open into __open_2, read into __read_chk, recv into __recv_chk;
 * `_FILE_OFFSET_BITS=64` turns open into open64. Every list of names made by hand misses them.
 * build: -O2 -D_FORTIFY_SOURCE=2 -D_FILE_OFFSET_BITS=64
 * run: (no arguments)
 */
#include "victim.h"
#include <sys/socket.h>

int main(int argc, char **argv) {
    (void)argv;
    volatile int flags = O_RDONLY;
    volatile size_t len = argc + 4; /* not known when compiling, so the checked variants are called */
    char buffer[64];

    MUST(touch("fortified") == 0);
    int writer = open("fortified", O_WRONLY);
    SHOW(write(writer, "0123456789", 10));
    SHOW(pwrite(writer, "ab", 2, 0));
    SHOW(close(writer));
    int fd = open("fortified", flags); /* __open64_2 */
    say("fd %d\n", fd);
    SHOW(read(fd, buffer, len));      /* __read_chk */
    SHOW(pread(fd, buffer, len, 1));  /* __pread64_chk */
    SHOW(close(fd));
    fd = openat(AT_FDCWD, "fortified", flags);
    say("fd %d\n", fd);
    SHOW(close(fd));
    int pair[2];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SHOW(send(pair[0], "hello", 5, 0));
    SHOW(recv(pair[1], buffer, len, 0));                 /* __recv_chk */
    SHOW(send(pair[0], "hello", 5, 0));
    SHOW(recvfrom(pair[1], buffer, len, 0, NULL, NULL)); /* __recvfrom_chk */
    SHOW(close(pair[0]));
    SHOW(close(pair[1]));
    return 0;
}
