/* below: processes of a pid namespace below: by clone(2), and by unshare(2); a thread, a fork without an exec,
 * a kill, an exec and 30 short-lived children there.
 * Trap: a process counts in its own namespace, and its collector in another one.
 */
#include "victim.h"
#include <sched.h>

static void *in_thread(void *unused) {
    touch("by-thread");
    usleep(100000);
    return unused;
}

/* What happens in a namespace. The child that is killed lives long enough to be looked at. */
static int inside(void) {
    touch("inside");
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, in_thread, NULL) == 0);
    pid_t child = fork();
    if (child == 0) {
        touch("by-child");
        for (;;) pause();
    }
    usleep(50000);
    MUST(kill(child, SIGKILL) == 0);
    MUST(waitpid(child, NULL, 0) == child);
    for (int i = 0; i < 30; i++) {
        child = fork();
        if (child == 0) {
            execl("/bin/true", "true", NULL);
            _exit(127);
        }
        MUST(waitpid(child, NULL, 0) == child);
    }
    pthread_join(thread, NULL);
    return 0;
}

int main(void) {
    pid_t child = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(inside());
    MUST(child > 0 && waitpid(child, NULL, 0) == child);

    MUST(unshare(CLONE_NEWPID) == 0);
    child = fork();
    if (child == 0) _exit(inside());
    MUST(child > 0 && waitpid(child, NULL, 0) == child);
    return 0;
}
