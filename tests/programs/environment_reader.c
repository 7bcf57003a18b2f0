/* environment_reader: the values that getenv and environ show, also after changes.
 * Trap: a sensor that touches `environ` in its constructor loses values (otel-injector#348), or shows up as a
 * changed value; one that puts its variables back after the program removed them is noticed.
 * run: (no arguments)
 */
#include "victim.h"

static void list(const char *when) {
    say("%s:\n", when);
    for (char **e = environ; e && *e; e++) say("env %s\n", *e);
}

int main(int argc, char **argv, char **envp) {
    (void)argc, (void)argv;
    say("main's envp is %s\n", envp == environ ? "environ" : "another");
    list("at start");
    SHOW(setenv("ADDED", "1", 1));
    SHOW(unsetenv("LD_PRELOAD"));
    SHOW(unsetenv("GLASSBOX_SOCKET"));
    SHOW_POINTER(getenv("LD_PRELOAD"));
    SHOW(system("echo in the shell"));
    SHOW_POINTER(getenv("LD_PRELOAD"));
    SHOW_POINTER(getenv("GLASSBOX_SOCKET"));
    list("after unsetenv");
    SHOW(clearenv());
    SHOW(system("echo in the shell"));
    say("environ is %s\n", environ == NULL ? "null" : *environ ? "not empty" : "empty");
    char *own[] = {"MINE=1", NULL};
    environ = own;
    SHOW(system("echo MINE is $MINE"));
    say("environ is %s\n", environ == own && !strcmp(own[0], "MINE=1") && !own[1] ? "mine" : "not mine");
    return touch("after") == 0 ? 0 : 1;
}
