/* runpath_inner: loaded late; its own opens must be seen, and its constructor runs inside dlopen. */
#include "victim.h"

__attribute__((constructor)) static void constructor(void) { touch("inner.constructor"); }
int inner_answer(void) { return touch("inner.answer") == 0 ? 41 : -3; }
