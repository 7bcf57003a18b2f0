/* fd_3000: descriptors far above what a table of 1024 holds.
 * Trap: events stop at a fixed table's end (AppScope reported 1016 of 3000).
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 80000 ? limit.rlim_max : 80000;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    MUST(limit.rlim_cur > 3100);

    char path[32];
    int last = -1;
    for (int i = 0; i < 3000; i++) {
        snprintf(path, sizeof path, "held.%d", i);
        last = open(path, O_CREAT | O_WRONLY, 0600);
        if (last != i + 3) say("%s got %d\n", path, last);
    }
    say("last fd %d\n", last);
    SHOW(write(last, "12345", 5));
    for (int fd = 3; fd <= last; fd++) close(fd);

    /* Above any table that an implementation is likely to keep, as far as this machine's limit allows. */
    int high = limit.rlim_cur > 70200 ? 70000 : (int)limit.rlim_cur - 200;
    int fd = open("far", O_CREAT | O_WRONLY, 0600);
    int far = fcntl(fd, F_DUPFD, high);
    MUST(far == high && dup3(fd, high + 100, O_CLOEXEC) == high + 100);
    close(fd);
    SHOW(openat(far, "below-a-file", O_RDONLY));
    SHOW(write(far, "123456", 6));
    SHOW(close(high));
    SHOW(write(high + 100, "7", 1));
    SHOW(close(high + 100));

    /* A child's table may be smaller. */
    pid_t child = fork();
    if (child == 0) {
        fd = open("childs-far", O_CREAT | O_WRONLY, 0600);
        far = fcntl(fd, F_DUPFD, 2500);
        close(fd);
        SHOW(openat(far, "below-the-childs", O_RDONLY));
        SHOW(write(far, "1234", 4));
        _exit(close(far));
    }
    reap("child", child);
    SHOW(close(1000000));
    return 0;
}
