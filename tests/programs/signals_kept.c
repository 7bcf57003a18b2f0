/* signals_kept: blocking calls are interrupted, restarted and delivered as without the sensor, which uses no
 * signal.
 * Trap: SIGPIPE from our own socket (AppScope#1147), signals used internally (SIGUSR2, SIGSYS), EINTR turned
 * into something else by a retry in a wrapper.
 * run: (no arguments)
 */
#include "victim.h"
#include <sys/socket.h>
#include <sys/time.h>

static volatile sig_atomic_t got;
static void on_signal(int number) { got = number; }

int main(void) {
    char byte;
    int fds[2];
    for (int number = 1; number <= SIGRTMAX; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            say("signal %d is %s\n", number, action.sa_handler == SIG_IGN ? "ignored" : "caught");
    }
    struct sigaction interrupting = {.sa_handler = on_signal}, restarting = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct itimerval soon = {{0, 0}, {0, 50000}};
    MUST(pipe(fds) == 0);
    sigaction(SIGALRM, &interrupting, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(read(fds[0], &byte, 1)); /* EINTR */
    MUST(mkfifo("fifo", 0600) == 0);
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(open("fifo", O_RDONLY)); /* EINTR */
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) pause();
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(waitpid(pid, NULL, 0)); /* EINTR */
    kill(pid, SIGKILL);
    reap("child", pid);
    sigaction(SIGALRM, &restarting, NULL);
    pid = fork();
    if (pid == 0) {
        usleep(150000);
        write(fds[1], "x", 1);
        _exit(0);
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(read(fds[0], &byte, 1)); /* restarted: 1 */
    reap("writer", pid);

    sigaction(SIGPIPE, &interrupting, NULL);
    close(fds[0]);
    got = 0;
    SHOW(write(fds[1], "x", 1)); /* EPIPE and SIGPIPE */
    say("got SIGPIPE %d\n", got == SIGPIPE);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    close(fds[0]);
    got = 0;
    SHOW(send(fds[1], "x", 1, MSG_NOSIGNAL));
    say("got SIGPIPE %d\n", got == SIGPIPE);
    SHOW(send(fds[1], "x", 1, 0));
    say("got SIGPIPE %d\n", got == SIGPIPE);
    signal(SIGPIPE, SIG_DFL);
    write(fds[1], "x", 1); /* dies of it */
    return 1;
}
