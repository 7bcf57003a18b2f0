/* mark_library: the library of gains_rights: says where it was loaded. */
#include "victim.h"

__attribute__((constructor)) static void constructor(void) { say("the library runs as euid %d\n", (int)geteuid()); }
