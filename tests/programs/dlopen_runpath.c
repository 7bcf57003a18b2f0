/* dlopen_runpath: libraries found by the RUNPATH of dlopen's caller, and symbols found behind dlsym's caller.
 * Trap: glibc reads the caller from the return address. A dlopen called from a preload library's frame uses
 * that library's RUNPATH: "cannot open shared object file" (our own first wrapper; by reading lttng-ust,
 * uftrace, AppScope, mirrord). dlsym with RTLD_NEXT from our frame resolves after us.
 * library: sub/libinner.so runpath_inner.c
 * library: sub/deeper/libdeepest.so runpath_deepest.c
 * library: libouter.so runpath_outer.c -Wl,--enable-new-dtags -Wl,-rpath,$ORIGIN/sub
 * build: -rdynamic -L$OUT -Wl,--no-as-needed -louter -Wl,--enable-new-dtags -Wl,-rpath,$ORIGIN -ldl
 * run: (no arguments)
 */
#include "victim.h"

/* What glibc's symbols had as their version when it came to the machine. */
#if defined(__aarch64__)
#define FIRST_VERSION "GLIBC_2.17"
#else
#define FIRST_VERSION "GLIBC_2.2.5"
#endif
#include <dlfcn.h>

extern int outer_loads_inner(void);
extern int outer_next_of_open(void);

int main(void) {
    /* The program's own RUNPATH does not name sub/, libouter's does. */
    SHOW_POINTER(dlopen("libinner.so", RTLD_NOW));
    say("dlerror %s\n", dlerror() ? "set" : "null");
    say("outer loads inner: %d\n", outer_loads_inner());
    void *again = SHOW_POINTER(dlopen("libinner.so", RTLD_NOW | RTLD_NOLOAD));
    if (again) dlclose(again);
    SHOW_POINTER(dlopen("no-such-library.so", RTLD_LAZY));
    say("dlerror: %s\n", dlerror());

    void *self = SHOW_POINTER(dlopen(NULL, RTLD_NOW));
    SHOW_POINTER(dlsym(self, "main"));
    SHOW_POINTER(dlsym(RTLD_DEFAULT, "outer_loads_inner"));
    SHOW_POINTER(dlsym(RTLD_NEXT, "main"));

    /* A function looked up by name, and its next definition, must work and be seen once each. */
    int (*by_name)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_DEFAULT, "open");
    int (*by_next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    say("open by name %s, by next %s\n", by_name ? "set" : "null", by_next ? "set" : "null");
    int fd = by_name("by-name", O_CREAT | O_WRONLY, 0600);
    say("fd %d\n", fd), close(fd);
    fd = by_next("by-next", O_CREAT | O_WRONLY, 0600);
    say("fd %d\n", fd), close(fd);
    say("outer's next of open: %d\n", outer_next_of_open());
    say("the address of open is %s\n", (void *)by_name == (void *)&open ? "what dlsym says" : "another");

    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    if (libc) {
        by_name = (int (*)(const char *, int, ...))dlsym(libc, "open");
        fd = by_name("by-libc-handle", O_CREAT | O_WRONLY, 0600);
        say("fd %d\n", fd), close(fd);
#ifdef __GLIBC__
        by_name = (int (*)(const char *, int, ...))dlvsym(libc, "open", FIRST_VERSION);
        SHOW_POINTER(dlvsym(libc, "open", "GLIBC_9.9"));
        fd = by_name ? by_name("by-version", O_CREAT | O_WRONLY, 0600) : -1;
        say("fd %d\n", fd), close(fd);
#endif
    }
    say_descriptors("at the end");
    return 0;
}
