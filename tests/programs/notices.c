/* notices: looks for a preloaded library and says so; the harness must catch it.
 */
#include "victim.h"

int main(void) {
    say("LD_PRELOAD is %s\n", getenv("LD_PRELOAD") ? "set" : "not set");
    return 0;
}
