/* drop_privileges: root becomes nobody, as servers do for their workers, then forks and execs.
 * Trap: a worker that may not reach the collector's socket goes unseen (nginx's and postgres' children).
 * Usage: drop_privileges: works in the directory `open-to-all`, which the test has made writable.
 */
#include "victim.h"
#include <grp.h>

int main(void) {
    MUST(chdir("open-to-all") == 0);
    MUST(touch("as-root") == 0);
    pid_t pid = fork();
    if (pid == 0) {
        MUST(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
        SHOW(touch("as-nobody"));
        SHOW(open("as-root", O_RDONLY));
        execl("/bin/sh", "sh", "-c", ": > image-of-nobody; exit 3", (char *)NULL);
        _exit(98);
    }
    reap("worker", pid);
    return 0;
}
