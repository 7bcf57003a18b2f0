/* runpath_outer: the library of dlopen_runpath whose RUNPATH names sub/. */
#include "victim.h"
#include <dlfcn.h>

int outer_loads_inner(void) {
    void *inner = dlopen("libinner.so", RTLD_NOW);
    if (!inner) {
        say("outer: %s\n", dlerror());
        return -1;
    }
    int (*answer)(void) = (int (*)(void))dlsym(inner, "inner_answer");
    void *deepest = dlopen("deeper/libdeepest.so", RTLD_NOW); /* a slash: relative to the directory, not found */
    say("deepest %s\n", deepest ? "found" : "not found");
    return answer ? answer() : -2;
}

int outer_next_of_open(void) {
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    if (!next) return -1;
    int fd = next("by-outers-next", O_CREAT | O_WRONLY, 0600);
    return fd < 0 ? -2 : close(fd);
}
