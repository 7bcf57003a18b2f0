/* fork_with_threads: threads open without pause while the main thread forks, and each child opens too.
 * Trap: a lock or half-written record of another thread is copied into the child and held for ever
 * (frida#467; AppScope; bytehound disables the child).
 * build: -pthread
 * run: (no arguments)
 * differs: count-of-
 */
#include "victim.h"

static volatile int stop;
static volatile long made[3];

static void *opener(void *argument) {
    long i = (long)argument;
    char path[16];
    snprintf(path, sizeof path, "thread%ld", i);
    while (!stop && made[i] < 20000) {
        if (touch(path) == 0) made[i]++;
        if (made[i] % 50 == 0) usleep(100); /* leaves the main thread some of two cores */
    }
    return NULL;
}

int main(void) {
    pthread_t threads[3];
    for (long i = 0; i < 3; i++) MUST(pthread_create(&threads[i], NULL, opener, (void *)i) == 0);
    int good = 0;
    for (int i = 0; i < 60; i++) {
        pid_t pid = i % 3 == 2 ? vfork() : fork();
        if (pid == 0) {
            if (i % 3 == 1) {
                execl("/bin/true", "true", (char *)NULL);
                _exit(98);
            }
            _exit(touch("forked") == 0 ? 0 : 97);
        }
        int status = -1;
        MUST(waitpid(pid, &status, 0) == pid);
        good += status == 0;
    }
    stop = 1;
    long total = 0;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++) total += made[i];
    say("%d children fine\n", good);
    /* For the test only: how many opens there were is not the same in two runs. */
    char text[32];
    int len = snprintf(text, sizeof text, "%ld", total);
    int fd = open("count-of-threads", O_CREAT | O_WRONLY, 0600);
    MUST(write(fd, text, len) == len && close(fd) == 0);
    return 0;
}
