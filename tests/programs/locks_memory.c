/* locks_memory: a program without privileges locks all its memory, under the limit that most systems set.
 * Trap: mlockall(2) counts every mapping, however little of it is in use, so that a sparse one of a sensor makes
 * it fail; jackd, ntpd, real-time programs.
 * Usage: locks_memory {current|future|both|onfault|by_number|guest} LIMIT_KIB
 * run: current 8192 | future 8192 | both 8192 | onfault 8192 | by_number 8192 | guest 8192 | both 64 | current 0
 */
#include "victim.h"
#include <sys/mman.h>

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

int main(int argc, char **argv) {
    MUST(argc == 3);
    rlim_t limit = strtoul(argv[2], NULL, 0) << 10;
    MUST(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){limit, limit}) == 0);
    if (getuid() == 0) MUST(setgid(65534) == 0 && setuid(65534) == 0);
    SHOW(close(open("/dev/null", O_RDONLY)));
    if (!strcmp(argv[1], "current")) SHOW(mlockall(MCL_CURRENT));
    if (!strcmp(argv[1], "future")) SHOW(mlockall(MCL_FUTURE));
    if (!strcmp(argv[1], "both")) SHOW(mlockall(MCL_CURRENT | MCL_FUTURE));
    if (!strcmp(argv[1], "onfault")) SHOW(mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT));
    if (!strcmp(argv[1], "by_number")) SHOW(syscall(SYS_mlockall, MCL_CURRENT | MCL_FUTURE));
    if (!strcmp(argv[1], "guest")) {
        pid_t pid = vfork();
        if (pid == 0) _exit(mlockall(MCL_CURRENT) == 0 ? 7 : 1);
        reap("the child that locks its parent's memory", pid);
    }
    /* What is left of the limit is the program's. */
    void *more = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    say("a mebibyte more: %s\n", more != MAP_FAILED ? "yes" : "no");
    for (int i = 0; i < 20; i++) SHOW(close(open("/dev/null", O_RDONLY)));
    SHOW(system("exit 3"));
    SHOW(munlockall());
    say_descriptors("at the end");
    return 0;
}
