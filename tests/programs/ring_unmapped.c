/* ring_unmapped: a program makes the shared mapping unusable: it takes its pages or the mapping away.
 * Trap: a sandbox or garbage collector that tidies the address space. The program must go on as bare, and so
 * must the programs that it starts. `unknown` takes away every mapping of a file that it does not know, the
 * sensor's library too (it is no `run:`, as the loader survives that with no other library); `threads` does it
 * while other threads make calls.
 * `unknown_by_number` does the same by syscall(2). The programs that it starts cost it no memory afterwards.
 * Usage: ring_unmapped HOW
 * run: dontneed | remove | munmap | by_number | none | read | over | move | onto | hole | page | threads
 */
#include "victim.h"
#include <sys/mman.h>

static struct { unsigned long from, to; } areas[64];
static int found;

/* The mappings that the program does not know of: shared ones of a memfd; with `all`, every one of a file that is
 * neither the program nor libc nor the loader; with `page`, those that a fork child finds empty (smaps: wf). */
static void look(int all, int page) {
    char line[512], self[4096] = "";
    MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    FILE *maps = fopen(page ? "/proc/self/smaps" : "/proc/self/maps", "r");
    MUST(maps);
    unsigned long from = 0, to = 0;
    while (fgets(line, sizeof line, maps) && found < 64) {
        unsigned long first, last;
        int is_head = sscanf(line, "%lx-%lx", &first, &last) == 2;
        if (is_head) from = first, to = last;
        if (page && !strncmp(line, "VmFlags:", 8) && strstr(line, " wf")) areas[found].from = from, areas[found++].to = to;
        if (page || !is_head) continue;
        int is_wanted = strstr(line, "memfd:") != NULL;
        if (all && strchr(line, '/') && !strstr(line, self) && !strstr(line, "libc") && !strstr(line, "/ld-"))
            is_wanted = 1;
        if (is_wanted) areas[found].from = from, areas[found++].to = to;
    }
    fclose(maps);
}

static long pages_mapped(void) {
    char text[64] = "";
    int fd = open("/proc/self/statm", O_RDONLY);
    MUST(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return atol(text);
}

/* Starts programs with an environment that names no sensor, too large for a stack. */
static void start_programs(void) {
    static char *many[1001];
    for (int i = 0; i < 1000; i++) many[i] = "A=a";
    long before = pages_mapped();
    for (int i = 0; i < 50; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            execle("/bin/true", "true", (char *)NULL, many);
            _exit(98);
        }
        MUST(waitpid(pid, NULL, 0) == pid);
    }
    say("50 programs cost memory: %s\n", pages_mapped() - before > 20 ? "yes" : "no");
}

static void *open_on(void *stop) {
    while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED)) close(open("/dev/null", O_RDONLY));
    return NULL;
}

int main(int argc, char **argv) {
    MUST(argc == 2);
    const char *how = argv[1];
    pthread_t threads[3];
    int stop = 0, has_threads = !strcmp(how, "threads");
    for (int i = 0; i < 20; i++) MUST(touch("before") == 0);
    for (int i = 0; has_threads && i < 3; i++) MUST(pthread_create(&threads[i], NULL, open_on, &stop) == 0);
    if (has_threads) usleep(20000);
    look(!strncmp(how, "unknown", 7), !strcmp(how, "page"));
    for (int i = 0; i < found; i++) {
        void *at = (void *)areas[i].from;
        size_t len = areas[i].to - areas[i].from;
        int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
        if (!strcmp(how, "dontneed")) madvise(at, len, MADV_DONTNEED);
        if (!strcmp(how, "remove")) madvise(at, len, MADV_REMOVE);
        if (!strcmp(how, "munmap") || has_threads) MUST(munmap(at, len) == 0);
        if (!strcmp(how, "by_number")) MUST(syscall(SYS_munmap, at, len) == 0);
        if (!strcmp(how, "none")) MUST(mprotect(at, len, PROT_NONE) == 0);
        if (!strcmp(how, "read")) MUST(syscall(SYS_mprotect, at, len, PROT_READ) == 0);
        if (!strcmp(how, "over")) MUST(mmap(at, len, PROT_NONE, anonymous | MAP_FIXED, -1, 0) == at);
        if (!strcmp(how, "move")) MUST(mremap(at, len, len + 4096, MREMAP_MAYMOVE) != MAP_FAILED);
        if (!strcmp(how, "onto")) {
            void *other = mmap(NULL, 4096, PROT_NONE, anonymous, -1, 0);
            MUST(mremap(other, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
        }
        if (!strcmp(how, "hole")) MUST(munmap((char *)at + 8192, 4096) == 0);
        if (!strcmp(how, "page")) MUST(munmap(at, len) == 0);
        if (!strcmp(how, "unknown")) MUST(munmap(at, len) == 0);
        if (!strcmp(how, "unknown_by_number")) MUST(syscall(SYS_munmap, at, len) == 0);
    }
    for (int i = 0; i < 200; i++) MUST(touch("after-the-advice") == 0);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; has_threads && i < 3; i++) pthread_join(threads[i], NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(touch("by-a-child") == 0 ? 7 : 1);
    reap("child", pid);
    SHOW(system("exit 3"));
    pid = vfork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", ": > by-the-next-image", (char *)NULL);
        _exit(98);
    }
    reap("the next image", pid);
    start_programs();
    say_descriptors("at the end");
    return 0;
}
