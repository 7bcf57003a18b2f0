/* syscall_passthrough: syscall() itself, with every number of arguments.
 * Trap: a re-routed syscall() that drops the sixth argument, changes errno on success, or turns a long into
 * an int.
 * run: (no arguments)
 */
#include "victim.h"
#include <linux/futex.h>
#include <sys/mman.h>

int main(void) {
    SHOW(syscall(SYS_getpid) == getpid());
    SHOW(syscall(SYS_gettid) == getpid());
    int fd = SHOW(syscall(SYS_openat, AT_FDCWD, "by-syscall", O_CREAT | O_RDWR, 0600));
    SHOW(syscall(SYS_write, fd, "0123456789", 10));
    SHOW(syscall(SYS_pwrite64, fd, "ab", 2, 8192));
    char *map = (char *)syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 8192); /* six arguments */
    say("mapped %.2s, above 4 GiB %d\n", map == MAP_FAILED ? "--" : map, (unsigned long)map > 0xffffffffu);
    SHOW(syscall(SYS_munmap, map, 4096));
    SHOW(syscall(SYS_dup3, fd, 77, O_CLOEXEC));
    SHOW(syscall(SYS_read, 77, &fd, 0));
    SHOW(syscall(SYS_close, 77));
    SHOW(syscall(SYS_close, 77));
    int word = 5;
    SHOW(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 6, NULL, NULL, 0)); /* EAGAIN */
    SHOW(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    SHOW(syscall(SYS_lseek, 3, 1l << 40, SEEK_SET) == 1l << 40);
    SHOW(syscall(-1));
    SHOW(syscall(4096));
    SHOW(syscall(SYS_openat, AT_FDCWD, "missing", O_RDONLY));
    pid_t pid = fork();
    if (pid == 0) syscall(SYS_exit_group, 23);
    reap("exit_group", pid);
    pid = fork();
    if (pid == 0) syscall(SYS_exit, 24);
    reap("exit", pid);
    return 0;
}
