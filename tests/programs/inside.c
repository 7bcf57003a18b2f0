/* inside: functions of libc that open, connect, fork or exec inside libc, where no exported symbol is passed.
 * Trap: a preloaded library sees the outer function only, and must report the inner calls with it. Each is
 * called after the removal of a name that does not exist, `at/FUNCTION`, so that a trace can be cut there.
 * run: (no arguments)
 */
#include "victim.h"
#include <glob.h>
#include <grp.h>
#include <mntent.h>
#include <netdb.h>
#include <pty.h>
#include <pwd.h>
#include <semaphore.h>
#include <syslog.h>
#include <time.h>
#include <utmp.h>
#include <wordexp.h>

static void at(const char *function) {
    char path[64];
    snprintf(path, sizeof path, "at/%s", function);
    unlink(path);
}

static char answer[16];

/* A child that says by its status what became of its standard streams and directory. */
static int ends(pid_t child) {
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

int main(void) {
    int controller, terminal, fd;
    MUST(mkdir("tree", 0700) == 0 && mkdir("tree/sub", 0700) == 0);
    fd = open("tree/table", O_CREAT | O_WRONLY, 0600);
    MUST(write(fd, "none /there none rw 0 0\n", 24) == 24 && close(fd) == 0);

    at("sem_open");
    sem_t *semaphore = sem_open("/glassbox-inside", O_CREAT | O_EXCL, 0600, 3);
    SHOW(semaphore != SEM_FAILED);
    SHOW(sem_getvalue(semaphore, &fd) ? -1 : fd);
    SHOW(sem_close(semaphore));
    SHOW(sem_unlink("/glassbox-inside"));
    SHOW(sem_open("/glassbox-inside", 0) == SEM_FAILED);

    at("setmntent");
    FILE *table = setmntent("tree/table", "r");
    SHOW(!strcmp(getmntent(table)->mnt_dir, "/there"));
    SHOW(endmntent(table));
    SHOW(setmntent("tree/none", "r") == NULL);

    at("posix_openpt");
    SHOW(fd = posix_openpt(O_RDWR | O_NOCTTY));
    SHOW(close(fd));
    at("openpty");
    SHOW(openpty(&controller, &terminal, NULL, NULL, NULL));
    SHOW(write(terminal, "four", 4));
    SHOW(read(controller, answer, sizeof answer));
    at("login_tty");
    pid_t child = fork();
    if (child == 0) _exit(login_tty(terminal) == 0 && isatty(0) ? write(1, "log", 3) : 99);
    SHOW(ends(child));
    SHOW(close(terminal));
    SHOW(close(controller));

    at("forkpty");
    child = forkpty(&controller, NULL, NULL, NULL);
    if (child == 0) _exit(isatty(0) ? write(1, "forked", 6) : 99);
    SHOW(ends(child));
    SHOW(close(controller));

    at("daemon");
    child = fork();
    if (child == 0) {
        int pair[2];
        char byte = 0;
        MUST(pipe(pair) == 0);
        pid_t inner = fork();
        if (inner == 0) {
            if (daemon(0, 0) != 0) _exit(1);
            fd = open("etc/passwd", O_RDONLY); /* in `/` */
            write(0, "lost", 4);
            write(pair[1], fd == 0 ? "0" : fd > 2 ? "y" : "n", 1);
            _exit(0);
        }
        MUST(waitpid(inner, NULL, 0) == inner && read(pair[0], &byte, 1) == 1);
        _exit(byte);
    }
    SHOW(ends(child));

    at("wordexp");
    wordexp_t words;
    SHOW(wordexp("$(echo told) word", &words, 0));
    SHOW(wordexp("$(echo refused)", &words, WRDE_NOCMD));
    SHOW(wordexp("~root plain", &words, 0));

    /* From here on nothing of what happens inside is told: CAPABILITIES.md says so. */
    at("quiet");
    glob_t found;
    SHOW(glob("tree/*", 0, NULL, &found));
    SHOW(getpwnam("root") != NULL);
    SHOW(getgrnam("root") != NULL);
    SHOW(getservbyname("no-such-service", "tcp") == NULL);
    time_t zero = 0;
    SHOW(localtime(&zero) != NULL);
    at("end");
    return 0;
}
