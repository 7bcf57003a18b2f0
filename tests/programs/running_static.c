/* running_static: a static program that waits for a sign to go on; it has no loader that could load the
 * sensor.
 * build: -static
 */
#include "victim.h"

int main(void) {
    char byte;
    MUST(mkfifo("go", 0600) == 0);
    int go = open("go", O_RDWR);
    MUST(go >= 0 && touch("ready") == 0);
    SHOW(read(go, &byte, 1));
    return 7;
}
