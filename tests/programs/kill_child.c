/* kill_child: forked children are killed by SIGKILL in the middle of their opens.
 * Trap: a writer that dies between reserving and committing blocks the ring for every writer behind it.
 * After each kill the parent opens `parent-after` once; nothing of that may be missing.
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    int killed = 0;
    for (int i = 0; i < 40; i++) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;) touch("childs");
        usleep(500 + 137 * i % 1000);
        MUST(kill(pid, SIGKILL) == 0);
        int status = 0;
        MUST(waitpid(pid, &status, 0) == pid);
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        MUST(touch("parent-after") == 0);
    }
    say("%d killed\n", killed);
    return 0;
}
