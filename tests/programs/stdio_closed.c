/* stdio_closed: an image that starts with some of 0, 1 and 2 closed, so that its first files get those
 * numbers.
 * Trap: the sensor's own socket or memfd becomes descriptor 0, 1 or 2, or the program's first file gets
 * another number.
 * Usage: stdio_closed [0][1][2]: closes these and execs itself; results go to the file `result`.
 * run: 0 | 1 | 2 | 01 | 12 | 02 | 012
 */
#include "victim.h"

int main(int argc, char **argv) {
    static char self[4096];
    MUST(argc == 2);
    if (strcmp(argv[0], "second")) {
        MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
        for (char *c = argv[1]; *c; c++) close(*c - '0');
        execl(self, "second", argv[1], (char *)NULL);
        _exit(98);
    }
    char text[512];
    int len = 0;
    for (int fd = 0; fd < 20; fd++)
        if (fcntl(fd, F_GETFD) >= 0) len += snprintf(text + len, sizeof text - len, "open %d\n", fd);
    int first = open("first", O_CREAT | O_RDWR, 0600), second = open("second", O_CREAT | O_RDWR, 0600);
    len += snprintf(text + len, sizeof text - len, "first %d second %d\n", first, second);
    int fds[2] = {-1, -1};
    pipe(fds);
    len += snprintf(text + len, sizeof text - len, "pipe %d %d\n", fds[0], fds[1]);
    int result = open("result", O_CREAT | O_WRONLY | O_TRUNC, 0600);
    MUST(write(result, text, len) == len);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "ls -1 /proc/self/fd >> result; exit 3", (char *)NULL);
        _exit(98);
    }
    int status;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status) + 10;
}
