// An open that may write, and a close, N times: a call that `run --notify security` asks about, unless libc
// makes it. Linked statically, the program is one whose calls are asked about.
#include "bench.h"
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long count = count_argument(argc, argv, 1, 200000);
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    for (long i = 0; i < count; i++) {
        int fd = open("/dev/null", O_WRONLY);
        if (fd < 0) die("open");
        close(fd);
    }
    report(count, wall_ns() - wall, cpu_ns() - cpu);
}
