/* process_state: everything about itself that a process can ask and that must be the same as without the
 * sensor.
 * Trap: an extra thread breaks Chrome and bash (AppScope#142), 907 wake-ups a second; a launcher that leaves
 * SIGPIPE ignored, a mask, a session, a umask or a limit changed.
 * run: (no arguments)
 */
#include "victim.h"
#include <dirent.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static void show_line(const char *file, const char *name) {
    char line[256];
    FILE *stream = fopen(file, "r");
    MUST(stream);
    while (fgets(line, sizeof line, stream))
        if (!strncmp(line, name, strlen(name))) say("%s", line);
    fclose(stream);
}

static void show(const char *when) {
    say("%s\n", when);
    const char *names[] = {"Umask", "State", "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt",
                           "CapPrm", "CapEff", "NoNewPrivs", "Seccomp", "Cpus_allowed:", "CoreDumping", "TracerPid",
                           "Uid", "Gid", "VmLck", "VmPin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) show_line("/proc/self/status", names[i]);
    struct rlimit limit;
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        getrlimit(i, &limit);
        say("limit %d: %llx %llx\n", i, (unsigned long long)limit.rlim_cur, (unsigned long long)limit.rlim_max);
    }
    struct itimerval timer;
    for (int which = 0; which < 3; which++) {
        getitimer(which, &timer);
        say("timer %d: %ld\n", which, (long)timer.it_value.tv_sec);
    }
    int value = -1;
    prctl(PR_GET_PDEATHSIG, &value);
    say("pdeathsig %d dumpable %d keepcaps %d subreaper ", value, prctl(PR_GET_DUMPABLE), prctl(PR_GET_KEEPCAPS));
    prctl(PR_GET_CHILD_SUBREAPER, &value);
    say("%d timerslack %d\n", value, prctl(PR_GET_TIMERSLACK));
    say("nice %d policy %d\n", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0));
    say("stdio %d %d %d\n", isatty(0), isatty(1), isatty(2));
    for (int fd = 0; fd < 3; fd++) {
        struct stat status;
        say("fd %d: flags %x type %o\n", fd, fcntl(fd, F_GETFL), fstat(fd, &status) ? 0 : status.st_mode & S_IFMT);
    }
    say_descriptors(when);
    errno = 0;
    say("wait %d errno %d\n", (int)waitpid(-1, NULL, WNOHANG), errno); /* no child that we did not make */
    show_line("/proc/self/stat", "none");
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) say("argument %s\n", argv[i]);
    char name[16];
    prctl(PR_GET_NAME, name);
    say("name %s\n", name);
    show("at start");
    for (int i = 0; i < 100; i++) MUST(touch("file") == 0);
    pid_t pid = fork();
    if (pid == 0) {
        show("in a child");
        _exit(0);
    }
    reap("child", pid);
    show("at the end");
    return 0;
}
