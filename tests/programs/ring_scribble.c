/* ring_scribble: a program finds the shared mapping in /proc/self/maps and writes rubbish all over it, then
 * goes on.
 * Trap: the other side of a shared mapping is hostile: a collector that believes a length, an index or a tag
 * is lost.
 * Usage: ring_scribble {zero|ones|random|header|words} SEED
 * Bare there is no mapping; the output is the same.
 * run: zero 1 | ones 1 | random 1 | random 2 | header 3 | words 4
 * differs: scribbled-on
 */
#include "victim.h"
#include <sys/mman.h>

static uint64_t state;
static uint64_t next(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

int main(int argc, char **argv) {
    MUST(argc == 3);
    state = strtoull(argv[2], NULL, 0) * 0x9e3779b97f4a7c15ull + 1;
    for (int i = 0; i < 20; i++) MUST(touch("before-the-scribble") == 0);
    usleep(20000); /* the collector has seen those */

    char line[512];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    MUST(maps);
    struct { unsigned char *from; size_t len; } areas[16];
    while (fgets(line, sizeof line, maps) && found < 16) {
        unsigned long from, to;
        char permissions[5];
        if (sscanf(line, "%lx-%lx %4s", &from, &to, permissions) != 3) continue;
        if (permissions[1] == 'w' && permissions[3] == 's' && strstr(line, "memfd:"))
            areas[found].from = (unsigned char *)from, areas[found++].len = to - from;
    }
    fclose(maps);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < found; i++) {
            unsigned char *area = areas[i].from;
            size_t len = areas[i].len;
            if (!strcmp(argv[1], "zero")) memset(area, 0, len);
            if (!strcmp(argv[1], "ones")) memset(area, 0xff, len);
            if (!strcmp(argv[1], "random"))
                for (size_t at = 0; at + 8 <= len; at += 8) *(uint64_t *)(area + at) = next();
            if (!strcmp(argv[1], "header"))
                for (size_t at = 0; at + 8 <= len && at < 8192; at += 8) *(uint64_t *)(area + at) = next();
            if (!strcmp(argv[1], "words"))
                for (int n = 0; n < 20000; n++) area[next() % len] = (unsigned char)next();
        }
        for (int i = 0; i < 200; i++) MUST(touch("after-the-scribble") == 0);
        pid_t pid = fork();
        if (pid == 0) _exit(touch("by-a-child") == 0 ? 0 : 1);
        reap("child", pid);
    }
    /* For the test: was there something to scribble on? */
    char text[16];
    int fd = open("scribbled-on", O_CREAT | O_WRONLY, 0600), len = snprintf(text, sizeof text, "%d", found);
    MUST(write(fd, text, len) == len && close(fd) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", ": > by-a-clean-image", (char *)NULL);
        _exit(98);
    }
    reap("clean image", pid);
    say("alive\n");
    return 0;
}
