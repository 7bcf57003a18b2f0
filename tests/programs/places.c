/* places: files whose path is another than the text of the call says.
 * Trap: `..` behind a symbolic link leads to the parent of what the link leads to; a directory is renamed, by this
 * process or by another, while it is open and somebody's current directory; a file without a name gets one; a
 * thread has a directory and descriptors of its own.
 * run: dots | renamed | nameless | apart
 */
#include "victim.h"
#include <sched.h>

static void dots(void) {
    MUST(mkdir("real", 0755) == 0 && mkdir("real/deep", 0755) == 0 && symlink("real/deep", "lnk") == 0);
    MUST(touch("file") == 0 && touch("real/file") == 0 && mkdir("plain", 0755) == 0);
    SHOW(touch("lnk/../file"));
    SHOW(touch("plain/../file"));
    SHOW(touch("lnk/./.././by-dots"));
    SHOW(touch("nowhere/../lost"));
    int dir = open("lnk", O_RDONLY | O_DIRECTORY);
    int fd = openat(dir, "../by-descriptor", O_CREAT | O_WRONLY, 0600);
    SHOW(close(fd));
    SHOW(chdir("lnk"));
    SHOW(touch("../by-directory"));
    SHOW(chdir(".."));
    SHOW(touch("from-parent"));
    SHOW(touch("../from-above"));
}

static void renamed(void) {
    MUST(mkdir("old", 0755) == 0 && mkdir("other", 0755) == 0);
    int top = open(".", O_RDONLY | O_DIRECTORY), dir = open("old", O_RDONLY | O_DIRECTORY), to[2], from[2];
    MUST(chdir("old") == 0 && touch("one") == 0 && pipe(to) == 0 && pipe(from) == 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        MUST(read(to[0], &byte, 1) == 1);
        touch("by-child");
        _exit(0);
    }
    SHOW(renameat(top, "old", top, "new"));
    SHOW(touch("two"));
    int fd = openat(dir, "three", O_CREAT | O_WRONLY, 0600);
    MUST(write(to[1], "x", 1) == 1);
    reap("child", child);
    SHOW(syscall(SYS_renameat2, top, "new", top, "other", 2 /* RENAME_EXCHANGE */));
    SHOW(close(fd));
    SHOW(touch("four"));
    child = fork();
    if (child == 0) {
        SHOW(renameat(top, "other", top, "last"));
        _exit(0);
    }
    reap("mover", child);
    SHOW(touch("five"));
}

static void nameless(void) {
    char path[64];
    MUST(mkdir("folder", 0755) == 0);
    int fd = open("folder", O_TMPFILE | O_RDWR, 0600);
    if (fd < 0) {
        say("no nameless files here\n");
        return;
    }
    MUST(write(fd, "contents", 8) == 8);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    SHOW(linkat(AT_FDCWD, path, AT_FDCWD, "folder/linked", AT_SYMLINK_FOLLOW));
    SHOW(close(fd));
    fd = open("folder/named", O_CREAT | O_RDWR, 0600);
    SHOW(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
    SHOW(close(fd));
}

static pthread_barrier_t step;

static int write_at(int dir, const char *name) {
    int fd = openat(dir, name, O_CREAT | O_WRONLY, 0600);
    return fd < 0 ? fd : close(fd);
}

static void *apart_thread(void *unused) {
    (void)unused;
    SHOW(unshare(CLONE_FS | CLONE_FILES));
    SHOW(chdir("../mine"));
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    SHOW(write_at(dir, "thread-by-descriptor"));
    SHOW(touch("thread-by-directory"));
    pid_t child = fork();
    if (child == 0) _exit(touch("child-of-thread") != 0);
    reap("child", child);
    return NULL;
}

static void apart(void) {
    pthread_t thread;
    MUST(mkdir("mine", 0755) == 0 && mkdir("theirs", 0755) == 0 && mkdir("other", 0755) == 0);
    MUST(chdir("theirs") == 0 && pthread_barrier_init(&step, NULL, 2) == 0);
    MUST(pthread_create(&thread, NULL, apart_thread, NULL) == 0);
    pthread_barrier_wait(&step);
    /* The same number as the thread's. */
    int dir = open("../other", O_RDONLY | O_DIRECTORY);
    SHOW(write_at(dir, "main-by-descriptor"));
    SHOW(touch("main-by-directory"));
    pthread_barrier_wait(&step);
    MUST(pthread_join(thread, NULL) == 0);
    SHOW(touch("main-at-last"));
}

int main(int argc, char **argv) {
    MUST(argc > 1);
    if (!strcmp(argv[1], "dots")) dots();
    if (!strcmp(argv[1], "renamed")) renamed();
    if (!strcmp(argv[1], "nameless")) nameless();
    if (!strcmp(argv[1], "apart")) apart();
    return 0;
}
