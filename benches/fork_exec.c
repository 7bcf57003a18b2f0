// fork, exec of a program, wait; N times. A second argument `vfork` or `spawn` chooses the other ways.
#include "bench.h"
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    volatile long count = count_argument(argc, argv, 1, 500); // volatile: kept over vfork
    const char *way = argc > 2 ? argv[2] : "fork";
    char *program[] = {"/bin/true", NULL};
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    for (long i = 0; i < count; i++) {
        pid_t child;
        if (!strcmp(way, "spawn")) {
            if (posix_spawn(&child, program[0], NULL, NULL, program, environ)) die("posix_spawn");
        } else {
            child = !strcmp(way, "vfork") ? vfork() : fork();
            if (child < 0) die("fork");
            if (child == 0) {
                execv(program[0], program);
                _exit(127);
            }
        }
        int status;
        if (waitpid(child, &status, 0) != child || status) die("wait");
    }
    report(count, wall_ns() - wall, cpu_ns() - cpu);
}
