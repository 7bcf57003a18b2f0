/* closefrom: a daemon's start: every descriptor above 2 is closed, then work goes on.
 * Trap: the sensor's own descriptor is closed or reused, so that it spins, or writes into the program's file
 * (AppScope#657 apt-get, #416 git, npm, curl, sshd; lttng-ust-fd exists for it).
 * Usage: closefrom {closefrom|close_range|loop|dup2|proc|close_range_cloexec|close_range_unshare}
 * run: closefrom | close_range | loop | dup2 | proc | close_range_cloexec | close_range_unshare
 */
#include "victim.h"
#include <dirent.h>

int main(int argc, char **argv) {
    MUST(argc == 2);
    for (int i = 0; i < 5; i++) MUST(open("/dev/null", O_RDONLY) >= 0);
    say_descriptors("at start");
    if (!strcmp(argv[1], "closefrom")) {
#ifdef __GLIBC__
        closefrom(3);
#endif
    }
    if (!strcmp(argv[1], "close_range")) SHOW(syscall(SYS_close_range, 3, ~0u, 0));
    if (!strcmp(argv[1], "close_range_cloexec")) SHOW(syscall(SYS_close_range, 3, ~0u, 4));
    if (!strcmp(argv[1], "close_range_unshare")) SHOW(syscall(SYS_close_range, 3, ~0u, 2));
    if (!strcmp(argv[1], "loop")) {
        int closed = 0;
        for (int fd = 3; fd < 1024; fd++) closed += close(fd) == 0;
        say("closed %d\n", closed);
    }
    if (!strcmp(argv[1], "dup2"))
        for (int fd = 3; fd < 256; fd++) MUST(dup2(1, fd) == fd);
    if (!strcmp(argv[1], "proc")) {
        DIR *listing = opendir("/proc/self/fd");
        struct dirent *entry;
        int closed = 0;
        while ((entry = readdir(listing))) {
            int fd = atoi(entry->d_name);
            if (fd > 2 && fd != dirfd(listing)) closed += close(fd) == 0;
        }
        closedir(listing);
        say("closed %d\n", closed);
    }
    say_descriptors("after");
    for (int i = 0; i < 50; i++) {
        char path[32];
        snprintf(path, sizeof path, "after.%d", i);
        int fd = open(path, O_CREAT | O_WRONLY, 0600);
        MUST(fd >= 0);
        if (i == 0) say("first fd %d\n", fd);
        if (write(fd, "mine", 4) != 4) say("short write\n");
        close(fd);
        struct stat status;
        MUST(stat(path, &status) == 0);
        if (status.st_size != 4) say("%s has %lld bytes\n", path, (long long)status.st_size);
    }
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "ls -1 /proc/self/fd | wc -l; exit 6", (char *)NULL);
        _exit(98);
    }
    reap("child", pid);
    return 0;
}
