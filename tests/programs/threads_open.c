/* threads_open: 8 threads, 5000 opens each, numbers reused by whichever thread comes first.
 * Trap: AppScope lost or misattributed 2 % of these; a lost record or a number whose path is updated too late
 * shows here. Thread i opens `t<i>`, writes i+1 bytes, and closes.
 * build: -pthread
 * run: (no arguments)
 */
#include "victim.h"

static void *opener(void *argument) {
    long i = (long)argument, failed = 0;
    char path[8];
    snprintf(path, sizeof path, "t%ld", i);
    for (int n = 0; n < 5000; n++) {
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        if (fd < 0 || write(fd, "12345678", i + 1) != i + 1 || close(fd) != 0) failed++;
    }
    return (void *)failed;
}

int main(void) {
    pthread_t threads[8];
    for (long i = 0; i < 8; i++) MUST(pthread_create(&threads[i], NULL, opener, (void *)i) == 0);
    for (long i = 0; i < 8; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        say("thread %ld: %ld failed\n", i, (long)failed);
    }
    return 0;
}
