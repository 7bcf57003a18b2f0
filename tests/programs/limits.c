/* limits: an image that starts under limits which leave no room for a sensor's start.
 * Trap: ftruncate above RLIMIT_FSIZE raises SIGXFSZ; RLIMIT_NOFILE of 4 leaves one descriptor; RLIMIT_AS
 * leaves no room for a mapping; RLIMIT_STACK and RLIMIT_MEMLOCK are small. Each limit is set, then the victim
 * execs itself.
 * Usage: limits {nofile N|fsize N|as MIB|stack KIB|data MIB|memlock 0|nproc 0|core 0}
 * run: nofile 4 | nofile 5 | nofile 10 | fsize 0 | fsize 1 | fsize 4096 | as 5 | as 8 | as 16
 * run: as 64 | stack 64 | data 2 | memlock 0 | core 0
 */
#include "victim.h"
#include <sys/mman.h>

static int second(const char *what) {
    int fds[12], count = 0;
    if (!strcmp(what, "nofile")) {
        while (count < 12 && (fds[count] = open("/dev/null", O_RDONLY)) >= 0) count++;
        say("opened %d, then errno %d\n", count, count < 12 ? errno : 0);
        for (int i = 0; i < count; i++) say("fd %d\n", fds[i]), close(fds[i]);
        FILE *stream = SHOW_POINTER(fopen("/dev/null", "r"));
        if (stream) fclose(stream);
    }
    if (!strcmp(what, "fsize")) {
        signal(SIGXFSZ, SIG_IGN);
        char block[512] = {0};
        int fd = open("grown", O_CREAT | O_WRONLY | O_TRUNC, 0600), rounds = 0;
        say("fd %d\n", fd);
        while (rounds < 100 && write(fd, block, sizeof block) == (ssize_t)sizeof block) rounds++;
        say("%d blocks, then errno %d\n", rounds, errno);
        SHOW(ftruncate(fd, 1 << 30));
        SHOW(close(fd));
    }
    if (!strcmp(what, "as") || !strcmp(what, "data")) {
        SHOW_POINTER(malloc(4096));
        SHOW(mmap(NULL, 1ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    }
    for (int i = 0; i < 20; i++)
        if (touch("under-the-limit") != 0) say("touch failed: errno %d\n", errno);
    pid_t pid = fork();
    if (pid == 0) _exit(touch("by-the-child") == 0 ? 8 : 9);
    if (pid < 0) say("fork failed: errno %d\n", errno);
    else reap("fork", pid);
    SHOW(system("true"));
    struct rlimit limit;
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        getrlimit(i, &limit);
        say("limit %d: %lld %lld\n", i, (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
    say_descriptors("at the end");
    return 0;
}

int main(int argc, char **argv) {
    MUST(argc == 3);
    if (!strcmp(argv[0], "second")) return second(argv[1]);
    static char self[4096];
    MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    long value = atol(argv[2]);
    struct { const char *name; int which; long unit; } limits[] = {
        {"nofile", RLIMIT_NOFILE, 1}, {"fsize", RLIMIT_FSIZE, 1}, {"as", RLIMIT_AS, 1 << 20},
        {"stack", RLIMIT_STACK, 1024}, {"data", RLIMIT_DATA, 1 << 20}, {"memlock", RLIMIT_MEMLOCK, 1},
        {"core", RLIMIT_CORE, 1}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (!strcmp(limits[i].name, argv[1])) {
            struct rlimit limit = {value * limits[i].unit, value * limits[i].unit};
            MUST(setrlimit(limits[i].which, &limit) == 0);
            char *arguments[] = {"second", argv[1], argv[2], NULL};
            execv(self, arguments);
            say("exec failed: errno %d\n", errno);
            return 98;
        }
    return 99;
}
