/* close_family: every way a descriptor ends or is duplicated.
 * Trap: a close that the sensor does not see leaves the old path on the number, so that later events are
 * attributed to the wrong file; AppScope#478 (close events missed), AppScope#1258 (use of a closed socket
 * crashed).
 * run: (no arguments)
 */
#include "victim.h"
#include <dirent.h>

static int file(const char *path) {
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    MUST(fd >= 0);
    return fd;
}

int main(void) {
    int fd = file("close.plain");
    SHOW(write(fd, "12345", 5));
    SHOW(close(fd));
    SHOW(close(fd)); /* EBADF */
    SHOW(read(fd, &fd, 1));

    FILE *stream = fopen("close.fclose", "w");
    MUST(stream);
    SHOW(fclose(stream));
    DIR *listing = opendir(".");
    MUST(listing);
    SHOW(closedir(listing));

    fd = file("close.dup");
    int copy = SHOW(dup(fd));
    SHOW(write(copy, "123", 3));
    SHOW(close(fd));
    SHOW(write(copy, "45", 2)); /* the open file lives on in its copy */
    SHOW(close(copy));

    int first = file("close.dup2-over"), second = file("close.dup2-kept");
    SHOW(dup2(second, first)); /* ends close.dup2-over */
    SHOW(dup2(second, second));
    SHOW(dup2(999, first));
    SHOW(close(first));
    SHOW(close(second));
    first = file("close.dup3-over"), second = file("close.dup3-kept");
    SHOW(dup3(second, first, O_CLOEXEC));
    SHOW(dup3(second, second, 0));
    SHOW(close(first));
    SHOW(close(second));

    fd = file("close.fcntl");
    int high = SHOW(fcntl(fd, F_DUPFD, 100));
    int higher = SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 200));
    SHOW(fcntl(higher, F_GETFD));
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(999, F_GETFL));
    SHOW(close(fd));
    SHOW(close(high));
    SHOW(close(higher));

    fd = file("close.range");
    SHOW(syscall(SYS_close_range, fd, fd, 0));
    SHOW(close(fd));
    fd = file("close.at-exit");
    SHOW(write(fd, "1234567", 7));
    say_descriptors("at the end");
    return 3; /* close.at-exit ends with the process */
}
