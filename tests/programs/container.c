/* container: the first process of a container of a task: children that end in every way, a file, a
 * connection. Both containers of the test have the same pids; a collector that confuses them gives one the
 * other's files, peers or ends.
 * Usage: container PORT CODE GATE: connects to PORT, waits until the file GATE is there, ends with CODE.
 *        container leaf: what a child executes, without an environment.
 */
#include "victim.h"
#include <arpa/inet.h>
#include <sys/socket.h>

static pid_t child(const char *file) {
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) MUST(open(file, O_CREAT | O_WRONLY, 0644) >= 0);
    return pid;
}

int main(int argc, char **argv) {
    if (argc == 2) return open("/tmp/leaf", O_CREAT | O_WRONLY, 0644) >= 0 ? 4 : 99;
    MUST(argc == 4);
    MUST(open("/tmp/worker", O_CREAT | O_WRONLY, 0644) >= 0);

    pid_t exits = child("/tmp/exits");
    if (exits == 0) _exit(6);
    MUST(waitpid(exits, NULL, 0) == exits);

    /* Killed when it has told of its open: that the file is there does not say so. */
    int told[2];
    MUST(pipe(told) == 0);
    pid_t killed = child("/tmp/killed");
    if (killed == 0) {
        MUST(write(told[1], "", 1) == 1);
        for (;;) pause();
    }
    MUST(read(told[0], &(char){0}, 1) == 1);
    MUST(kill(killed, SIGKILL) == 0);
    /* Later than the collector can learn of the death in any other way. */
    usleep(100000);
    MUST(waitpid(killed, NULL, 0) == killed);

    pid_t leaf = child("/tmp/before-leaf");
    if (leaf == 0) {
        char *none[] = {NULL};
        execle("/bin/container", "container", "leaf", NULL, none);
        _exit(98);
    }
    MUST(waitpid(leaf, NULL, 0) == leaf);

    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST(connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0);
    MUST(close(fd) == 0);

    while (access(argv[3], F_OK) != 0) usleep(5000);
    /* Not by returning: musl does not report the status then, nor does the kernel across pid namespaces. */
    exit(atoi(argv[2]));
}
