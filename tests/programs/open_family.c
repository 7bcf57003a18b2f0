/* open_family: every libc way to open a file, once, each on a path of its own.
 * Trap: LFS and fortify aliases (open64, fopen64, __open_2) and functions whose system call happens inside
 * libc (fopen, opendir, mkstemp) are missed by a list of symbols made by hand; musl's fopen makes its own
 * system call (mirrord#2335). The path's name says what the test expects: `<call>.<...>`.
 * run: (no arguments)
 * differs: mkstemp. mkostemp. mkstemps. mkostemps.
 */
#include "victim.h"
#include <dirent.h>
#include <glob.h>
#include <linux/openat2.h>
#include <sys/mman.h>

static void show_fd(const char *what, int fd) {
    int saved = errno;
    say("%s: fd %d errno %d\n", what, fd, saved);
    if (fd >= 0) close(fd);
}
#define FD(what, call) (errno = ERRNO_SENTINEL, show_fd(what, (call)))
#define STREAM(what, call)                                                                                             \
    do {                                                                                                               \
        errno = ERRNO_SENTINEL;                                                                                        \
        FILE *stream_ = (call);                                                                                        \
        int errno_ = errno;                                                                                            \
        say("%s: fd %d errno %d\n", what, stream_ ? fileno(stream_) : -1, errno_);                                     \
        if (stream_) fclose(stream_);                                                                                  \
    } while (0)

int main(void) {
    MUST(mkdir("dir", 0700) == 0);
    int dir = open("dir", O_RDONLY | O_DIRECTORY);
    MUST(dir >= 0);

    FD("open", open("open.plain", O_CREAT | O_RDWR, 0640));
    FD("open again", open("open.plain", O_RDONLY));
    FD("open missing", open("open.missing", O_RDONLY));
    FD("open append", open("open.append", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
    FD("openat cwd", openat(AT_FDCWD, "openat.cwd", O_CREAT | O_WRONLY, 0604));
    FD("openat dir", openat(dir, "openat.dir", O_CREAT | O_WRONLY, 0600));
    FD("openat dots", openat(dir, "../openat.dots", O_CREAT | O_WRONLY, 0600));
    FD("openat bad dirfd", openat(77, "openat.bad", O_RDONLY));
    FD("creat", creat("creat.plain", 0622));
    FD("tmpfile flag", open("dir", O_TMPFILE | O_RDWR, 0600));
    FD("mkdir open", open("dir", O_CREAT | O_RDWR, 0600));
#ifdef __GLIBC__
    FD("open64", open64("open64.plain", O_CREAT | O_WRONLY, 0600));
    FD("openat64", openat64(dir, "openat64.plain", O_CREAT | O_WRONLY, 0600));
    FD("creat64", creat64("creat64.plain", 0600));
    extern int __open_2(const char *, int), __open64_2(const char *, int);
    extern int __openat_2(int, const char *, int), __openat64_2(int, const char *, int);
    FD("__open_2", __open_2("open.plain", O_RDONLY));
    FD("__open64_2", __open64_2("open64.plain", O_RDONLY));
    FD("__openat_2", __openat_2(AT_FDCWD, "openat.cwd", O_RDONLY));
    FD("__openat64_2", __openat64_2(dir, "openat64.plain", O_RDONLY));
    STREAM("fopen64", fopen64("fopen64.plain", "w"));
#endif
    struct open_how how = {.flags = O_CREAT | O_WRONLY, .mode = 0600, .resolve = RESOLVE_NO_MAGICLINKS};
    FD("openat2", syscall(SYS_openat2, AT_FDCWD, "openat2.plain", &how, sizeof how));
    FD("syscall openat", syscall(SYS_openat, AT_FDCWD, "syscall.openat", O_CREAT | O_WRONLY, 0600));
#ifdef SYS_open
    FD("syscall open", syscall(SYS_open, "syscall.open", O_CREAT | O_WRONLY, 0600));
#endif

    STREAM("fopen w", fopen("fopen.w", "w"));
    STREAM("fopen r", fopen("fopen.w", "r"));
    STREAM("fopen a+e", fopen("fopen.a", "a+e"));
    STREAM("fopen wx", fopen("fopen.wx", "wx"));
    STREAM("fopen missing", fopen("fopen.missing", "r"));
    STREAM("fopen bad mode", fopen("fopen.bad", "nonsense"));
    STREAM("freopen", freopen("freopen.second", "w", fopen("freopen.first", "w")));
    STREAM("freopen missing", freopen("freopen.none/x", "r", fopen("freopen.first", "r")));
    STREAM("tmpfile", tmpfile());

    DIR *listing = opendir("dir");
    say("opendir: fd %d\n", listing ? dirfd(listing) : -1);
    if (listing) closedir(listing);
    say("opendir missing: %s\n", opendir("opendir.missing") ? "set" : "null");
    listing = fdopendir(dup(dir));
    say("fdopendir: fd %d\n", listing ? dirfd(listing) : -1);
    if (listing) closedir(listing);

    struct dirent **names;
    int count = scandir("dir", &names, NULL, alphasort);
    say("scandir: %d\n", count);
    while (count > 0) free(names[--count]);
    SHOW(scandir("scandir.missing", &names, NULL, NULL));
    glob_t matches;
    SHOW(glob("dir/*", 0, NULL, &matches));
    SHOW(glob("dir/none-*", 0, NULL, &matches));
    SHOW(glob("glob.missing/*", 0, NULL, &matches));
    SHOW(glob("no-wildcard", 0, NULL, &matches));

    char name[64];
    strcpy(name, "mkstemp.XXXXXX"), FD("mkstemp", mkstemp(name));
    strcpy(name, "mkostemp.XXXXXX"), FD("mkostemp", mkostemp(name, O_CLOEXEC));
    strcpy(name, "mkstemps.XXXXXX.c"), FD("mkstemps", mkstemps(name, 2));
    strcpy(name, "mkostemps.XXXXXX.c"), FD("mkostemps", mkostemps(name, 2, O_APPEND));
    strcpy(name, "mkstemp.bad"), FD("mkstemp bad template", mkstemp(name));

    FD("memfd_create", memfd_create("memfd.plain", MFD_CLOEXEC));
    FD("shm_open", shm_open("/glassbox-test-shm", O_CREAT | O_RDWR, 0600));
    SHOW(shm_unlink("/glassbox-test-shm"));
    FD("shm_open missing", shm_open("/glassbox-test-none", O_RDWR, 0600));
    say_descriptors("at the end");
    return 0;
}
