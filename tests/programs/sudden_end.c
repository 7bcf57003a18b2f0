/* sudden_end: N opens, then an end that runs no destructor.
 * Trap: a sensor that buffers loses everything at SIGKILL, _exit, exit_group, abort, quick_exit (AppScope: 0
 * of 1000); dash ends `sh -c` by _exit.
 * Usage: sudden_end {kill|_exit|exit_group|abort|quick_exit|segv|return|thread_exit} N
 * build: -pthread
 * run: kill 50 | _exit 50 | exit_group 50 | abort 50 | quick_exit 50 | segv 50 | return 50 | thread_exit 50
 */
#include "victim.h"

static void *end_by_thread(void *unused) {
    (void)unused;
    syscall(SYS_exit_group, 7);
    return NULL;
}

int main(int argc, char **argv) {
    MUST(argc == 3);
    MUST(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0);
    for (int n = atoi(argv[2]); n > 0; n--) MUST(touch("opened") == 0);
    say("opened\n");
    if (!strcmp(argv[1], "kill")) kill(getpid(), SIGKILL);
    if (!strcmp(argv[1], "_exit")) _exit(7);
    if (!strcmp(argv[1], "exit_group")) syscall(SYS_exit_group, 7);
    if (!strcmp(argv[1], "abort")) abort();
    if (!strcmp(argv[1], "quick_exit")) quick_exit(7);
    if (!strcmp(argv[1], "segv")) *(volatile int *)8 = 0;
    if (!strcmp(argv[1], "thread_exit")) {
        pthread_t thread;
        MUST(pthread_create(&thread, NULL, end_by_thread, NULL) == 0);
        pthread_exit(NULL); /* the leader ends first and becomes a zombie thread */
    }
    return 7;
}
