/* steps: makes some calls, each between two breakpoints, for a tracer that counts its instructions
 * (tests/tests/steps.rs).
 * Usage: steps {open|close|read|write|write_after_connects}
 */
#include "victim.h"
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#define BETWEEN(call)                                                                                                  \
    do {                                                                                                               \
        __asm__ volatile("int3" ::: "memory");                                                                         \
        call;                                                                                                          \
        __asm__ volatile("int3" ::: "memory");                                                                         \
    } while (0)

/* Connects that are under way, whose descriptors are closed where no hook sees it; the first number is used again. */
static void connects_closed_past(int writable) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    MUST(bind(listening, (void *)&address, len) == 0 && listen(listening, 16) == 0);
    MUST(getsockname(listening, (void *)&address, &len) == 0);
    int sockets[3];
    for (int i = 0; i < 3; i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        MUST(connect(sockets[i], (void *)&address, len) < 0 && errno == EINPROGRESS);
    }
    for (int i = 0; i < 3; i++) {
        long result = SYS_close;
        __asm__ volatile("syscall" : "+a"(result) : "D"(sockets[i]) : "rcx", "r11", "memory");
        MUST(result == 0);
    }
    MUST(open("/dev/null", O_WRONLY) == sockets[0]);
    struct pollfd ready = {writable, POLLOUT, 0};
    MUST(poll(&ready, 1, 0) == 1);
}

int main(int argc, char **argv) {
    char bytes[16] = "";
    MUST(argc == 2);
    /* A path of 40 bytes, as in the bench of one event. */
    const char *path = "////////////////////////////////dev/zero";
    int null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY), fd = -1;
    MUST(null >= 0 && zero >= 0 && strlen(path) == 40);
    if (!strcmp(argv[1], "write_after_connects")) connects_closed_past(null);
    /* The first ones find their functions, and the thread its number. */
    for (int round = 0; round < 12; round++) {
        if (!strcmp(argv[1], "open")) {
            BETWEEN(fd = open(path, O_RDONLY));
            close(fd);
        } else if (!strcmp(argv[1], "close")) {
            fd = open(path, O_RDONLY);
            BETWEEN(close(fd));
        } else if (!strcmp(argv[1], "read")) {
            BETWEEN(read(zero, bytes, sizeof bytes));
        } else if (!strncmp(argv[1], "write", 5)) {
            BETWEEN(write(null, bytes, sizeof bytes));
        }
    }
    return 0;
}
