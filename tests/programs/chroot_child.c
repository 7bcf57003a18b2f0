/* chroot_child: a child changes its root, where neither the socket's path nor the library exists.
 * Trap: a server's child that loses the way to the collector goes unseen; snoopy: ld.so complains at every
 * exec there.
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    MUST(mkdir("jail", 0755) == 0 && mkdir("jail/inner", 0755) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        MUST(chroot("jail") == 0 && chdir("/") == 0);
        SHOW(touch("/inner/file"));
        SHOW(execl("/bin/sh", "sh", (char *)NULL));
        pid_t grandchild = fork();
        if (grandchild == 0) _exit(touch("/inner/grandchild") == 0 ? 5 : 6);
        reap("grandchild", grandchild);
        _exit(0);
    }
    reap("child", pid);
    return 0;
}
