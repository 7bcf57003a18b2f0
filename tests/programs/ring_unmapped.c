/* ring_unmapped: a program makes the shared mapping unusable: it takes its pages away.
 * Trap: a sandbox or garbage collector that tidies the address space. Unmapping it is beyond rescue for any
 * sensor, so only MADV_DONTNEED and MADV_REMOVE are tried here: the program must go on as bare.
 * Usage: ring_unmapped {dontneed|remove}
 * run: dontneed | remove
 */
#include "victim.h"
#include <sys/mman.h>

int main(int argc, char **argv) {
    MUST(argc == 2);
    int advice = !strcmp(argv[1], "dontneed") ? MADV_DONTNEED : MADV_REMOVE;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    MUST(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (strstr(line, "memfd:") && sscanf(line, "%lx-%lx", &from, &to) == 2) madvise((void *)from, to - from, advice);
    }
    fclose(maps);
    for (int i = 0; i < 200; i++) MUST(touch("after-the-advice") == 0);
    pid_t pid = fork();
    if (pid == 0) _exit(touch("by-a-child") == 0 ? 7 : 1);
    reap("child", pid);
    say_descriptors("at the end");
    return 0;
}
