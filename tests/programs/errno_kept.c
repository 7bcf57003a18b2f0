/* errno_kept: results and errno of hooked calls that fail and that succeed.
 * Trap: errno changed by the sensor's own work, or an error without one (AppScope); EINPROGRESS counted as
 * failed. A succeeding call must leave errno alone: the sentinel 4242 shows.
 * build: -ldl
 * run: (no arguments)
 */
#include "victim.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(void) {
    char byte;
    int fd = SHOW(open("file", O_CREAT | O_EXCL | O_RDWR, 0600));
    SHOW(open("file", O_CREAT | O_EXCL | O_RDWR, 0600));
    SHOW(open("file/below", O_RDONLY));
    SHOW(open(".", O_WRONLY));
    SHOW(open("file", O_RDONLY | O_DIRECTORY));
    SHOW(write(fd, "abc", 3));
    SHOW(write(fd, "abc", 0));
    SHOW(pread(fd, &byte, 1, -1));
    SHOW(read(fd, &byte, 1));
    SHOW(read(999, &byte, 1));
    SHOW(dup(fd));
    SHOW(dup(999));
    SHOW(dup2(fd, 40));
    SHOW(dup2(fd, -1));
    SHOW(fcntl(fd, F_SETFD, FD_CLOEXEC));
    SHOW(fcntl(fd, 123456, 0));
    SHOW(close(40));
    SHOW(close(40));
    SHOW(close(-1));
    SHOW_POINTER(fopen("file", "r"));
    SHOW_POINTER(fopen("missing", "r"));
    SHOW_POINTER(opendir("missing"));
    SHOW_POINTER(opendir("file"));
    SHOW_POINTER(fdopendir(fd));
    SHOW(memfd_create("name", 0x7fffffff));
    SHOW(shm_open("/glassbox/slash/inside", O_RDONLY, 0));

    struct sockaddr_in closed = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof closed;
    int reserved = SHOW(socket(AF_INET, SOCK_STREAM, 0)); /* bound, not listening: its port refuses */
    SHOW(bind(reserved, (struct sockaddr *)&closed, sizeof closed));
    SHOW(getsockname(reserved, (struct sockaddr *)&closed, &len));
    int client = SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(connect(client, (struct sockaddr *)&closed, sizeof closed)); /* ECONNREFUSED */
    int lazy = SHOW(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in open_port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SHOW(bind(server, (struct sockaddr *)&open_port, sizeof open_port));
    SHOW(listen(server, 4));
    SHOW(getsockname(server, (struct sockaddr *)&open_port, &len));
    SHOW(connect(lazy, (struct sockaddr *)&open_port, sizeof open_port)); /* EINPROGRESS */
    SHOW(accept(fd, NULL, NULL));                                        /* ENOTSOCK */
#ifdef __GLIBC__ /* musl falls back to accept */
    SHOW(accept4(server, NULL, NULL, 0x7fff0000)); /* EINVAL */
#endif
    SHOW(accept(server, NULL, NULL));
    SHOW(recv(lazy, &byte, 1, 0)); /* EAGAIN */
    SHOW(send(reserved, "x", 1, MSG_NOSIGNAL));
    SHOW(socket(AF_UNIX, 77, 0));
    SHOW(socket(4711, SOCK_STREAM, 0));
    SHOW(bind(fd, (struct sockaddr *)&closed, sizeof closed));
    SHOW(listen(999, 1));
    struct sockaddr_un missing = {.sun_family = AF_UNIX, .sun_path = "missing-socket"};
    int local = SHOW(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(connect(local, (struct sockaddr *)&missing, sizeof missing));

    struct addrinfo *found = NULL, numeric = {.ai_flags = AI_NUMERICHOST};
    say("getaddrinfo numeric %d\n", getaddrinfo("127.0.0.1", "80", NULL, &found));
    if (found) freeaddrinfo(found);
    say("getaddrinfo not numeric %d\n", getaddrinfo("not-a-number", "80", &numeric, &found));
    say("getaddrinfo nothing %d\n", getaddrinfo(NULL, NULL, NULL, &found));

    SHOW_POINTER(dlopen("libglassbox-no-such.so", RTLD_NOW));
    say("dlerror: %s\n", dlerror());
    SHOW_POINTER(dlsym(RTLD_DEFAULT, "glassbox_no_such_symbol"));
    say("dlerror: %s\n", dlerror());
    SHOW(syscall(SYS_getppid) > 0);
    SHOW(syscall(100000));
    SHOW(syscall(SYS_lseek, 999, 0, 0));
    SHOW(syscall(SYS_close, 999));
    SHOW(vfork() ? 1 : (_exit(0), 0));
    SHOW(wait(NULL) > 0);
    SHOW(close(fd));
    return 0;
}
