/* daemonise: the double fork of a daemon, whose last child lives on after the program has ended.
 * Trap: a `run` that waits for it, or kills it, or whose end makes it fail: it must be left unharmed.
 * Usage: daemonise MILLISECONDS: the daemon writes `daemon-done` after that time.
 */
#include "victim.h"

int main(int argc, char **argv) {
    MUST(argc == 2);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        if (fork() != 0) _exit(0);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0), dup2(null, 1), dup2(null, 2);
        for (int fd = 3; fd < 256; fd++) close(fd);
        touch("daemon-started");
        for (int rest = atoi(argv[1]); rest > 0; rest -= 10) {
            usleep(10000);
            if (touch("daemon-works") != 0) _exit(1);
        }
        int fd = open("daemon-done.new", O_CREAT | O_WRONLY, 0600);
        write(fd, "done\n", 5);
        close(fd);
        if (system("exit 0") == 0) rename("daemon-done.new", "daemon-done"); /* starts programs still */
        _exit(0);
    }
    reap("first child", pid);
    return 0;
}
