/* limit_later: limits that the program sets on itself while it runs, down to no descriptor at all.
 * Trap: AppScope swallows setrlimit's effect (AS#1032's kin); a hook that needs a descriptor or a mapping on
 * its path.
 * run: (no arguments)
 */
#include "victim.h"
#include <spawn.h>

int main(void) {
    MUST(touch("before") == 0);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 3;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    SHOW(open("none-left", O_CREAT | O_WRONLY, 0600)); /* EMFILE */
    SHOW(dup(1));
    pid_t pid = fork();
    if (pid == 0) _exit(open("none-left", O_RDONLY) >= 0 ? 1 : errno);
    reap("fork", pid);
    limit.rlim_cur = 4; /* enough for ld.so; with 3 it would complain of any preload, and then of libc */
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    char *arguments[] = {"true", NULL};
    int result = posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ);
    reap("spawn", pid);
    say("posix_spawn = %d\n", result);
    limit.rlim_cur = 0;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    SHOW(open("none-left", O_RDONLY));
    limit.rlim_cur = 10;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    SHOW(touch("after"));
    struct rlimit space = {0, RLIM_INFINITY};
    MUST(setrlimit(RLIMIT_AS, &space) == 0);
    for (int i = 0; i < 100; i++) MUST(touch("without-memory") == 0);
    pid = fork();
    if (pid == 0) _exit(touch("child-without-memory") == 0 ? 12 : 13);
    if (pid > 0) reap("fork without memory", pid);
    else say("fork failed: errno %d\n", errno);
    space.rlim_cur = RLIM_INFINITY;
    MUST(setrlimit(RLIMIT_AS, &space) == 0);
    SHOW(touch("at-the-end"));
    return 0;
}
