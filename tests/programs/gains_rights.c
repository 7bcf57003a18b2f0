/* gains_rights: run by an ordinary user with rights by its file (set-uid, set-gid, file capabilities), under a
 * sensor that /etc/ld.so.preload names. It opens a file, becomes root for good where it may, and starts a program,
 * which no longer knows that its environment was another user's.
 * Trap: sudo, su, ping: the variables of the sensor would let the starter choose what runs as root, and who reads
 * along (CVE-2000-0824 and its kind: the loader drops LD_PRELOAD, since glibc 2.1.93).
 * library: libmark.so mark_library.c
 */
#include "victim.h"
#include <sys/auxv.h>

int main(int argc, char **argv) {
    (void)argc;
    if (!strcmp(argv[0], "next")) {
        say("next: euid %d\n", (int)geteuid());
        for (char **variable = environ; *variable; variable++)
            if (!strncmp(*variable, "GLASSBOX", 8)) say("next: %s\n", *variable);
        close(open("/etc/hostname", O_RDONLY));
        return 0;
    }
    say("secure %d euid %d\n", (int)getauxval(AT_SECURE), (int)geteuid());
    close(open("/etc/hostname", O_RDONLY));
    usleep(200000); /* for a listener that reads the ring */
    if (geteuid() == 0) MUST(setgid(0) == 0 && setuid(0) == 0);
    execv("/proc/self/exe", (char *[]){"next", NULL});
    return 98;
}
