// open+close of one file, N times.
#include "bench.h"
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long count = count_argument(argc, argv, 1, 200000);
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    for (long i = 0; i < count; i++) {
        int fd = open("/etc/hostname", O_RDONLY);
        if (fd < 0) die("open");
        close(fd);
    }
    report(count, wall_ns() - wall, cpu_ns() - cpu);
}
