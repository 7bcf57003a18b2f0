/* arguments: flags and calls that change the meaning of others.
 * Trap: openat2 with RESOLVE_IN_ROOT begins a path at a directory; mount's old magic number looks like flags;
 * RENAME_EXCHANGE renames two files; FIOCLEX marks a descriptor as F_SETFD does; a handle opens a file without
 * a path; execvp passes over a directory in PATH; datagrams that alternate between two peers.
 * posix_spawn's file actions move the child before its path is resolved, and PATH is searched there.
 * The times of a file are given in three units.
 * On musl this program has a function of glibc's, as where gcompat is loaded.
 * build: -rdynamic
 * run: flags | mark | handle | search | spawn | peers | times
 */
#include "victim.h"
#include <arpa/inet.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

#ifndef __GLIBC__
const char *gnu_get_libc_version(void) { return "2.0"; }
#endif

static void flags(void) {
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT}, bad = {.flags = O_RDONLY, .resolve = 1ull << 40};
    MUST(mkdir("box", 0755) == 0 && mkdir("box/etc", 0755) == 0 && touch("box/etc/shadow") == 0 && touch("one") == 0);
    int box = open("box", O_PATH | O_DIRECTORY);
    SHOW(syscall(SYS_openat2, box, "/etc/shadow", &how, sizeof how));
    SHOW(syscall(SYS_openat2, box, "../../../etc/shadow", &how, sizeof how));
    SHOW(syscall(SYS_openat2, box, "/etc/shadow", &bad, sizeof bad));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "one", AT_FDCWD, "box", RENAME_EXCHANGE));
    SHOW(linkat(AT_FDCWD, "box", AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
    SHOW(fchownat(AT_FDCWD, "linked", -1, -1, AT_SYMLINK_NOFOLLOW));
    SHOW(setxattr("linked", "user.a", "12345", 5, XATTR_REPLACE) < 0);
    pid_t child = fork();
    if (child == 0) {
        MUST(unshare(CLONE_NEWNS) == 0);
        SHOW(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
        SHOW(mount("none", "one", "tmpfs", MS_MGC_VAL | MS_NOSUID, NULL));
        _exit(0);
    }
    reap("mounted", child);
}

static void mark(void) {
    int closes = open("closes", O_CREAT | O_RDWR, 0600), stays = open("stays", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    SHOW(ioctl(closes, FIOCLEX));
    SHOW(ioctl(stays, FIONCLEX));
    SHOW(ioctl(99, FIOCLEX));
    char path[] = "PATH=/bin";
    char *arguments[] = {"true", NULL}, *environment[] = {path, NULL};
    execve("/bin/true", arguments, environment);
}

static void handle(void) {
    struct file_handle *handle = calloc(1, sizeof *handle + 128);
    int mount;
    char text[16];
    MUST(touch("secret") == 0 && truncate("secret", 9) == 0);
    int here = open(".", O_RDONLY | O_DIRECTORY);
    SHOW(name_to_handle_at(AT_FDCWD, "secret", handle, &mount, AT_SYMLINK_FOLLOW)); /* EOVERFLOW */
    handle->handle_bytes = 128;
    if (SHOW(name_to_handle_at(AT_FDCWD, "secret", handle, &mount, 0)) != 0) return;
    int fd = SHOW(open_by_handle_at(here, handle, O_RDONLY));
    SHOW(read(fd, text, sizeof text));
    SHOW(close(fd));
    fd = SHOW(syscall(SYS_open_by_handle_at, here, handle, O_WRONLY));
    SHOW(close(fd));
    SHOW(open_by_handle_at(-1, handle, O_RDONLY));
}

static void search(void) {
    MUST(mkdir("one", 0755) == 0 && mkdir("one/tool", 0755) == 0 && mkdir("two", 0755) == 0);
    MUST(touch("two/data") == 0 && symlink("/bin/true", "two/tool") == 0);
    char path[4096], here[2048];
    MUST(getcwd(here, sizeof here));
    snprintf(path, sizeof path, "%s/one:two:%s/three", here, here);
    setenv("PATH", path, 1);
    const char *names[] = {"data", "nowhere", "tool"};
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            SHOW(execlp(names[i], names[i], (char *)NULL));
            _exit(9);
        }
        reap(names[i], child);
    }
}

static void spawn_one(const char *what, int search, posix_spawn_file_actions_t *actions, char *path) {
    char *arguments[] = {path, NULL};
    pid_t child = -1;
    int result = (search ? posix_spawnp : posix_spawn)(&child, path, actions, NULL, arguments, environ);
    say("%s: %d\n", what, result);
    if (result == 0) reap(what, child);
}

static void spawn(void) {
    posix_spawn_file_actions_t actions, opened, none;
    MUST(mkdir("sub", 0755) == 0 && mkdir("sub/deep", 0755) == 0 && symlink("/bin/true", "sub/deep/tool") == 0);
    MUST(symlink("/bin/true", "sub/tool") == 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, 200);
    posix_spawn_file_actions_adddup2(&actions, 1, 7);
    posix_spawn_file_actions_addopen(&actions, 8, "log", O_WRONLY | O_CREAT, 0640);
    posix_spawn_file_actions_addchdir_np(&actions, "sub");
    spawn_one("one step", 0, &actions, "./tool");
    posix_spawn_file_actions_addchdir_np(&actions, "deep");
    spawn_one("two steps", 0, &actions, "./tool");
    spawn_one("missing", 0, &actions, "./missing");
    int sub = open("sub", O_RDONLY | O_DIRECTORY);
    posix_spawn_file_actions_init(&opened);
    posix_spawn_file_actions_addfchdir_np(&opened, sub);
    spawn_one("opened", 0, &opened, "./tool");
    setenv("PATH", "deep:.", 1);
    spawn_one("searched", 1, &opened, "tool");
    spawn_one("searched in steps", 1, &actions, "tool");
    posix_spawn_file_actions_init(&none);
    spawn_one("none", 0, &none, "sub/tool");
    char *arguments[] = {"sub/tool", NULL};
    pid_t child = fork();
    if (child == 0) syscall(SYS_execveat, AT_FDCWD, "sub/tool", arguments, environ, AT_SYMLINK_NOFOLLOW), _exit(3);
    reap("at", child);
}

static void times(void) {
    struct timespec both[2] = {{1000000000, 5}, {0, UTIME_OMIT}};
    MUST(touch("file") == 0 && symlink("file", "lnk") == 0);
    SHOW(utimensat(AT_FDCWD, "lnk", both, AT_SYMLINK_NOFOLLOW));
    int fd = open("file", O_RDWR);
    both[1] = (struct timespec){1234567890, 999999999};
    SHOW(futimens(fd, both));
    SHOW(utimes("file", (struct timeval[2]){{1, 2}, {3, 4}}));
    SHOW(utimes("file", NULL));
    struct { long accessed, modified; } seconds = {5, 6};
    SHOW(syscall(SYS_utimensat, AT_FDCWD, "missing", both, 0));
    SHOW(utime("file", (void *)&seconds));
    SHOW(lutimes("lnk", (struct timeval[2]){{7, 0}, {8, 0}}));
    SHOW(futimes(fd, (struct timeval[2]){{9, 1}, {10, 0}}));
    SHOW(close(fd));
}

static void peers(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof to;
    int sockets[3];
    struct sockaddr_in peers[3];
    for (int i = 0; i < 3; i++) {
        to.sin_port = 0;
        sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
        MUST(bind(sockets[i], (void *)&to, sizeof to) == 0 && getsockname(sockets[i], (void *)&peers[i], &len) == 0);
    }
    int client = socket(AF_INET, SOCK_DGRAM, 0);
    for (int i = 0; i < 20; i++) MUST(sendto(client, "x", 1, 0, (void *)&peers[i & 1], len) == 1);
    struct iovec part = {"yy", 2};
    struct mmsghdr messages[6] = {0};
    for (int i = 0; i < 6; i++) {
        messages[i].msg_hdr.msg_name = &peers[i % 3], messages[i].msg_hdr.msg_namelen = len;
        messages[i].msg_hdr.msg_iov = &part, messages[i].msg_hdr.msg_iovlen = 1;
    }
    SHOW(sendmmsg(client, messages, 6, 0));
    SHOW(close(client));
    client = socket(AF_INET, SOCK_DGRAM, 0);
    MUST(sendto(client, "x", 1, 0, (void *)&peers[0], len) == 1);
}

int main(int argc, char **argv) {
    MUST(argc > 1);
    if (!strcmp(argv[1], "flags")) flags();
    if (!strcmp(argv[1], "mark")) mark();
    if (!strcmp(argv[1], "handle")) handle();
    if (!strcmp(argv[1], "search")) search();
    if (!strcmp(argv[1], "peers")) peers();
    if (!strcmp(argv[1], "spawn")) spawn();
    if (!strcmp(argv[1], "times")) times();
    return 0;
}
