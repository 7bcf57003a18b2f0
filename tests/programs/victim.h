/* What every victim shares: output that can be compared byte for byte.
 *
 * Everything is said by one write(2) on descriptor 1 (no stdio buffer, so nothing is printed twice after a
 * fork and nothing is lost at _exit). A victim says results, errno and descriptor numbers; never a pid,
 * address or time.
 *
 * In the first comment block of a victim these lines speak to the harness (tests/src/victim.rs):
 *   library: PATH SOURCE FLAGS…  a shared library that is built first; $OUT is where the victim is put
 *   build: FLAGS…                how the victim is compiled
 *   run: ARGUMENTS | …           the invocations that must go unnoticed; none: a test of its own runs it
 *   differs: PREFIX…             files it leaves whose content (or name) is not the same in two bare runs
 */
#ifndef VICTIM_H
#define VICTIM_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A value errno never has: a succeeding call must leave it alone. */
#define ERRNO_SENTINEL 4242

__attribute__((unused, format(printf, 1, 2))) static void say(const char *format, ...) {
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (len > (int)sizeof line - 1) len = sizeof line - 1;
    for (int done = 0; done < len;) {
        ssize_t n = write(1, line + done, len - done);
        if (n <= 0) break;
        done += n;
    }
}

/* Prints the call, its result, and errno: the sentinel where the call left it alone. */
#define SHOW(call)                                                                                                     \
    ({                                                                                                                 \
        errno = ERRNO_SENTINEL;                                                                                        \
        long result_ = (long)(call);                                                                                   \
        int errno_ = errno;                                                                                            \
        say("%s = %ld errno %d\n", #call, result_, errno_);                                                            \
        result_;                                                                                                       \
    })

/* The same for a call that returns a pointer: only whether it is null. */
#define SHOW_POINTER(call)                                                                                             \
    ({                                                                                                                 \
        errno = ERRNO_SENTINEL;                                                                                        \
        __auto_type result_ = (call);                                                                                  \
        int errno_ = errno;                                                                                            \
        say("%s is %s errno %d\n", #call, result_ ? "set" : "null", errno_);                                           \
        result_;                                                                                                       \
    })

/* Set-up that must work, or the victim is worth nothing: exit status 99 marks that in a test's output. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            say("victim broken at line %d: %s: errno %d\n", __LINE__, #condition, errno);                              \
            _exit(99);                                                                                                 \
        }                                                                                                              \
    } while (0)

__attribute__((unused)) static void say_status(const char *what, int status) {
    if (WIFEXITED(status)) say("%s exited %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status)) say("%s killed by %d\n", what, WTERMSIG(status));
    else say("%s status %x\n", what, status);
}

__attribute__((unused)) static void reap(const char *what, pid_t pid) {
    int status = 0;
    pid_t got;
    do got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    if (got != pid) say("%s not reaped: errno %d\n", what, errno);
    else say_status(what, status);
}

/* Opens, and closes, `path` (made if it is not there). Returns 0 if that worked. */
__attribute__((unused)) static int touch(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    return fd < 0 ? -1 : close(fd);
}

/* Lists this process's open descriptors, without the one that the listing itself needs. */
__attribute__((unused)) static void say_descriptors(const char *when) {
    say("descriptors %s:", when);
    for (int fd = 0; fd < 65536; fd++)
        if (fcntl(fd, F_GETFD) >= 0) say(" %d", fd);
    say("\n");
}
#endif
