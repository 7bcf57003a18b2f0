/* steps: makes some calls, each between two breakpoints, for a tracer that counts its instructions
 * (tests/tests/steps.rs).
 * Usage: steps {open|close|read|write}
 */
#include "victim.h"

#define BETWEEN(call)                                                                                                  \
    do {                                                                                                               \
        __asm__ volatile("int3" ::: "memory");                                                                         \
        call;                                                                                                          \
        __asm__ volatile("int3" ::: "memory");                                                                         \
    } while (0)

int main(int argc, char **argv) {
    char bytes[16] = "";
    MUST(argc == 2);
    /* A path of 40 bytes, as in the bench of one event. */
    const char *path = "////////////////////////////////dev/zero";
    int null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY), fd = -1;
    MUST(null >= 0 && zero >= 0 && strlen(path) == 40);
    /* The first ones find their functions, and the thread its number. */
    for (int round = 0; round < 12; round++) {
        if (!strcmp(argv[1], "open")) {
            BETWEEN(fd = open(path, O_RDONLY));
            close(fd);
        } else if (!strcmp(argv[1], "close")) {
            fd = open(path, O_RDONLY);
            BETWEEN(close(fd));
        } else if (!strcmp(argv[1], "read")) {
            BETWEEN(read(zero, bytes, sizeof bytes));
        } else if (!strcmp(argv[1], "write")) {
            BETWEEN(write(null, bytes, sizeof bytes));
        }
    }
    return 0;
}
