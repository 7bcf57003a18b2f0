/* bound_elsewhere: calls that symbol interposition alone does not catch.
 * Trap: RTLD_DEEPBIND, -Bsymbolic and dlmopen bind past a preload; -fno-plt has GLOB_DAT only (AppScope: 0
 * events); a dlopened library's dependencies (AppScope patches only the named object); pointer tables
 * (sqlite).
 * library: libdependency.so elsewhere_dependency.c
 * library: libelsewhere.so elsewhere_library.c -L$OUT -ldependency -Wl,-rpath,$ORIGIN -fno-plt
 * build: -fno-plt -ldl -Wl,-rpath,$ORIGIN
 * run: (no arguments)
 */
#include "victim.h"
#include <dlfcn.h>

static int (*const table[])(const char *, int, ...) = {open};

static void use(const char *how, void *library) {
    char path[64];
    if (!library) {
        say("%s: %s\n", how, dlerror());
        return;
    }
    int (*by_library)(const char *) = (int (*)(const char *))dlsym(library, "elsewhere_open");
    snprintf(path, sizeof path, "elsewhere.%s", how);
    say("%s: %d\n", how, by_library ? by_library(path) : -9);
}

int main(void) {
    int fd = table[0]("elsewhere.table", O_CREAT | O_WRONLY, 0600);
    say("table: fd %d\n", fd), close(fd);
    SHOW(touch("elsewhere.no-plt"));
    use("plain", dlopen("libelsewhere.so", RTLD_NOW));
#ifdef __GLIBC__
    use("lazy", dlopen("libelsewhere.so", RTLD_LAZY | RTLD_GLOBAL));
    void *library = dlopen("libelsewhere.so", RTLD_NOW);
    for (int i = 0; library && i < 3; i++) dlclose(library); /* gone, so that it is loaded and bound anew */
    use("deepbind", dlopen("libelsewhere.so", RTLD_NOW | RTLD_DEEPBIND));
    use("namespace", dlmopen(LM_ID_NEWLM, "libelsewhere.so", RTLD_NOW));
#endif
    say_descriptors("at the end");
    return 0;
}
