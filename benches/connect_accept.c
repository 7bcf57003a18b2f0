// socket, connect to our own listener, accept, close both; N times over loopback.
#include "bench.h"
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long count = count_argument(argc, argv, 1, 20000);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 64)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &length);
    // Without a lingering close the loop runs out of ports.
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    for (long i = 0; i < count; i++) {
        int here = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(here, (struct sockaddr *)&address, sizeof address)) die("connect");
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        int there = accept(listener, (struct sockaddr *)&peer, &size);
        if (there < 0) die("accept");
        setsockopt(here, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(here);
        close(there);
    }
    report(count, wall_ns() - wall, cpu_ns() - cpu);
}
