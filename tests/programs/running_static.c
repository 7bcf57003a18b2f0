/* running_static: a static program that waits to be told to go on; no loader is in it that the sensor could be given to.
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
