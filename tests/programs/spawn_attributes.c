/* spawn_attributes: posix_spawn's file actions and attributes arrive unchanged.
 * Trap: a spawn that is re-made by fork and exec forgets one of them, or its errors.
 * run: (no arguments)
 */
#include "victim.h"
#include <spawn.h>

int main(int argc, char **argv) {
    static char self[4096];
    if (argc > 1 && !strcmp(argv[1], "child")) {
        char name[64];
        sigset_t blocked;
        sigprocmask(SIG_BLOCK, NULL, &blocked);
        struct sigaction action;
        sigaction(SIGPIPE, NULL, &action);
        say("blocked USR1 %d USR2 %d, SIGPIPE %s, leader %d\n", sigismember(&blocked, SIGUSR1),
            sigismember(&blocked, SIGUSR2), action.sa_handler == SIG_DFL ? "default" : "ignored",
            getpgrp() == getpid());
        ssize_t len = read(9, name, sizeof name);
        say("read by 9: %.*s\n", len > 0 ? (int)len : 0, name);
        say_descriptors("in the child");
        return touch("relative-in-child") == 0 ? 21 : 1;
    }
    (void)argv;
    MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    MUST(mkdir("there", 0700) == 0);
    int fd = open("content", O_CREAT | O_WRONLY, 0600);
    MUST(write(fd, "content", 7) == 7 && close(fd) == 0);
    signal(SIGPIPE, SIG_IGN);

    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 9, "content", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 5);
#ifdef __GLIBC__
    posix_spawn_file_actions_addchdir_np(&actions, "there");
    posix_spawn_file_actions_addclosefrom_np(&actions, 10);
#endif
    posix_spawnattr_init(&attributes);
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    posix_spawnattr_setsigmask(&attributes, &set);
    sigemptyset(&set), sigaddset(&set, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &set);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

    char *arguments[] = {"spawned", "child", NULL}, *envp[] = {"ONLY=this", NULL};
    pid_t pid = 0;
    int result = posix_spawn(&pid, self, &actions, &attributes, arguments, envp);
    reap("spawned", pid); /* said after the child has spoken */
    say("posix_spawn = %d\n", result);
    posix_spawn_file_actions_addopen(&actions, 11, "missing", O_RDONLY, 0);
    SHOW(posix_spawn(&pid, self, &actions, &attributes, arguments, envp)); /* ENOENT by the action */
    posix_spawn_file_actions_destroy(&actions);
    SHOW(waitpid(-1, NULL, 0));
    say_descriptors("at the end");
    return 0;
}
