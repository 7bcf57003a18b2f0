/* running_fixed: the program running at a fixed address, where the address of a function is that of its own
 * stub.
 * library: librunning.so past_plugin.c -DKIND="plugin"
 * build: -pthread -ldl -Wl,-rpath,$ORIGIN -no-pie -fno-pie -Wl,-z,lazy,-z,norelro
 */
#include "running.c"
