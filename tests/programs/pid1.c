/* pid1: leaves orphans behind that the first process must reap, as in a container.
 * Usage: pid1 COUNT: makes COUNT orphans, which end at once, then exits.
 * run: 5
 */
#include "victim.h"

int main(int argc, char **argv) {
    MUST(argc == 2);
    for (int i = 0; i < atoi(argv[1]); i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (fork() == 0) _exit(touch("orphan") == 0 ? 0 : 1);
            _exit(0);
        }
        MUST(waitpid(pid, NULL, 0) == pid);
    }
    usleep(200000);
    say("done\n");
    return 0;
}
