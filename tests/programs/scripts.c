/* scripts: a program that starts scripts, whose image is the interpreter.
 * Trap: the start of a script must show the interpreter as `exe` and the kernel's argument vector.
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    int fd = open("script", O_CREAT | O_WRONLY, 0700);
    const char text[] = "#!/bin/sh -e\necho \"$0 got $*\"\nexit 6\n";
    MUST(write(fd, text, sizeof text - 1) == sizeof text - 1 && close(fd) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl("./script", "lost", "first", "second", (char *)NULL);
        _exit(98);
    }
    reap("script", pid);
    return 0;
}
