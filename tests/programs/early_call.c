/* early_call: a library's constructor opens a file and forks, before the sensor's constructor has run.
 * Trap: a call that passes a hook before the sensor began is lost (libselinux's in tar and find).
 * A library that is loaded in that call needs locks which the constructor may hold.
 * library: libearly.so early_library.c
 * build: -L$OUT -learly -Wl,-rpath,$ORIGIN -Wl,-z,now
 * run: (no arguments)
 */
#include "victim.h"

extern int early_library_opened, early_library_errno, early_library_loads;

int main(void) {
    say("library opened %d, errno %d, %d loaded\n", early_library_opened, early_library_errno, early_library_loads);
    SHOW(touch("early.main"));
    return 9;
}
