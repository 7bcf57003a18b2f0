/* durations: calls of which an event says how long they took.
 * Trap: vfork returns twice, and in the parent when the child has executed something; the clock before the call
 * is a register's, for both of them.
 * run: syncs | makes | connects
 */
#include "victim.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <spawn.h>

#define CHILD_SLEEPS_NS 30000000

static void syncs(void) {
    int fd = open("synced", O_RDWR | O_CREAT, 0600);
    MUST(fd >= 0 && write(fd, "x", 1) == 1);
    SHOW(fsync(fd));
    SHOW(fdatasync(fd));
    SHOW(sync_file_range(fd, 0, 1, 0));
    SHOW(syncfs(fd));
    SHOW(fsync(-1));
    SHOW(syscall(SYS_fsync, fd));
    sync();
}

static void makes(void) {
    char *nothing[] = {"true", NULL};
    struct timespec time = {0, CHILD_SLEEPS_NS};
    pid_t child = vfork();
    if (child == 0) {
        nanosleep(&time, NULL);
        execv("/bin/true", nothing);
        _exit(9);
    }
    SHOW(waitpid(child, NULL, 0) == child);
    SHOW(posix_spawn(&child, "/bin/true", NULL, NULL, nothing, environ));
    SHOW(waitpid(child, NULL, 0) == child);
    child = fork();
    if (child == 0)
        _exit(0);
    SHOW(waitpid(child, NULL, 0) == child);
    SHOW(system("sleep 0.03"));
}

static void connects(void) {
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_port = htons(1)};
    nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct addrinfo *found = NULL;
    char name[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SHOW(connect(fd, (struct sockaddr *)&nobody, sizeof nobody));
    SHOW(syscall(SYS_connect, fd, &nobody, sizeof nobody) < 0);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(fd, (struct sockaddr *)&nobody, sizeof nobody);
    close(fd);
    SHOW(getaddrinfo("localhost", NULL, NULL, &found));
    freeaddrinfo(found);
    getnameinfo((struct sockaddr *)&nobody, sizeof nobody, name, sizeof name, NULL, 0, 0);
}

int main(int count, char **arguments) {
    const char *what = count > 1 ? arguments[1] : "";
    if (!strcmp(what, "syncs"))
        syncs();
    if (!strcmp(what, "makes"))
        makes();
    if (!strcmp(what, "connects"))
        connects();
    return 0;
}
