/* What run.sh does to the two libraries. Usage: victim opens | missing | cancel | calls N | starts N [LIBRARY] */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Not of every libc; a library that exports them makes a program think otherwise. */
int issetugid(void) __attribute__((weak));
int pidfd_open(pid_t, unsigned) __attribute__((weak));
/* What the compiler calls for open with -D_FORTIFY_SOURCE=2 and -D_FILE_OFFSET_BITS=64. */
int __open_2(const char *, int) __attribute__((weak));
int open64(const char *, int, ...) __attribute__((weak));

/* What this process has used of a processor, or its children: other programs make it no longer, as they do the time. */
static double used_ns(int who) {
    struct rusage usage;
    getrusage(who, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

static void *blocked(void *fifo) { return (void *)(long)open(fifo, O_RDONLY); }

static int cancel(void) {
    pthread_t thread;
    void *result = NULL;
    char fifo[64];
    snprintf(fifo, sizeof fifo, "/tmp/redhook-fifo-%d", getpid());
    if (mkfifo(fifo, 0600)) return perror(fifo), 1;
    pthread_create(&thread, NULL, blocked, fifo);
    usleep(100000); /* until it waits in open; where it does not yet, it is cancelled there later */
    pthread_cancel(thread);
    pthread_join(thread, &result);
    unlink(fifo);
    puts(result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
    return 0;
}

static int missing(void) {
    if (issetugid) printf("issetugid is there: %d\n", issetugid());
    if (pidfd_open) {
        int fd = pidfd_open(getpid(), 0);
        printf("pidfd_open is there: %s\n", fd < 0 ? strerror(errno) : "works");
    }
    puts("the end");
    return 0;
}

static int starts(long count, char *library) {
    char preload[4096], *words[] = {"/bin/true", NULL}, *names[] = {preload, NULL, NULL};
    char socket[4096];
    int status;
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", library ? library : "");
    if (getenv("GLASSBOX_SOCKET")) {
        snprintf(socket, sizeof socket, "GLASSBOX_SOCKET=%s", getenv("GLASSBOX_SOCKET"));
        names[1] = socket;
    }
    for (long i = 0; i < count; i++) {
        pid_t child;
        if (posix_spawn(&child, words[0], NULL, NULL, words, names) || waitpid(child, &status, 0) < 0 || status) return 1;
    }
    printf("%.0f\n", used_ns(RUSAGE_CHILDREN) / count / 1e3);
    return 0;
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    long times = count > 2 ? atol(words[2]) : 0;
    if (!strcmp(what, "opens")) {
        open("/dev/null", O_RDONLY), open64("/dev/zero", O_RDONLY), __open_2("/dev/full", O_RDONLY);
        return 0;
    }
    if (!strcmp(what, "missing")) return missing();
    if (!strcmp(what, "cancel")) return cancel();
    if (!strcmp(what, "calls")) { /* of an empty path: the kernel has little to do */
        double begin = used_ns(RUSAGE_SELF);
        for (long i = 0; i < times; i++) open("", O_RDONLY);
        printf("%.0f\n", (used_ns(RUSAGE_SELF) - begin) / times);
        return 0;
    }
    if (!strcmp(what, "starts")) return starts(times, count > 3 ? words[3] : NULL);
    return fprintf(stderr, "usage: victim opens | missing | cancel | calls N | starts N [LIBRARY]\n"), 64;
}
