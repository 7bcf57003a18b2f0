/* deeds: the list of deeds.h through libc's functions. The dynamic build is the twin that the hooks see; the
 * static builds make the same calls unseen.
 */
#define _GNU_SOURCE
#include <features.h>
/* musl 1.2.3 has no function of this name. */
#ifndef __GLIBC__
#define execveat(...) syscall(SYS_execveat, __VA_ARGS__)
#endif
#define CALL(name, ...) LIBC(name(__VA_ARGS__))
#include "deeds.h"

static long executed(char *path, void *argv, void *envp) {
    pid_t child = vfork();
    if (child == 0) {
        execve(path, argv, envp);
        _exit(127);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child) return -errno;
    return status == 0 ? 0 : -status;
}
