/* seccomp_strict: after strict mode only read, write, _exit and sigreturn are allowed.
 * Trap: AppScope swallows prctl(PR_SET_SECCOMP, STRICT), so that the program believes in a sandbox it has not
 * (AS#1032); a hook that makes any other system call gets the program killed.
 * Usage: seccomp_strict {io|open|getpid}: what is done after it; all but io must die by SIGKILL.
 * run: io | open | getpid
 */
#include "victim.h"
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/uio.h>

int main(int argc, char **argv) {
    int fds[2];
    char buffer[64];
    MUST(argc == 2 && pipe(fds) == 0);
    int fd = open("kept-open", O_CREAT | O_RDWR, 0600);
    MUST(fd >= 0);
    for (int i = 0; i < 100; i++) MUST(touch("before") == 0);
    int mode = argv[1][0];
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) say("refused: errno %d\n", errno);
    for (int i = 0; i < 1000; i++)
        if (write(fds[1], "0123456789", 10) != 10 || read(fds[0], buffer, sizeof buffer) != 10) syscall(SYS_exit, 3);
    write(fd, "123", 3);
    errno = ERRNO_SENTINEL;
    ssize_t bad = read(999, buffer, 1);
    int bad_errno = errno;
    if (mode == 'o') open("forbidden", O_RDONLY);
    if (mode == 'g') syscall(SYS_getpid);
    say("still here %zd %d\n", bad, bad_errno);
    syscall(SYS_exit, 5); /* exit_group is not allowed */
    return 6;
}
