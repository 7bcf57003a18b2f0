/* opens: a static program in a container, which opens one file to read and one to write.
 * For tests of files that put a supervisor before it: nothing of the sensor is in it.
 * Usage: opens READ WRITE: prints whether each could be opened, and its own arguments.
 */
#include "victim.h"

int main(int argc, char **argv) {
    MUST(argc == 3);
    int read = open(argv[1], O_RDONLY | O_CLOEXEC);
    int written = open(argv[2], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    say("%s %s\n", read >= 0 ? "read" : strerror(errno), written >= 0 ? "written" : strerror(errno));
    return 3;
}
