/* directories: relative paths after chdir, fchdir and in a forked child.
 * Trap: AppScope reports paths as given, which says nothing about where the file was; a child's chdir must
 * not move its parent.
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    MUST(mkdir("a", 0700) == 0 && mkdir("a/b", 0700) == 0 && mkdir("c", 0700) == 0);
    int top = open(".", O_RDONLY | O_DIRECTORY);
    MUST(top >= 0);
    SHOW(chdir("a"));
    SHOW(touch("in-a"));
    SHOW(chdir("missing"));
    SHOW(touch("still-in-a"));
    SHOW(chdir("b"));
    SHOW(touch("in-b"));
    SHOW(touch("./../../c/./by-dots"));
    pid_t child = fork();
    if (child == 0) {
        SHOW(chdir("../../c"));
        SHOW(touch("childs-in-c"));
        _exit(0);
    }
    reap("child", child);
    SHOW(touch("parent-in-b"));
    SHOW(fchdir(top));
    SHOW(touch("at-top"));
    int b = open("a/b", O_PATH | O_DIRECTORY);
    int copy = fcntl(b, F_DUPFD, 50);
    close(b);
    int fd = SHOW(openat(copy, "by-dirfd", O_CREAT | O_WRONLY, 0600));
    SHOW(close(fd));
    SHOW(close(copy));
    return 0;
}
