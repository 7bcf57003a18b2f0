// Starts a program that prints to nowhere and waits for it, N times. The arguments are N and the program's words.
#include "bench.h"
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv) {
    long count = count_argument(argc, argv, 1, 1);
    if (argc < 3) return 2;
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    uint64_t cpu = cpu_ns(), wall = wall_ns();
    for (long i = 0; i < count; i++) {
        pid_t child;
        if (posix_spawn(&child, argv[2], &quiet, NULL, argv + 2, environ)) die(argv[2]);
        int status;
        if (waitpid(child, &status, 0) != child || status) die("wait");
    }
    report(count, wall_ns() - wall, cpu_ns() - cpu);
}
