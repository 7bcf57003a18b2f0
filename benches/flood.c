// Makes events as fast as it can for some seconds (with stub_open.so, the hook's own speed), from
// one thread or several; prints how many it made.
#include "bench.h"
#include <fcntl.h>
#include <pthread.h>

static double seconds;

static void *flood(void *made) {
    uint64_t end = wall_ns() + (uint64_t)(seconds * 1e9);
    long count = 0;
    do {
        for (int i = 0; i < 1000; i++) open("/srv/application/data/records/2026/11.db", O_RDONLY);
        count += 1000;
    } while (wall_ns() < end);
    *(long *)made = count;
    return NULL;
}

int main(int argc, char **argv) {
    seconds = argc > 1 ? atof(argv[1]) : 2;
    long threads = count_argument(argc, argv, 2, 1), made[64] = {0}, total = 0;
    if (threads > 64) threads = 64;
    pthread_t thread[64];
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    for (long i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, flood, &made[i])) die("pthread_create");
    for (long i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        total += made[i];
    }
    report(total, wall_ns() - wall, cpu_ns() - cpu);
}
