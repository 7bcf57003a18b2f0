/* bad_pointers: arguments that cannot be read give EFAULT, not a crash in the copy that a sensor makes.
 * Trap: a hook that reads the string before the kernel had a chance to refuse it. A page that ends at an
 * unmapped one catches a copy that reads beyond the terminating NUL.
 * run: (no arguments)
 */
#include "victim.h"
#include <netdb.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

int main(void) {
    char *wild = (char *)1, *high = (char *)0xffff800000000000ull;
    char *area = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(area != MAP_FAILED && mprotect(area + 4096, 4096, PROT_NONE) == 0);
    char *none = area + 4096;
    char *second = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(second != MAP_FAILED && mprotect(second + 4096, 4096, PROT_NONE) == 0);
    char *unterminated = second + 4096 - 8;
    memset(unterminated, 'u', 8);

    SHOW(open(wild, O_RDONLY));
    SHOW(open(NULL, O_RDONLY));
    SHOW(open(high, O_RDONLY));
    SHOW(open(none, O_RDONLY));
    SHOW(open(unterminated, O_RDONLY));
    SHOW(openat(AT_FDCWD, wild, O_RDONLY));
    SHOW(openat(999, NULL, O_RDONLY));
    SHOW(creat(none, 0600));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "x", none, 24));
    SHOW(syscall(SYS_openat2, AT_FDCWD, none, NULL, 0));
    strcpy(area + 4096 - 5, "edge");
    SHOW(touch(area + 4096 - 5)); /* fine: the string ends exactly at the edge */

    char *arguments[] = {"zero", NULL}, *bad_arguments[] = {"zero", wild, NULL}, *bad_end[] = {unterminated, NULL};
    char **edge = (char **)(none - sizeof(char *));
    SHOW(execve(wild, arguments, environ));
    SHOW(execve(NULL, arguments, environ));
    SHOW(execve(none, arguments, environ));
    SHOW(execve("/bin/true", bad_arguments, environ));
    SHOW(execve("/bin/true", bad_end, environ));
    SHOW(execve("/bin/true", (char **)none, environ));
    SHOW(execve("/bin/true", (char **)wild, environ));
    *edge = "A=1"; /* a string, but no end to the array */
    SHOW(execve("/bin/true", edge, environ));
    SHOW(execve("/bin/true", arguments, edge));
    SHOW(execve("/bin/true", arguments, bad_arguments));
    SHOW(execve("/bin/true", arguments, (char **)none));
    SHOW(execve("/bin/true", arguments, (char **)wild));
    SHOW(execve("/bin/true", arguments, (char **)high));
    static char *bad_tail[203], long_string[400]; /* more than any event has of arguments, and bad behind it */
    memset(long_string, 'l', sizeof long_string - 1);
    for (int i = 0; i < 200; i++) bad_tail[i] = long_string;
    bad_tail[200] = none;
    SHOW(execve("/bin/true", bad_tail, environ));
    SHOW(execve("/bin/true", arguments, bad_tail));
    bad_tail[200] = unterminated;
    SHOW(execve("/bin/true", arguments, bad_tail));
    SHOW(execv("/bin/true", bad_arguments));
    SHOW(syscall(SYS_execve, "/bin/true", bad_arguments, environ));
    SHOW(syscall(SYS_execve, wild, arguments, environ));
    SHOW(syscall(SYS_execveat, AT_FDCWD, none, arguments, environ, 0));
#ifdef __GLIBC__
    pid_t pid = 0;
    SHOW(posix_spawn(&pid, wild, NULL, NULL, arguments, environ));
    SHOW(posix_spawn(&pid, "/bin/true", NULL, NULL, bad_arguments, environ));
    SHOW(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, (char **)none));
    SHOW(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, bad_tail));
    SHOW(posix_spawn(&pid, "/bin/true", NULL, NULL, bad_tail, environ));
#endif

    int fd = open("file", O_CREAT | O_RDWR, 0600), pair[2];
    struct iovec bad = {none, 4}, wild_vector = {wild, 4};
    MUST(write(fd, "content", 7) == 7 && lseek(fd, 0, SEEK_SET) == 0 && pipe(pair) == 0);
    SHOW(write(fd, none, 4));
    SHOW(read(fd, none, 4));
    SHOW(writev(fd, &bad, 1));
    SHOW(readv(fd, &wild_vector, 1));
    SHOW(readv(fd, (struct iovec *)none, 1));
    SHOW(write(pair[1], wild, 4));

    int stream = socket(AF_INET, SOCK_STREAM, 0), datagram = socket(AF_INET, SOCK_DGRAM, 0);
    struct msghdr message = {.msg_name = none, .msg_namelen = 16, .msg_iov = (struct iovec *)wild, .msg_iovlen = 1};
    SHOW(connect(stream, (struct sockaddr *)wild, 16));
    SHOW(connect(stream, (struct sockaddr *)none, 16));
    SHOW(connect(stream, NULL, 16));
    SHOW(connect(stream, (struct sockaddr *)area, 0));
    SHOW(connect(stream, (struct sockaddr *)area, 100000));
    SHOW(bind(stream, (struct sockaddr *)none, 16));
    SHOW(sendto(datagram, "x", 1, 0, (struct sockaddr *)none, 16));
    SHOW(sendto(datagram, none, 1, 0, NULL, 0));
    SHOW(sendmsg(datagram, &message, 0));
    SHOW(sendmsg(datagram, (struct msghdr *)none, 0));
    SHOW(recvmsg(datagram, (struct msghdr *)wild, MSG_DONTWAIT));
    SHOW(sendmmsg(datagram, (struct mmsghdr *)none, 1, 0));
    SHOW(listen(stream, 1));
    MUST(fcntl(stream, F_SETFL, O_NONBLOCK) == 0);
    SHOW(accept4(stream, (struct sockaddr *)none, (socklen_t *)wild, SOCK_NONBLOCK));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, (int *)wild));
    SHOW(pipe2((int *)wild, 0));
    SHOW(syscall(SYS_memfd_create, wild, 0));
    SHOW(syscall(SYS_write, 1, none, 5));
    SHOW(touch("after"));
    say_descriptors("at the end");
    return 0;
}
