/* looks: calls that look a file up, lock one, allocate space, mount in steps, limit a process, or ask for the
 * name of an address.
 * Trap: a failed look-up is what an attacker's search leaves; a mount made by fsopen and move_mount is none of
 * mount(2)'s; a limit may be another process's; the lookups that succeed, and locks, are told on request only.
 * run: lookups | asked | locks | asked locks | space | mounts | limits | reverse
 */
#include "victim.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>

#define SET_STRING 1
#define CREATE 6

static void lookups(void) {
    struct stat found;
    char target[64];
    MUST(touch("there") == 0 && symlink("there", "link") == 0);
    SHOW(stat("there", &found));
    SHOW(stat("missing", &found));
    SHOW(lstat("missing", &found));
    SHOW(fstatat(AT_FDCWD, "missing", &found, AT_SYMLINK_NOFOLLOW));
    SHOW(syscall(SYS_newfstatat, AT_FDCWD, "missing", &found, 0));
    SHOW(syscall(SYS_statx, AT_FDCWD, "missing", AT_SYMLINK_NOFOLLOW, 1, target) < 0);
    SHOW(stat((char *)8, &found));
    SHOW(access("there", R_OK));
    SHOW(access("missing", R_OK | X_OK));
    SHOW(faccessat(AT_FDCWD, "missing", F_OK, 0));
    SHOW(readlink("link", target, sizeof target));
    SHOW(readlink("there", target, sizeof target));
    SHOW(readlinkat(AT_FDCWD, "missing", target, sizeof target));
}

static void asked(char **arguments, char *what) {
    setenv("GLASSBOX_TELL", "lookups,locks", 1);
    execv(arguments[0], (char *[]){arguments[0], what, NULL});
}

static void locks(void) {
    MUST(touch("locked") == 0);
    int fd = open("locked", O_RDWR);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};
    SHOW(flock(fd, LOCK_EX | LOCK_NB));
    SHOW(flock(fd, LOCK_UN));
    SHOW(fcntl(fd, F_SETLK, &range));
    range.l_type = F_UNLCK;
    SHOW(fcntl(fd, F_SETLKW, &range));
    SHOW(fcntl(fd, F_GETLK, &range));
    SHOW(lockf(fd, F_TLOCK, 5));
    SHOW(fcntl(fd, F_SETLK, (void *)8));
    SHOW(flock(99, LOCK_SH));
}

static void space(void) {
    MUST(touch("sized") == 0);
    int fd = open("sized", O_RDWR);
    SHOW(posix_fallocate(fd, 0, 4096));
    SHOW(fallocate(fd, 1, 4096, 8192) == 0 || errno == EOPNOTSUPP);
    SHOW(posix_fallocate(99, 0, 1));
}

static void mounts(void) {
    MUST(mkdir("one", 0755) == 0);
    uint64_t set[4] = {1, 0, 0, 0};
    pid_t child = fork();
    if (child == 0) {
        MUST(unshare(CLONE_NEWNS) == 0);
        MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
        int context = syscall(SYS_fsopen, "tmpfs", 1);
        SHOW(context >= 0);
        SHOW(syscall(SYS_fsconfig, context, SET_STRING, "source", "from", 0));
        SHOW(syscall(SYS_fsconfig, context, SET_STRING, "size", "1m", 0));
        SHOW(syscall(SYS_fsconfig, context, CREATE, NULL, NULL, 0));
        int mount = syscall(SYS_fsmount, context, 1, 2);
        SHOW(mount >= 0);
        SHOW(syscall(SYS_move_mount, mount, "", AT_FDCWD, "one", 4));
        SHOW(syscall(SYS_open_tree, AT_FDCWD, "one", 1) >= 0);
        SHOW(syscall(SYS_mount_setattr, AT_FDCWD, "one", 0x100, set, sizeof set));
        SHOW(syscall(SYS_fspick, AT_FDCWD, "one", 1) >= 0);
        SHOW(syscall(SYS_fsopen, "nothing", 0));
        _exit(0);
    }
    reap("mounted", child);
}

static void limits(void) {
    struct rlimit core = {0, 0}, old;
    SHOW(setrlimit(RLIMIT_CORE, &core));
    SHOW(getrlimit(RLIMIT_CORE, &old));
    SHOW(prlimit(0, RLIMIT_NOFILE, NULL, &old));
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    struct rlimit files = {64, 128};
    SHOW(prlimit(child, RLIMIT_NOFILE, &files, NULL));
    files.rlim_cur = 129;
    SHOW(setrlimit(RLIMIT_NOFILE, &files));
    kill(child, SIGKILL);
    reap("limited", child);
}

static void reverse(void) {
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(80)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    char name[NI_MAXHOST];
    MUST(inet_pton(AF_INET, "127.0.0.1", &four.sin_addr) == 1);
    SHOW(getnameinfo((struct sockaddr *)&four, sizeof four, name, sizeof name, NULL, 0, 0));
    SHOW(getnameinfo((struct sockaddr *)&four, sizeof four, name, sizeof name, NULL, 0, NI_NUMERICHOST));
    SHOW(getnameinfo((struct sockaddr *)&six, sizeof six, name, 1, NULL, 0, NI_NAMEREQD) != 0);
    SHOW(getnameinfo(NULL, 0, name, sizeof name, NULL, 0, 0) != 0);
    SHOW(getnameinfo(NULL, sizeof four, name, sizeof name, NULL, 0, 0) != 0);
    SHOW(gethostbyaddr(&four.sin_addr, sizeof four.sin_addr, AF_INET) != NULL);
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    if (!strcmp(what, "lookups")) lookups();
    if (!strcmp(what, "asked")) asked(arguments, count > 2 ? arguments[2] : "lookups");
    if (!strcmp(what, "locks")) locks();
    if (!strcmp(what, "space")) space();
    if (!strcmp(what, "mounts")) mounts();
    if (!strcmp(what, "limits")) limits();
    if (!strcmp(what, "reverse")) reverse();
    return 0;
}
