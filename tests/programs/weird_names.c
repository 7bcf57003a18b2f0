/* weird_names: paths that are not tidy UTF-8, and paths as long as the kernel takes.
 * Trap: a line of JSON that is not JSON, or a path cut without saying so.
 * run: (no arguments)
 */
#include "victim.h"

int main(void) {
    const char *names[] = {"with space", "with\"quote", "with\\backslash", "with\nnewline", "with\ttab", "\x01\x1f",
                           "\xff\xfe", "half\xc3", "snow\xe2\x98\x83man", "\xed\xa0\x80surrogate", "-dash", "%s%n%x",
                           "\x7f""del", "\xe2\x80\xa8line-separator"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int fd = open(names[i], O_CREAT | O_WRONLY, 0600);
        say("%zu: fd %d\n", i, fd);
        close(fd);
    }
    static char path[8192];
    memset(path, 'x', 255);
    SHOW(touch(path)); /* the longest name */
    path[255] = 'y', path[256] = 0;
    SHOW(touch(path)); /* ENAMETOOLONG */
    for (int i = 0; i < 4094; i += 2) memcpy(path + i, "./", 2);
    memcpy(path + 4094, "l", 2);
    SHOW(touch(path)); /* 4095 bytes: the longest path */
    memset(path, '/', sizeof path - 1);
    SHOW(open(path, O_RDONLY)); /* ENAMETOOLONG */
    SHOW(open("", O_RDONLY));
    SHOW(touch("deep/../gone/../plain")); /* ENOENT: `deep` is not there */
    return 0;
}
