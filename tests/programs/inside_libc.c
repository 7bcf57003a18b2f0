/* inside_libc: functions that open, connect and execute inside libc, past every exported symbol; and some
 * that are wrapped and do so too, of which nothing must be reported twice.
 * library: libinline-engine.so inline_engine.c -ldl
 * build: -pthread
 * run: (no arguments)
 */
#include "victim.h"
#include <netdb.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <syslog.h>

extern char **environ;

int main(void) {
    say("touch %d\n", touch("inside.open"));
    FILE *stream = fopen("inside.fopen", "w");
    say("fopen %d\n", stream ? fclose(stream) : -1);
    say("remove %d\n", remove("inside.fopen"));
    say("getpwnam %d\n", getpwnam("root") != NULL);
    say("getservbyname %d\n", getservbyname("no-such-service", "tcp") != NULL);
    openlog("inside", LOG_NDELAY, LOG_USER);
    closelog();
    pid_t child;
    char *argv[] = {"true", NULL};
    say("posix_spawnp %d\n", posix_spawnp(&child, "true", NULL, NULL, argv, environ));
    waitpid(child, NULL, 0);
    say("system %d\n", system("true"));
    return 0;
}
