/* elsewhere_dependency: what elsewhere_library needs. */
#include "victim.h"
int dependency_open(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    return fd < 0 ? -1 : close(fd);
}
