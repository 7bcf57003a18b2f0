/* cancel_pending: a cancel that is already pending acts at the next cancellation point; a disabled one does
 * not.
 * Trap: a hook that makes a call which is (or is not) a cancellation point moves the place where a thread
 * dies: dup and socket are none, open and close are.
 * build: -pthread -fexceptions
 * run: (no arguments)
 */
#include "victim.h"
#include <sys/socket.h>

static volatile int step;

static void *worker(void *mode) {
    int old;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    pthread_cancel(pthread_self());
    step = 1;
    if (touch("while-disabled") == 0) step = 2;
    int fd = open("kept", O_CREAT | O_RDWR, 0600);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    int copy = dup(fd);
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    step = copy >= 0 && other >= 0 ? 3 : -3; /* neither is a cancellation point */
    switch ((long)mode) {
    case 0: open("never-made", O_CREAT | O_WRONLY, 0600); break;
    case 1: close(copy); break;
    case 2: write(fd, "x", 1); break;
    case 3: accept(other, NULL, NULL); break;
    case 4: fopen("maybe-made", "w"); break;
    case 5: waitpid(-1, NULL, 0); break;
    }
    step = 4;
    return NULL;
}

int main(void) {
    for (long mode = 0; mode < 6; mode++) {
        pthread_t thread;
        void *result;
        step = 0;
        MUST(pthread_create(&thread, NULL, worker, (void *)mode) == 0);
        MUST(pthread_join(thread, &result) == 0);
        say("mode %ld: %s at step %d\n", mode, result == PTHREAD_CANCELED ? "cancelled" : "returned", step);
    }
    say("never-made %s\n", access("never-made", F_OK) ? "is not there" : "is there");
    say_descriptors("at the end");
    return 0;
}
