/* orphans: in a pid namespace below, programs that fork a child and end at once; the children live on.
 * Trap: the kernel says of a dead program neither its namespace nor its children, and a child whose parent is
 * gone has another one.
 * "orphans go N": one of those programs; "orphans leave N": one whose child ends at once, too. */
#include "victim.h"
#include <sched.h>

enum { PROGRAMS = 24 };

static int go(int lives_on, const char *number) {
    pid_t child = fork();
    if (child == 0) {
        char name[32];
        if (!lives_on) {
            snprintf(name, sizeof name, "gone-%s", number);
            touch(name);
            _exit(0);
        }
        snprintf(name, sizeof name, "early-%s", number);
        touch(name);
        usleep(700000);
        snprintf(name, sizeof name, "late-%s", number);
        touch(name);
        _exit(0);
    }
    _exit(child < 0);
}

/* The first process of the namespace. */
static int inside(const char *program) {
    touch("inside");
    for (int i = 0; i < PROGRAMS; i++) {
        char number[8];
        snprintf(number, sizeof number, "%d", i);
        pid_t child = fork();
        if (child == 0) {
            execl(program, "orphans", i % 2 ? "leave" : "go", number, NULL);
            _exit(127);
        }
        MUST(waitpid(child, NULL, 0) == child);
    }
    while (wait(NULL) > 0) {}
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3) return go(strcmp(argv[1], "go") == 0, argv[2]);
    MUST(unshare(CLONE_NEWPID) == 0);
    pid_t child = fork();
    if (child == 0) _exit(inside("/proc/self/exe"));
    MUST(child > 0 && waitpid(child, NULL, 0) == child);
    return 0;
}
