/* What raw.c and int80.c share: the list of deeds.h by system-call instructions of their own. Each defines CALL, and
 * then `raw`.
 */
#define WITH(number, a, b, c, d, e, ...) \
    raw(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
static inline long raw(long number, long a, long b, long c, long d, long e);
#include "deeds.h"

/* Waits for a child that a vfork gave, or passes its error on. */
static long ended(long child) {
    if (child < 0) return child;
    int status = -1;
    if (waitpid(child, &status, 0) != child) return -errno;
    return status == 0 ? 0 : -status;
}
