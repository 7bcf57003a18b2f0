// read 512 bytes from one file, write them to another, N times.
#include "bench.h"
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long count = count_argument(argc, argv, 1, 200000);
    char block[512];
    int from = open("/dev/zero", O_RDONLY), to = open("/dev/null", O_WRONLY);
    if (from < 0 || to < 0) die("open");
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    for (long i = 0; i < count; i++) {
        if (read(from, block, sizeof block) != sizeof block) die("read");
        if (write(to, block, sizeof block) != sizeof block) die("write");
    }
    report(count, wall_ns() - wall, cpu_ns() - cpu);
}
