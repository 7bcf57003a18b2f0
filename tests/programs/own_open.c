/* own_open: a program that defines `open` and `read` itself and passes them on by dlsym(RTLD_NEXT).
 * Trap: the program's definition comes before ours in look-up order; a sensor that takes it for the real
 * function calls in circles (AppScope#761's kin), or the program's next definition is missing.
 * build: -rdynamic -ldl -fno-builtin
 * run: (no arguments)
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/types.h>

static int own_opens, own_reads, depth;

int open(const char *path, int flags, ...) {
    static int (*next)(const char *, int, ...);
    if (!next) next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    own_opens++;
    if (++depth > 3) return -77;
    int fd = next(path, flags, mode);
    depth--;
    return fd;
}

ssize_t read(int fd, void *buffer, size_t len) {
    static ssize_t (*next)(int, void *, size_t);
    if (!next) next = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    own_reads++;
    return next(fd, buffer, len);
}

#include "victim.h"

int main(void) {
    char buffer[8];
    int fd = open("own.open", O_CREAT | O_RDWR, 0600);
    say("fd %d, own opens %d\n", fd, own_opens);
    SHOW(write(fd, "12345", 5));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(read(fd, buffer, 8));
    say("own reads %d\n", own_reads);
    SHOW(close(fd));
    fd = openat(AT_FDCWD, "own.openat", O_CREAT | O_RDWR, 0600);
    say("fd %d, own opens %d\n", fd, own_opens);
    SHOW(close(fd));
    return 0;
}
