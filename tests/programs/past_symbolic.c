/* past_symbolic: a library with an open of its own, which -Bsymbolic makes it call, and which asks for the
 * next one.
 */
#include "victim.h"
#include <dlfcn.h>

int open(const char *path, int flags, ...) {
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    return next ? next(path, flags, 0600) : -1;
}

int past_call(void) { return touch("past.symbolic.call"); }
