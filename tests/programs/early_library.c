/* early_library: the library of early_constructor; its constructor may run before the sensor's. */
#define _GNU_SOURCE 1
#include "victim.h"
#include <link.h>

int early_library_opened, early_library_errno, early_library_loads;

static int count(struct dl_phdr_info *info, size_t size, void *loads) {
    (void)size;
    *(int *)loads = (int)info->dlpi_adds;
    return 1;
}

__attribute__((constructor)) static void constructor(void) {
    int before = 0;
    dl_iterate_phdr(count, &before);
    errno = 4242;
    early_library_opened = touch("early.library") == 0;
    early_library_errno = errno;
    dl_iterate_phdr(count, &early_library_loads);
    early_library_loads -= before;
    pid_t pid = fork();
    if (pid == 0) _exit(touch("early.fork") == 0 ? 0 : 1);
    int status = -1;
    waitpid(pid, &status, 0);
    early_library_opened += status == 0;
}
__attribute__((destructor)) static void destructor(void) {
    if (touch("late.library") != 0) _exit(94);
}
