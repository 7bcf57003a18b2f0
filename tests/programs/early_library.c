/* early_library: the library of early_constructor; its constructor may run before the sensor's. */
#include "victim.h"

int early_library_opened;

__attribute__((constructor)) static void constructor(void) {
    early_library_opened = touch("early.library") == 0;
    pid_t pid = fork();
    if (pid == 0) _exit(touch("early.fork") == 0 ? 0 : 1);
    int status = -1;
    waitpid(pid, &status, 0);
    early_library_opened += status == 0;
}
__attribute__((destructor)) static void destructor(void) {
    if (touch("late.library") != 0) _exit(94);
}
