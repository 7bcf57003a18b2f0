/* exec_from_thread: a thread that is not the leader execs, while others open.
 * Trap: the image's new main thread has the process's number, and the old ring ends without any exit hook.
 * build: -pthread
 * run: (no arguments)
 */
#include "victim.h"

static volatile long opened;

static void *opener(void *unused) {
    (void)unused;
    for (;;)
        if (touch("by-a-thread") == 0) opened++;
    return NULL;
}

static void *replacer(void *self) {
    while (opened < 1000) usleep(100);
    execl(self, "again", "second", (char *)NULL);
    _exit(98);
}

int main(int argc, char **argv) {
    static char self[4096];
    (void)argv;
    if (argc > 1) {
        say("second image\n");
        say_descriptors("in the second image");
        return touch("by-the-second-image") == 0 ? 31 : 1;
    }
    MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    touch("by-the-first-image");
    pthread_t a, b, c;
    MUST(pthread_create(&a, NULL, opener, NULL) == 0 && pthread_create(&b, NULL, opener, NULL) == 0);
    MUST(pthread_create(&c, NULL, replacer, self) == 0);
    pthread_join(c, NULL);
    return 1;
}
