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

    /* Above any table that an implementation is likely to keep. */
    int fd = open("far", O_CREAT | O_WRONLY, 0600);
    int far = fcntl(fd, F_DUPFD, 70000);
    say("far is %s\n", far >= 70000 ? "above 70000" : "refused");
    if (far >= 0) {
        SHOW(dup3(fd, 70100, O_CLOEXEC));
        close(fd);
        SHOW(openat(far, "below-a-file", O_RDONLY));
        SHOW(write(far, "123456", 6));
        SHOW(close(70000));
        SHOW(write(70100, "7", 1));
        SHOW(close(70100));
    }
    SHOW(close(1000000));
    return 0;
}
