/* past_plugin: a library that opens a file in its constructor, before the caller of dlopen can act, and when
 * it is called.
 */
#include "victim.h"

static int (*const table[])(const char *, int, ...) = {open};

__attribute__((constructor)) static void constructor(void) { touch("past." KIND ".constructor"); }

int past_call(void) {
    if (touch("past." KIND ".call") != 0) return -1;
    int fd = table[0]("past." KIND ".table", O_CREAT | O_WRONLY, 0600);
    return fd < 0 ? -2 : close(fd);
}
