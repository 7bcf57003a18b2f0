/* static_program: a static program never loads the sensor and must be unaffected.
 * Trap: nothing breaks, but nothing is seen either: its parent's exec must give `sensor.blind`, reason
 * `static`.
 * build: -static
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    SHOW(touch("by-the-static-program"));
    SHOW(system("exit 4"));
    say_descriptors("at the end");
    return 19;
}
