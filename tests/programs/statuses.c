/* statuses: what system, popen and pclose return, and what they do to signals, descriptors and streams.
 * Trap: a wrapper that starts the shell by itself gets one of these wrong: status of a killed shell, SIGCHLD
 * blocked and SIGINT ignored meanwhile, popen's "e", several pipes at once, a child's exit that another wait
 * reaps.
 * run: (no arguments)
 */
#include "victim.h"

static volatile sig_atomic_t children;
static void on_child(int signal) {
    (void)signal;
    children++;
}

int main(void) {
    SHOW(system(NULL) != 0);
    SHOW(system("true"));
    SHOW(system("exit 7"));
    SHOW(system("kill -9 $$"));
    SHOW(system("glassbox-no-such-program 2>/dev/null"));
    SHOW(system(""));
    SHOW(system("kill -INT $PPID; exit 3")); /* system ignores SIGINT in the parent while it waits */
    SHOW(system("kill -QUIT $PPID; exit 4"));

    signal(SIGCHLD, on_child);
    SHOW(system("true"));
    say("SIGCHLD seen %d\n", (int)children);
    signal(SIGCHLD, SIG_IGN);
    SHOW(system("exit 5")); /* ECHILD */
    signal(SIGCHLD, SIG_DFL);

    char text[64];
    FILE *reader = popen("echo one; exit 9", "r");
    say("popen fd %d\n", fileno(reader));
    SHOW_POINTER(fgets(text, sizeof text, reader));
    say("read %s", text);
    SHOW(pclose(reader));
    FILE *writer = popen("cat; exit 2", "w");
    say("popen fd %d\n", fileno(writer));
    fputs("to the child\n", writer);
    SHOW(pclose(writer));

    FILE *first = popen("echo first", "re"), *second = popen("echo second", "r");
    say("popen fds %d %d\n", fileno(first), fileno(second));
    SHOW(fcntl(fileno(first), F_GETFD));
    SHOW(fcntl(fileno(second), F_GETFD));
    SHOW_POINTER(fgets(text, sizeof text, second));
    SHOW_POINTER(fgets(text, sizeof text, first)); /* before the close, or echo may die of SIGPIPE */
    SHOW(pclose(second));
    SHOW(pclose(first));
    SHOW_POINTER(popen("true", "nonsense"));
    FILE *killed = popen("kill -9 $$", "r");
    SHOW(pclose(killed));
    SHOW(waitpid(-1, NULL, 0));
    say_descriptors("at the end");
    return 0;
}
