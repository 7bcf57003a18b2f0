/* own_listener: asks for a listener of its own, as a supervisor of containers does, and goes on without.
 */
#include "victim.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER 8
#endif

int main(void) {
    struct sock_filter allow = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
    struct sock_fprog program = { 1, &allow };
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    say("listener: %s\n", listener >= 0 ? "ok" : strerror(errno));
    say("filter: %ld\n", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
    int fd = open("made", O_CREAT | O_WRONLY, 0600);
    MUST(fd >= 0 && close(fd) == 0);
    return 0;
}
