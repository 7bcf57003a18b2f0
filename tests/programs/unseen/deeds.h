/* The deeds: a fixed list of the calls that `--notify security` asks about, each made once, in this order.
 *
 * Usage: PROGRAM WORK PORT
 *
 * WORK is an empty folder, PORT a port of 127.0.0.1 where a server listens. One line for each call tells its
 * result; no line has a number that differs from run to run. The last call executes /bin/true in the place of
 * the program, so it has a line only if it fails.
 *
 * deeds.c, raw.c and int80.c include this list, each with its own CALL(name, arguments...): a call of libc's
 * function, or a system call by an instruction of their own. deeds.go and deeds.rs make the same list.
 *
 * Every byte that a call reads lies in `arena`, below 4 GB, because `int 0x80` passes addresses of 32 bits.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 1U
#endif

extern char **environ;

#define ARENA (1 << 20)
static char *arena, *arena_end;
static char report[8192];
static size_t reported;

static void *place(const void *bytes, size_t length) {
    char *at = arena;
    arena += (length + 15) & ~(size_t)15;
    if (arena > arena_end) abort();
    return memcpy(at, bytes, length);
}

static char *text(const char *format, ...) {
    char whole[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)sizeof whole) abort();
    return place(whole, length + 1);
}

/* Pointers as execve takes them: POINTER is 4 bytes wide for int 0x80. */
#ifndef POINTER
#define POINTER uintptr_t
#endif
static void *pointers(char *const *list) {
    size_t count = 0;
    while (list[count]) count++;
    POINTER *copied = malloc((count + 1) * sizeof *copied);
    for (size_t n = 0; n < count; n++) copied[n] = (POINTER)(uintptr_t)text("%s", list[n]);
    copied[count] = 0;
    void *placed = place(copied, (count + 1) * sizeof *copied);
    free(copied);
    return placed;
}

static struct sockaddr *loopback(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return place(&address, sizeof address);
}

static void say(const char *name, long result) {
    int left = sizeof report - reported;
    if (result < 0) {
        reported += snprintf(report + reported, left, "%s: error %ld\n", name, -result);
    } else {
        reported += snprintf(report + reported, left, "%s: ok\n", name);
    }
}

static long did(const char *name, long result) {
    say(name, result);
    return result;
}

/* The number of the error below 0, as system calls return it. */
#define LIBC(call) ({ long returned = (long)(call); returned == -1 ? -(long)errno : returned; })
#define DO(name, ...) did(#name, CALL(name, ##__VA_ARGS__))

static void deeds(const char *work, unsigned port);
/* execve of `path` in a vfork child; the child's exit status, or an error below 0. */
static long executed(char *path, void *argv, void *envp);

int main(int count, char **words) {
    if (count != 3) return 2;
    int low = 0;
#ifdef MAP_32BIT
    low = MAP_32BIT;
#endif
    arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | low, -1, 0);
    if (arena == MAP_FAILED) return 3;
    arena_end = arena + ARENA;
    deeds(words[1], atoi(words[2]));
    return 0;
}

static void deeds(const char *work, unsigned port) {
    char *one = text("%s/one", work), *two = text("%s/two", work), *hard = text("%s/hard", work);
    char *soft = text("%s/soft", work), *folder = text("%s/folder", work);
    char *missing = text("%s/missing", work), *nothing = text("%s", "");
    char *program = text("/bin/true");
    char *const words[] = {"true", "of", "deeds", NULL};
    void *argv = pointers(words), *envp = pointers(environ);

    long fd = DO(openat, AT_FDCWD, one, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    close(fd);
    DO(rename, one, two);
    DO(link, two, hard);
    DO(symlink, two, soft);
    DO(chmod, two, 0600);
    DO(unlink, hard);
    DO(unlink, soft);
    DO(unlink, missing);
    DO(mkdir, folder, 0755);
    DO(rmdir, folder);

    fd = DO(socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    DO(connect, fd, loopback(port), sizeof(struct sockaddr_in));
    close(fd);
    fd = DO(socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    DO(bind, fd, loopback(0), sizeof(struct sockaddr_in));
    DO(listen, fd, 4);
    struct sockaddr_in own;
    socklen_t length = sizeof own;
    getsockname(fd, (struct sockaddr *)&own, &length);
    long other = DO(socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    DO(connect, other, loopback(ntohs(own.sin_port)), sizeof own);
    long accepted = DO(accept4, fd, NULL, NULL, SOCK_CLOEXEC);
    close(accepted);
    close(other);
    close(fd);

    DO(kill, getpid(), 0);
    DO(setuid, getuid());
    fd = DO(memfd_create, text("deeds"), MFD_CLOEXEC);
    close(fd);
    /* An unknown flag, a folder that is not there, the own process: each fails for every user. */
    DO(unshare, CLONE_NEWNS | 1);
    DO(mount, text("none"), missing, text("tmpfs"), 0, nothing);
    DO(ptrace, PTRACE_ATTACH, getpid(), NULL, NULL);
    did("execve", executed(program, argv, envp));

    /* What was said must be out before the program is another one. */
    if (write(1, report, reported) != (ssize_t)reported) exit(4);
    reported = 0;
    DO(execveat, AT_FDCWD, program, argv, envp, 0);
    (void)!write(1, report, reported);
}
