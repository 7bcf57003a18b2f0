/* exec_big_env: environments and argument lists of thousands of strings, passed to every call that merges
 * them.
 * Trap: a merged array kept in a fixed buffer is cut; one kept on the stack overflows it; one that is mapped
 * in a vfork child stays in its parent.
 * Usage: exec_big_env COUNT
 * run: 3 | 200 | 3000
 */
#include "victim.h"
#include <spawn.h>

static size_t mapped_kib(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    MUST(file && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    return pages * 4;
}

int main(int argc, char **argv) {
    static char self[4096];
    if (argc > 2 && !strcmp(argv[1], "child")) {
        size_t count = 0;
        unsigned long sum = 0;
        for (char **e = environ; *e; e++)
            if (!strncmp(*e, "BIG", 3)) {
                count++;
                for (char *c = *e; *c; c++) sum = sum * 31 + *c;
            }
        say("child: %d arguments, %zu strings, sum %lu\n", argc, count, sum);
        return touch("big-child") == 0 ? 0 : 1;
    }
    MUST(argc == 2 && readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    int count = atoi(argv[1]);
    char **big = calloc(count + 1, sizeof *big);
    char **arguments = calloc(count + 4, sizeof *arguments);
    for (int i = 0; i < count; i++) {
        MUST(asprintf(&big[i], "BIG%d=value-%d", i, i * 7) > 0);
        arguments[i + 3] = big[i];
    }
    arguments[0] = "big", arguments[1] = "child", arguments[2] = "argument";

    size_t before = 0;
    for (int round = 0; round < 20; round++) {
        pid_t pid = 0;
        if (posix_spawn(&pid, self, NULL, NULL, arguments, big) != 0) say("spawn failed\n");
        if (round == 0) reap("posix_spawn", pid);
        else MUST(waitpid(pid, NULL, 0) == pid);
        pid = vfork();
        if (pid == 0) {
            execve(self, arguments, big);
            _exit(98);
        }
        if (round == 0) reap("vfork and execve", pid);
        else MUST(waitpid(pid, NULL, 0) == pid);
        pid = vfork();
        if (pid == 0) {
            execve("/missing/program", arguments, big);
            _exit(97);
        }
        if (round == 0) reap("vfork and failed execve", pid);
        else MUST(waitpid(pid, NULL, 0) == pid);
        if (round == 1) before = mapped_kib();
    }
    /* What stays mapped in the parent after each of 18 more rounds would be seen here. */
    say("grew by %s\n", mapped_kib() < before + 256 ? "nothing" : "too much");
    return 0;
}
