/* setid_program: run set-uid by another user, so that ld.so drops LD_PRELOAD.
 * Trap: AppScope#1188, #1580: the program must be unaffected; its parent's exec gives `sensor.blind`, reason
 * `setuid`.
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    say("uid %d euid %d\n", (int)getuid(), (int)geteuid());
    SHOW(open("/dev/null", O_RDONLY));
    say_descriptors("at the end");
    return 16;
}
