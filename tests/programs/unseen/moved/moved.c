/* moved: moves bytes through files and a connection, in every way that makes a difference to who counts them;
 * moved.go does the same in Go. Its words: a work folder, and a port that is not used. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(holds) ((holds) ? (void)0 : abort())

static char bytes[4096];

static int opened(const char *name, int flags) {
    int fd = open(name, flags, 0600);
    MUST(fd >= 0);
    return fd;
}

static void put(int fd, size_t len) { MUST(write(fd, bytes, len) == (ssize_t)len); }
static void get(int fd, size_t len) { MUST(read(fd, bytes, len) == (ssize_t)len); }

int main(int argc, char **argv) {
    MUST(argc >= 2 && chdir(argv[1]) == 0);
    int fd = opened("written", O_WRONLY | O_CREAT | O_TRUNC);
    put(fd, 1000), put(fd, 234), close(fd);
    fd = opened("both", O_RDWR | O_CREAT | O_TRUNC);
    put(fd, 300), MUST(lseek(fd, 0, SEEK_SET) == 0), get(fd, 100), close(fd);
    fd = opened("appended", O_WRONLY | O_CREAT | O_APPEND);
    put(fd, 11), close(fd);
    MUST(symlink("written", "read") == 0 && link("written", "partly") == 0 && link("written", "skipped") == 0);
    fd = opened("partly", O_RDONLY);
    get(fd, 100), get(fd, 50), close(fd);
    fd = opened("skipped", O_RDONLY);
    MUST(lseek(fd, 500, SEEK_SET) == 500), get(fd, 20), close(fd);
    fd = opened("both", O_RDONLY);
    MUST(pread(fd, bytes, 40, 0) == 40), close(fd);

    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    MUST(bind(listener, (void *)&address, len) == 0 && listen(listener, 5) == 0);
    MUST(getsockname(listener, (void *)&address, &len) == 0);
    int asked = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(asked, (void *)&address, len) == 0);
    int accepted = accept(listener, NULL, NULL);
    MUST(accepted >= 0 && send(asked, bytes, 3000, 0) == 3000 && shutdown(asked, SHUT_WR) == 0);
    while (recv(accepted, bytes, sizeof bytes, 0) > 0) {}
    MUST(send(accepted, bytes, 77, 0) == 77 && close(accepted) == 0);
    while (recv(asked, bytes, sizeof bytes, 0) > 0) {}
    MUST(close(asked) == 0);
    fd = opened("left", O_WRONLY | O_CREAT | O_TRUNC);
    put(fd, 55);
    struct stat attributes;
    char target[16];
    MUST(stat("left", &attributes) == 0 && lstat("read", &attributes) == 0 && fstat(fd, &attributes) == 0);
    MUST(access("partly", R_OK) == 0 && readlink("read", target, sizeof target) == 7);
    return 0;
}
