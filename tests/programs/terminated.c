/* terminated: says that it is ready, then waits for a signal; what comes is what it dies of or exits with.
 * Trap: a launcher that does not pass on SIGTERM, or dies before its child.
 * Usage: terminated {die|handle|ignore}
 */
#include "victim.h"

static void on_signal(int number) {
    char text[] = "got signal   \n";
    text[11] = '0' + number / 10, text[12] = '0' + number % 10;
    write(1, text, sizeof text - 1);
    touch("in-the-handler");
    _exit(50 + number);
}

int main(int argc, char **argv) {
    MUST(argc == 2);
    int all[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT};
    MUST(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) == 0);
    if (!strcmp(argv[1], "handle"))
        for (int i = 0; i < 6; i++) signal(all[i], on_signal);
    MUST(touch("ready") == 0);
    for (;;) pause();
}
