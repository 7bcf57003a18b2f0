/* exec_at_limit: the longest environment that still can be passed to an exec, by posix_spawn and execve.
 * Trap: a variable more in it makes the last exec that fits fail with E2BIG. A spawn that is made once more takes its
 * file actions twice, and its parent gets the signal of a child's end twice.
 * run: (no arguments)
 */
#include "victim.h"
#include <spawn.h>

enum { PIECE = 1000, PIECES = 400 };

static char *strings[PIECES + 1];
static char last[PIECE + 1];
static char *more;

/* An environment of `len` bytes, NULs and all, and one variable more. */
static char **of_len(int len) {
    int pieces = (len - 4) / PIECE;
    for (int i = 0; i < pieces; i++) strings[i] = strings[PIECES];
    int rest = len - pieces * PIECE;
    memset(last, 'x', sizeof last);
    memcpy(last, "L=", 2);
    last[rest - 1] = 0;
    strings[pieces] = last;
    static char *environment[PIECES + 3];
    memcpy(environment, strings, (pieces + 1) * sizeof *strings);
    environment[pieces + 1] = more;
    environment[pieces + 2] = NULL;
    return environment;
}

static volatile sig_atomic_t ends;

static void ended(int number) { ends += number == SIGCHLD; }

static int spawned(char **environment, posix_spawn_file_actions_t *actions) {
    char *arguments[] = {"true", NULL};
    pid_t pid;
    ends = 0;
    int error = posix_spawn(&pid, "/bin/true", actions, NULL, arguments, environment);
    if (error == 0) MUST(waitpid(pid, NULL, 0) == pid);
    else MUST(error == E2BIG);
    MUST(ends == 1);
    return error == 0;
}

static int spawns(char **environment) { return spawned(environment, NULL); }

/* The child makes a file that must not be there. */
static int spawns_with_file(char **environment) {
    posix_spawn_file_actions_t actions;
    MUST(posix_spawn_file_actions_init(&actions) == 0);
    MUST(posix_spawn_file_actions_addopen(&actions, 9, "made", O_CREAT | O_EXCL | O_WRONLY, 0600) == 0);
    int fits = spawned(environment, &actions);
    posix_spawn_file_actions_destroy(&actions);
    MUST(unlink("made") == 0);
    return fits;
}

static int execs(char **environment) {
    char *arguments[] = {"true", NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        execve("/bin/true", arguments, environment);
        _exit(errno == E2BIG ? 7 : 8);
    }
    int status;
    MUST(waitpid(pid, &status, 0) == pid && (status == 0 || status == 7 << 8));
    return status == 0;
}

int main(void) {
    /* A quarter of the stack's limit is for arguments and environment (execve(2)). */
    struct rlimit limit = {1 << 20, 1 << 20};
    MUST(setrlimit(RLIMIT_STACK, &limit) == 0);
    static char piece[PIECE];
    memset(piece, 'x', PIECE - 1);
    memcpy(piece, "P=", 2);
    int (*ways[])(char **) = {spawns, spawns_with_file, execs, execs};
    const char *names[] = {"posix_spawn", "posix_spawn with a file", "execve", "execve with the sensor off"};
    signal(SIGCHLD, ended);
    for (int way = 0; way < 4; way++) {
        /* What does not fit for a program without the sensor must not be made shorter. */
        more = way == 3 ? "GLASSBOX=off" : NULL;
        int fits = 100000, fails = 300000;
        while (fails - fits > 1) {
            int middle = (fits + fails) / 2;
            strings[PIECES] = piece;
            if (ways[way](of_len(middle))) fits = middle;
            else fails = middle;
        }
        say("%s: %d bytes\n", names[way], fits);
    }
    return 0;
}
