/* auditor: a library for LD_AUDIT that watches and changes nothing.
 * Trap: auditors live in a namespace of their own and see our binding (reasoned, not seen in a report).
 * build: -shared -fPIC
 */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <link.h>
#include <unistd.h>

unsigned int la_version(unsigned int version) {
    close(open("/dev/null", O_RDONLY));
    return version;
}
unsigned int la_objopen(struct link_map *map, Lmid_t lmid, uintptr_t *cookie) {
    (void)map, (void)lmid, (void)cookie;
    return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}
