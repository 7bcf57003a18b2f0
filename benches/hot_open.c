// One open of a 40-byte path, with stub_open.so as the next definition: the rest is the hook.
//
// In bursts with a pause between them, so that the ring never fills: a dropped event would look
// cheaper than a recorded one. Prints the median and the cheapest burst, in picoseconds a call.
#include "bench.h"
#include <fcntl.h>
#include <string.h>

static int by_size(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

int main(int argc, char **argv) {
    enum { BURST = 4000, MOST = 1000 };
    static uint64_t took[MOST];
    long bursts = count_argument(argc, argv, 1, 100);
    if (bursts > MOST) bursts = MOST;
    struct timespec pause = {.tv_nsec = 20000000};
    const char *path = "/srv/application/data/records/2026/11.db";
    if (strlen(path) != 40) return 2;
    for (long burst = 0; burst < bursts; burst++) {
        nanosleep(&pause, NULL);
        uint64_t before = wall_ns();
        for (int i = 0; i < BURST; i++)
            if (open(path, O_RDONLY) != 900) return 3;
        took[burst] = wall_ns() - before;
    }
    qsort(took, bursts, sizeof took[0], by_size);
    printf("{\"iterations\":%ld,\"wall_ns\":%llu,\"median_ps\":%llu,\"min_ps\":%llu}\n", bursts * BURST,
           (unsigned long long)took[bursts / 2] * bursts,
           (unsigned long long)(took[bursts / 2] * 1000 / BURST), (unsigned long long)(took[0] * 1000 / BURST));
}
