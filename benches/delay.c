// Opens a path that carries the time of the call, N times at irregular intervals. The reader of
// the events compares that time with its own clock. With a second argument another thread makes
// so many other events a second meanwhile.
#include "bench.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_int is_over;

// Each millisecond its part of the rate, one open and one close after the other.
static void *background(void *a_second) {
    long made = 0, a_tick = *(long *)a_second / 2000;
    for (uint64_t tick = wall_ns() + 1000000; !atomic_load(&is_over); tick += 1000000) {
        for (long i = 0; i < a_tick; i++, made += 2) {
            int fd = open("/dev/null", O_RDONLY);
            if (fd >= 0) close(fd);
        }
        struct timespec until = {.tv_sec = (time_t)(tick / 1000000000), .tv_nsec = (long)(tick % 1000000000)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    }
    *(long *)a_second = made;
    return NULL;
}

int main(int argc, char **argv) {
    long count = count_argument(argc, argv, 1, 200), beside = count_argument(argc, argv, 2, 0);
    uint64_t start = wall_ns();
    pthread_t thread;
    if (beside && pthread_create(&thread, NULL, background, &beside)) die("pthread_create");
    unsigned seed = 1;
    for (long i = 0; i < count; i++) {
        struct timespec pause = {.tv_nsec = 500000 + rand_r(&seed) % 30000000};
        nanosleep(&pause, NULL);
        char path[64];
        snprintf(path, sizeof path, "/nowhere/delay-%llu", (unsigned long long)clock_ns(CLOCK_REALTIME));
        int fd = open(path, O_RDONLY);
        if (fd >= 0) close(fd);
    }
    atomic_store(&is_over, 1);
    if (beside) pthread_join(thread, NULL);
    printf("{\"iterations\":%ld,\"background\":%ld,\"wall_ns\":%llu,\"cpu_ns\":0}\n", count, beside,
           (unsigned long long)(wall_ns() - start));
}
