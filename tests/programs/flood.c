/* flood: opens as fast as it can, from several threads, so that a reader which is too slow or gone is left
 * behind.
 * Trap: AppScope: 5.7 % of 1 M events delivered and no word about the rest. Full means drop the newest and
 * count it.
 * Usage: flood THREADS OPENS
 * build: -pthread
 * run: 4 20000
 */
#include "victim.h"

static long opens;

static void *opener(void *failed) {
    for (long i = 0; i < opens; i++) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || close(fd) != 0) ++*(long *)failed;
    }
    return NULL;
}

int main(int argc, char **argv) {
    MUST(argc == 3);
    int count = atoi(argv[1]);
    pthread_t threads[64];
    long failed[64] = {0}, total = 0;
    MUST(count > 0 && count <= 64);
    opens = atol(argv[2]);
    for (int i = 0; i < count; i++) MUST(pthread_create(&threads[i], NULL, opener, &failed[i]) == 0);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL), total += failed[i];
    say("failed %ld\n", total);
    return 0;
}
