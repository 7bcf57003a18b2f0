// Opens a path that carries the time of the call, N times at irregular intervals. The reader of
// the events compares that time with its own clock.
#include "bench.h"
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long count = count_argument(argc, argv, 1, 200);
    unsigned seed = 1;
    for (long i = 0; i < count; i++) {
        struct timespec pause = {.tv_nsec = 500000 + rand_r(&seed) % 30000000};
        nanosleep(&pause, NULL);
        char path[64];
        snprintf(path, sizeof path, "/nowhere/delay-%llu", (unsigned long long)clock_ns(CLOCK_REALTIME));
        int fd = open(path, O_RDONLY);
        if (fd >= 0) close(fd);
    }
    report(count, 0, 0);
}
