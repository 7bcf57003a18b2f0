/* bind_past: plugins that are bound in every way there is, and open a file in their constructor already.
 * Trap: RTLD_DEEPBIND and -Bsymbolic bind past a preload, and a constructor runs before dlopen returns, so
 * that patching the plugin afterwards is too late; protections after a write: plt-rs made every page
 * read-only and crashed lazy binding.
 * library: libpast-deep.so past_plugin.c -DKIND="deep"
 * library: libpast-deep-lazy.so past_plugin.c -DKIND="deep-lazy" -Wl,-z,lazy
 * library: libpast-deep-relro.so past_plugin.c -DKIND="deep-relro" -fno-plt -Wl,-z,relro,-z,now
 * library: libpast-lazy.so past_plugin.c -DKIND="lazy" -Wl,-z,lazy
 * library: libpast-relro.so past_plugin.c -DKIND="relro" -fno-plt -Wl,-z,relro,-z,now
 * library: libpast-symbolic.so past_symbolic.c -Wl,-Bsymbolic
 * build: -ldl -Wl,-rpath,$ORIGIN
 * run: (no arguments)
 */
#include "victim.h"
#include <dlfcn.h>

static void use(const char *library, int flags) {
    void *handle = dlopen(library, flags);
    if (!handle) {
        say("%s: %s\n", library, dlerror());
        return;
    }
    int (*call)(void) = (int (*)(void))dlsym(handle, "past_call");
    say("%s: %d\n", library, call ? call() : -9);
}

int main(void) {
    use("libpast-lazy.so", RTLD_LAZY);
    use("libpast-relro.so", RTLD_NOW);
    use("libpast-symbolic.so", RTLD_NOW);
    use("libpast-deep.so", RTLD_NOW | RTLD_DEEPBIND);
    use("libpast-deep-lazy.so", RTLD_LAZY | RTLD_DEEPBIND);
    use("libpast-deep-relro.so", RTLD_NOW | RTLD_DEEPBIND);

    /* However it is come by, a function has one address. */
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    say("open is %s in libc\n", dlsym(libc, "open") == (void *)&open ? "the same" : "another");
    say("open is %s by default\n", dlsym(RTLD_DEFAULT, "open") == (void *)&open ? "the same" : "another");
    SHOW(touch("past.program"));
    say_descriptors("at the end");
    return 0;
}
