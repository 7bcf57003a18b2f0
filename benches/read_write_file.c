// The same with real files: 512 bytes from the page cache into another file's, N times.
#include "bench.h"
#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long count = count_argument(argc, argv, 1, 200000);
    char block[512] = {0}, name[] = "/tmp/glassbox-bench-XXXXXX", other[] = "/tmp/glassbox-bench-XXXXXX";
    int from = mkstemp(name), to = mkstemp(other);
    if (from < 0 || to < 0) die("mkstemp");
    unlink(name);
    unlink(other);
    for (int i = 0; i < 2048; i++)
        if (write(from, block, sizeof block) != sizeof block) die("write");
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    for (long i = 0; i < count; i++) {
        if (i % 2048 == 0) {
            lseek(from, 0, SEEK_SET);
            lseek(to, 0, SEEK_SET);
        }
        if (read(from, block, sizeof block) != sizeof block) die("read");
        if (write(to, block, sizeof block) != sizeof block) die("write");
    }
    report(count, wall_ns() - wall, cpu_ns() - cpu);
}
