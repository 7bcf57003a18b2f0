/* evasion_hooks: a library of someone else's that is preloaded too, and hooks by name and by going on to the next definition. */
#define _GNU_SOURCE
#include <dlfcn.h>

int unlink(const char *path) {
    static int (*next)(const char *);
    if (!next) next = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    return next(path);
}
