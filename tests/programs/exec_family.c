/* exec_family: every way to start a program, each with every kind of environment.
 * Trap: `env -i`, clearenv + system, execle, posix_spawn, execvpe and execveat with another environment lose
 * the sensor (AppScope: child unseen in each but execve); an existing LD_PRELOAD gets overwritten
 * (dynatrace-operator#1201).
 *
 * Usage: exec_family CALL ENVIRONMENT
 *   CALL: execve execv execvp execvpe execl execle execlp fexecve execveat posix_spawn posix_spawnp system popen
 *         syscall_execve syscall_execveat
 *   ENVIRONMENT: same   as it is
 *                empty  clearenv() first, and an empty array where the call takes one
 *                null   environ = NULL, and a null pointer where the call takes one
 *                other  only A=1 and PATH
 *                preload  A=1, PATH and an LD_PRELOAD list, beside a name that looks like the sensor's
 * The child (`exec_family child`) prints its arguments and environment and opens the file `childs-mark`.
 * run: execve same | execve empty | execve null | execve other | execve preload | execv same | execv empty
 * run: execv null | execv other | execv preload | execvp same | execvp empty | execvp null | execvp other
 * run: execvp preload | execvpe same | execvpe empty | execvpe null | execvpe other | execvpe preload
 * run: execl same | execl empty | execl null | execl other | execl preload | execle same | execle empty
 * run: execle null | execle other | execle preload | execlp same | execlp empty | execlp null
 * run: execlp other | execlp preload | fexecve same | fexecve empty | fexecve null | fexecve other
 * run: fexecve preload | execveat same | execveat empty | execveat null | execveat other | execveat preload
 * run: posix_spawn same | posix_spawn empty | posix_spawn null | posix_spawn other | posix_spawn preload
 * run: posix_spawnp same | posix_spawnp empty | posix_spawnp null | posix_spawnp other
 * run: posix_spawnp preload | system same | system empty | system null | system other | system preload
 * run: popen same | popen empty | popen null | popen other | popen preload | syscall_execve same
 * run: syscall_execve empty | syscall_execve null | syscall_execve other | syscall_execve preload
 * run: syscall_execveat same | syscall_execveat empty | syscall_execveat null | syscall_execveat other
 * run: syscall_execveat preload
 */
#include "victim.h"
#include <spawn.h>

static char *own_path;

static int child(int argc, char **argv) {
    for (int i = 1; i < argc; i++) say("child argv %d: %s\n", i, argv[i]);
    for (char **e = environ; e && *e; e++) say("child env %s\n", *e);
    say_descriptors("in the child");
    say("childs-mark: %d\n", touch("childs-mark"));
    return 42;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "child")) return child(argc, argv);
    MUST(argc == 3);
    static char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    MUST(len > 0);
    own_path = self;
    const char *call = argv[1], *kind = argv[2];

    char *empty[] = {NULL};
    char *other[] = {"A=1", "PATH=/usr/bin:/bin", NULL};
    /* libm is harmless to load anywhere, has no slash, and is found by its name. */
    char *preload[] = {"A=1", "LD_PRELOAD=libm.so.6", "PATH=/usr/bin:/bin", "GLASSBOXY=mine", NULL};
    char **envp = environ;
    if (!strcmp(kind, "empty")) envp = empty, clearenv();
    else if (!strcmp(kind, "null")) envp = NULL, environ = NULL;
    else if (!strcmp(kind, "other")) envp = other, environ = other;
    else if (!strcmp(kind, "preload")) envp = preload, environ = preload;
    else MUST(!strcmp(kind, "same"));

    char *arguments[] = {"exec_family", "child", "one", "two words", NULL};
    char line[4200];
    snprintf(line, sizeof line, "exec '%s' child one 'two words'", own_path);
    pid_t pid = -1;
    int status = -1;

    /* The caller's own view of its environment must not change by starting something. */
    if (!strcmp(call, "posix_spawn")) {
        status = posix_spawn(&pid, own_path, NULL, NULL, arguments, envp);
        reap("posix_spawn", pid); /* said after the child has spoken */
        say("posix_spawn = %d\n", status);
    } else if (!strcmp(call, "posix_spawnp")) {
        status = posix_spawnp(&pid, own_path, NULL, NULL, arguments, envp);
        reap("posix_spawnp", pid);
        say("posix_spawnp = %d\n", status);
    } else if (!strcmp(call, "system")) {
        status = system(line);
        say_status("system", status);
    } else if (!strcmp(call, "popen")) {
        FILE *pipe = popen(line, "r");
        MUST(pipe);
        char text[4096];
        while (fgets(text, sizeof text, pipe)) say("popen: %s", text);
        say_status("pclose", pclose(pipe));
    } else {
        pid = fork();
        if (pid == 0) {
            int fd;
            errno = ERRNO_SENTINEL;
            if (!strcmp(call, "execve")) execve(own_path, arguments, envp);
            else if (!strcmp(call, "execv")) execv(own_path, arguments);
            else if (!strcmp(call, "execvp")) execvp(own_path, arguments);
#ifdef __GLIBC__
            else if (!strcmp(call, "execveat")) execveat(AT_FDCWD, own_path, arguments, envp, 0);
#endif
            else if (!strcmp(call, "execvpe")) execvpe(own_path, arguments, envp);
            else if (!strcmp(call, "execl")) execl(own_path, "exec_family", "child", "one", "two words", (char *)NULL);
            else if (!strcmp(call, "execle"))
                execle(own_path, "exec_family", "child", "one", "two words", (char *)NULL, envp);
            else if (!strcmp(call, "execlp")) execlp(own_path, "exec_family", "child", "one", "two words", (char *)NULL);
            else if (!strcmp(call, "fexecve")) fd = open(own_path, O_RDONLY | O_CLOEXEC), fexecve(fd, arguments, envp);
            else if (!strcmp(call, "syscall_execve")) syscall(SYS_execve, own_path, arguments, envp);
            else if (!strcmp(call, "syscall_execveat"))
                syscall(SYS_execveat, AT_FDCWD, own_path, arguments, envp, 0);
            say("%s failed: errno %d\n", call, errno);
            _exit(98);
        }
        reap(call, pid);
    }
    for (char **e = environ; e && *e; e++) say("own env %s\n", *e);
    if (strcmp(kind, "same")) say("LD_PRELOAD %s\n", getenv("LD_PRELOAD") ? "is set" : "is not set");
    say_descriptors("at the end");
    return 0;
}
