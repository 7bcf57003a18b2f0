/* execl_12: execl, execle and execlp with more arguments than there are registers.
 * Trap: a fixed-arity wrapper passes on six arguments; the rest of the caller's stack is lost or junk.
 * Usage: execl_12 {execl|execle|execlp} {none|12|failing}
 * run: execl none | execl 12 | execl failing | execle none | execle 12 | execle failing | execlp none
 * run: execlp 12 | execlp failing
 */
#include "victim.h"

#define TWELVE "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "twelve", (char *)NULL

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "1")) {
        say("argc %d\n", argc);
        for (int i = 0; i < argc; i++) say("%s\n", i ? argv[i] : "-");
        say("LAST %s\n", getenv("LAST") ? getenv("LAST") : "absent");
        return 12;
    }
    if (argc == 1) {
        say("no arguments\n");
        return 1;
    }
    MUST(argc == 3);
    char *envp[] = {"LAST=environment", NULL};
    static char self[4096];
    MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    const char *path = !strcmp(argv[2], "failing") ? "/missing/program" : self;
    int none = !strcmp(argv[2], "none");

    errno = ERRNO_SENTINEL;
    int result = 0;
    if (!strcmp(argv[1], "execl")) result = none ? execl(path, "zero", (char *)NULL) : execl(path, "zero", TWELVE);
    if (!strcmp(argv[1], "execle"))
        result = none ? execle(path, "zero", (char *)NULL, envp) : execle(path, "zero", TWELVE, envp);
    if (!strcmp(argv[1], "execlp")) result = none ? execlp(path, "zero", (char *)NULL) : execlp(path, "zero", TWELVE);
    say("result %d errno %d\n", result, errno);
    return 2;
}
