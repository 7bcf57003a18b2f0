/* steady: opens one file every few milliseconds and says so, until the file `stop` is there.
 * For tests that do something to the collector meanwhile: the program must not notice.
 * Usage: steady LIMIT: gives up after LIMIT opens.
 * Output: `failed N` and nothing that depends on time; the number of opens goes to the file `count-of-opens`.
 * run: 50
 * differs: count-of-
 */
#include "victim.h"

int main(int argc, char **argv) {
    MUST(argc == 2);
    long failed = 0, done = 0;
    char path[64];
    for (; done < atol(argv[1]) && access("stop", F_OK) != 0; done++) {
        snprintf(path, sizeof path, "steady.%ld", done);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0 || close(fd) != 0) failed++;
        usleep(3000);
    }
    char text[32];
    int len = snprintf(text, sizeof text, "%ld", done);
    int fd = open("count-of-opens", O_CREAT | O_WRONLY, 0600);
    MUST(write(fd, text, len) == len && close(fd) == 0);
    say("failed %ld\n", failed);
    return 0;
}
