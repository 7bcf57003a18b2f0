/* running_bound: the program running, bound at its start, without a procedure linkage table, all of its words
 * read-only.
 * library: librunning.so past_plugin.c -DKIND="plugin"
 * build: -pthread -ldl -Wl,-rpath,$ORIGIN -fno-plt -Wl,-z,relro,-z,now
 */
#include "running.c"
