/* early_constructor: code that opens files before and after every ordinary constructor and destructor.
 * Trap: a hook called before the sensor's constructor ran is unarmed (null real function, lttng-ust); one
 * called after its destructor ran must not crash either.
 * library: libearly.so early_library.c
 * build: -L$OUT -learly -Wl,-rpath,$ORIGIN -Wl,-z,now
 * run: (no arguments)
 */
#include "victim.h"

extern int early_library_opened;

static void preinit(void) { touch("early.preinit"); }
#ifdef __GLIBC__
__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;
#endif
__attribute__((constructor(101))) static void first_constructor(void) {
    if (touch("early.constructor-101") != 0) _exit(97);
}
__attribute__((constructor)) static void constructor(void) {
    if (touch("early.constructor") != 0) _exit(97);
}
__attribute__((destructor(101))) static void last_destructor(void) {
    if (touch("late.destructor") != 0) _exit(96);
}
static void at_exit(void) {
    if (touch("late.atexit") != 0) _exit(95);
}

int main(void) {
    (void)preinit;
    atexit(at_exit);
    say("library opened %d\n", early_library_opened);
    say_descriptors("in main");
    SHOW(touch("early.main"));
    return 9;
}
