/* running: a program that runs already when the sensor is put into it (tests/tests/got.rs), waiting in a
 * system call.
 * Trap: what the thread waits in must go on; words bound before, words still to be bound, tables of pointers,
 * and what is loaded afterwards must all be led to the sensor; a stop inside malloc or the loader deadlocks
 * (AppScope#349, #405).
 * library: librunning.so past_plugin.c -DKIND="plugin"
 * build: -pthread -ldl -Wl,-rpath,$ORIGIN -Wl,-z,lazy
 */
#include "waits.h"
#include <dlfcn.h>
#include <poll.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

static int (*table[])(const char *, int, ...) = {open};
static int (*const constant[])(const char *, int, ...) = {open};
static int go;

static void use(int (*by)(const char *, int, ...), const char *path) {
    int fd = by ? by(path, O_CREAT | O_WRONLY, 0600) : -9;
    say("%s: %d\n", path, fd < 0 ? fd : close(fd));
}

static void wait_in(const char *call) {
    if (waits_in(call, go)) return;
    if (!strcmp(call, "work")) {
        /* Many short calls, some of which allocate, until it is told to go on. */
        struct pollfd polled = {go, POLLIN};
        while (poll(&polled, 1, 0) == 0) {
            void *block = malloc(300000);
            memset(block, 1, 300000);
            free(block);
        }
        say("worked\n");
    }
}

/* Waits on a stack of one page, as goroutines have, above a page that nothing may touch. */
static ucontext_t before, small;
static ssize_t got;

static void wait_small(void) {
    char byte;
    got = read(go, &byte, 1);
}

static void wait_on_small_stack(void) {
    char *stack = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(stack != MAP_FAILED && mprotect(stack, 4096, PROT_NONE) == 0 && getcontext(&small) == 0);
    small.uc_stack = (stack_t){.ss_sp = stack + 4096, .ss_size = 4096};
    small.uc_link = &before;
    makecontext(&small, wait_small, 0);
    MUST(swapcontext(&before, &small) == 0);
    say("read on a small stack %zd\n", got);
}

static void *waits(void *call) {
    wait_in(call);
    char path[64];
    snprintf(path, sizeof path, "running.thread.%s", (char *)call);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    if (fd >= 0) close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    const char *call = argc > 1 ? argv[1] : "read";
    int early = open("/dev/null", O_RDONLY);
    int kept = open("running.kept", O_CREAT | O_WRONLY, 0600);
    MUST(early >= 0 && kept >= 0 && mkfifo("go", 0600) == 0);
    MUST((go = open("go", O_RDWR)) >= 0);
    close(early);
    MUST(touch("ready") == 0);

    if (!strcmp(call, "threads")) {
        pthread_t threads[2];
        pthread_create(&threads[0], NULL, waits, "poll");
        pthread_create(&threads[1], NULL, waits, "nanosleep");
        for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    } else if (!strcmp(call, "small")) {
        wait_on_small_stack();
    } else {
        wait_in(call);
    }

    say("written %zd\n", write(kept, "kept", 4));
    close(kept);
    use(open, "running.bound");
    use(table[0], "running.table");
    use(constant[0], "running.constant");
    FILE *stream = fopen("running.late", "w"); /* bound lazily, only now */
    say("fopen %s\n", stream ? "set" : "null");
    if (stream) fclose(stream);
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    use(libc ? (int (*)(const char *, int, ...))dlsym(libc, "open") : NULL, "running.by-handle");
    use((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"), "running.by-next");
    use((int (*)(const char *, int, ...))dlsym(RTLD_DEFAULT, "open"), "running.by-default");
    say("open is %s by handle\n", libc && dlsym(libc, "open") == dlsym(RTLD_DEFAULT, "open") ? "the same" : "another");
    void *plugin = dlopen("librunning.so", RTLD_NOW);
    int (*by_plugin)(void) = plugin ? (int (*)(void))dlsym(plugin, "past_call") : NULL;
    say("plugin %d\n", by_plugin ? by_plugin() : -9);
    pid_t child = fork();
    if (child == 0) {
        touch("running.child");
        _exit(5);
    }
    reap("child", child);
    say_status("command", system("true < /dev/null; exit 6"));
    say_descriptors("at the end");
    return 7;
}
