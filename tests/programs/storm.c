/* storm: threads rename files while a timer interrupts them; counts the calls that fail.
 * Usage: storm THREADS RENAMES [MICROSECONDS between two signals]
 * run: 2 50
 */
#include "victim.h"
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

static long renames;
static volatile sig_atomic_t ticks;

static void tick(int signal) { (void)signal; ticks++; }

static void *work(void *argument) {
    long number = (long)argument, failed = 0;
    char here[64], there[64];
    snprintf(here, sizeof here, "storm.%ld.a", number);
    snprintf(there, sizeof there, "storm.%ld.b", number);
    int fd = open(here, O_CREAT | O_WRONLY, 0600);
    if (fd < 0 || close(fd) != 0) failed++;
    for (long done = 0; done < renames; done++)
        if (rename(done % 2 ? there : here, done % 2 ? here : there) != 0) failed++;
    return (void *)failed;
}

int main(int argc, char **argv) {
    MUST(argc == 3 || argc == 4);
    long threads = atol(argv[1]), failed = 0;
    MUST(threads <= 64);
    renames = atol(argv[2]);
    struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
    MUST(sigaction(SIGALRM, &action, NULL) == 0);
    long gap = argc == 4 ? atol(argv[3]) : 1000;
    struct itimerval every = { { 0, gap }, { 0, gap } };
    MUST(setitimer(ITIMER_REAL, &every, NULL) == 0);
    pthread_t started[64];
    for (long i = 0; i < threads; i++) MUST(pthread_create(&started[i], NULL, work, (void *)i) == 0);
    for (long i = 0; i < threads; i++) {
        void *result;
        MUST(pthread_join(started[i], &result) == 0);
        failed += (long)result;
    }
    every = (struct itimerval){ 0 };
    MUST(setitimer(ITIMER_REAL, &every, NULL) == 0);
    say("failed %ld\n", failed);
    return 0;
}
