// The least cost of a library that looks at the result of a call: read, write, open and close
// call the next definition through a pointer and come back. Nothing is recorded.
//
// The empty asm keeps the compiler from turning the call into a jump: a
// wrapper that does something after the call is returned to. After a system call that return is mispredicted on processors whose
// kernel clears the return predictor on its way out, which costs more than the call itself.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <sys/types.h>

static ssize_t (*next_read)(int, void *, size_t);
static ssize_t (*next_write)(int, const void *, size_t);
static int (*next_open)(const char *, int, mode_t);
static int (*next_close)(int);

__attribute__((constructor)) static void find(void) {
    *(void **)&next_read = dlsym(RTLD_NEXT, "read");
    *(void **)&next_write = dlsym(RTLD_NEXT, "write");
    *(void **)&next_open = dlsym(RTLD_NEXT, "open");
    *(void **)&next_close = dlsym(RTLD_NEXT, "close");
}

ssize_t read(int fd, void *to, size_t len) {
    ssize_t done = next_read(fd, to, len);
    __asm__ volatile("");
    return done;
}

ssize_t write(int fd, const void *from, size_t len) {
    ssize_t done = next_write(fd, from, len);
    __asm__ volatile("");
    return done;
}

// Without <fcntl.h>, so with fixed arity: the third argument is passed on whether it is there or not.
int open(const char *path, int flags, mode_t mode) {
    int fd = next_open(path, flags, mode);
    __asm__ volatile("");
    return fd;
}

int close(int fd) {
    int done = next_close(fd);
    __asm__ volatile("");
    return done;
}
