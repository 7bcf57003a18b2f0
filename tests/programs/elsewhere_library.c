/* elsewhere_library: opens by itself and by its own dependency. */
#include "victim.h"
extern int dependency_open(const char *path);

int elsewhere_open(const char *path) {
    char other[128];
    snprintf(other, sizeof other, "%s.dependency", path);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    if (fd < 0 || close(fd) != 0) return -1;
    return dependency_open(other);
}
