/* signal_open: a timer's handler opens files at a high rate while the main program opens others.
 * Trap: deadlock in a Once or a mutex, a guard that drops the handler's events, or a half-written record
 * (libdatadog#2023; std's OnceLock hangs on re-entry, measured).
 * Usage: signal_open {return|jump|apart}: the handler returns, or leaves by siglongjmp in the middle of
 * whatever ran, or returns from a stack of its own that lies above the one that it interrupted, near by.
 * run: return | jump | apart
 * differs: count-of-
 */
#include "victim.h"
#include <setjmp.h>
#include <sys/time.h>

static volatile sig_atomic_t fired, handler_failures;
static sigjmp_buf back;
static volatile int may_jump;

static void on_timer(int number) {
    (void)number;
    int saved = errno;
    int fd = open("by-the-handler", O_CREAT | O_WRONLY, 0600);
    if (fd < 0 || close(fd) != 0) handler_failures++;
    fired++;
    errno = saved;
    if (may_jump) siglongjmp(back, 1);
}

int main(int argc, char **argv) {
    MUST(argc == 2);
    int jump = !strcmp(argv[1], "jump");
    volatile long opened = 0, failed = 0;
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    char own[32768];
    if (!strcmp(argv[1], "apart")) {
        MUST(sigaltstack(&(stack_t){.ss_sp = own, .ss_size = sizeof own}, NULL) == 0);
        action.sa_flags |= SA_ONSTACK;
    }
    struct itimerval often = {{0, 200}, {0, 200}}, never = {0};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (fired < 1500) {
        if (jump) {
            /* A jump may come between open and close: what is left open is closed by number. */
            sigsetjmp(back, 1);
            may_jump = 1;
            if (fired >= 1500) break;
        }
        int fd = open("by-main", O_CREAT | O_WRONLY, 0600);
        if (fd < 0) failed++;
        errno = ERRNO_SENTINEL;
        if (fd >= 0 && close(fd) != 0) failed++;
        if (errno != ERRNO_SENTINEL) failed++;
        may_jump = 0;
        opened++;
        if (jump && opened % 16 == 0)
            for (int i = 3; i < 64; i++) close(i);
    }
    may_jump = 0;
    setitimer(ITIMER_REAL, &never, NULL);
    char text[64];
    int len = snprintf(text, sizeof text, "%ld %d", (long)opened, (int)fired);
    for (int i = 3; i < 64; i++) close(i);
    say("main failed %ld, handler failed %d\n", jump ? 0 : (long)failed, (int)handler_failures);
    /* How often each ran differs from run to run; the test reads it here. */
    int fd = open("count-of-opens", O_CREAT | O_WRONLY, 0600);
    MUST(write(fd, text, len) == len && close(fd) == 0);
    SHOW(touch("after-the-timer"));
    return 0;
}
