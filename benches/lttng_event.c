// The same event by LTTng-UST: a 40-byte string and four integers, in the same bursts as hot_open.c.
// Built only where liblttng-ust-dev is installed.
#define TRACEPOINT_CREATE_PROBES
#define TRACEPOINT_DEFINE
#include "lttng_event_tp.h"
#include "bench.h"

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
    for (long burst = 0; burst < bursts; burst++) {
        nanosleep(&pause, NULL);
        uint64_t before = wall_ns();
        for (int i = 0; i < BURST; i++)
            tracepoint(glassbox_bench, open, "/srv/application/data/records/2026/11.db", 900, 0, 0, i);
        took[burst] = wall_ns() - before;
    }
    qsort(took, bursts, sizeof took[0], by_size);
    printf("{\"iterations\":%ld,\"wall_ns\":%llu,\"median_ps\":%llu,\"min_ps\":%llu}\n", bursts * BURST,
           (unsigned long long)took[bursts / 2] * bursts,
           (unsigned long long)(took[bursts / 2] * 1000 / BURST), (unsigned long long)(took[0] * 1000 / BURST));
}
