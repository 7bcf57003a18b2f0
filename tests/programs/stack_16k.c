/* stack_16k: the smallest thread stacks and alternate signal stacks, with long paths and every kind of hooked
 * call.
 * Trap: SIGSEGV where a hook needs more stack than the call it wraps (mirrord's tracing spans,
 * AppScope#1170's pcre2).
 * build: -pthread
 * run: (no arguments)
 */
#include "victim.h"
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define STACK 16384

static char long_path[4096], deep[4096];
static char *many[300], *others[300];
static char **big_environment;
static char self[4096];
static long failures;

static void *opens(void *unused) {
    (void)unused;
    for (int i = 0; i < 50; i++) {
        int fd = open(long_path, O_CREAT | O_RDWR, 0600);
        if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) != 0) failures++;
        if (open(deep, O_RDONLY) >= 0) failures++;
        fd = openat(AT_FDCWD, long_path, O_RDONLY);
        int copy = fcntl(fd, F_DUPFD, 100);
        if (copy < 100 || close(copy) != 0 || close(fd) != 0) failures++;
    }
    return NULL;
}

static void *sockets(void *unused) {
    (void)unused;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "nobody-listens"};
    socklen_t len = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (void *)&address, sizeof address) || listen(server, 1)) failures++;
    getsockname(server, (void *)&address, &len);
    if (connect(client, (void *)&address, sizeof address)) failures++;
    int accepted = accept4(server, (void *)&address, &len, SOCK_CLOEXEC);
    if (send(client, "hello", 5, 0) != 5 || recv(accepted, path.sun_path + 50, 5, 0) != 5) failures++;
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(local, (void *)&path, sizeof path) == 0) failures++;
    close(server), close(client), close(accepted), close(local);
    return NULL;
}

static void *execs(void *unused) {
    (void)unused;
    int status;
    pid_t pid;
    if (execve("/missing/program", many, environ) != -1 || errno != ENOENT) failures++;
    if (execv(deep, many) != -1) failures++;
    if (posix_spawn(&pid, self, NULL, NULL, many, environ)) failures++;
    else if (waitpid(pid, &status, 0) != pid || status != 0) failures++;
    char *few[] = {"small", "child", NULL}, *none[] = {NULL};
    if (posix_spawn(&pid, self, NULL, NULL, few, none)) failures++;
    else if (waitpid(pid, &status, 0) != pid || status != 0) failures++;
    if (posix_spawn(&pid, self, NULL, NULL, few, big_environment)) failures++;
    else if (waitpid(pid, &status, 0) != pid || status != 0) failures++;
    pid = vfork();
    if (pid == 0) {
        execve(self, few, big_environment);
        _exit(98);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0) failures++;
    pid = vfork();
    if (pid == 0) {
        execle(self, "small", "child", (char *)NULL, none);
        _exit(98);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0) failures++;
    return NULL;
}

/* The child takes actions first, and the program is searched in PATH. */
static void *spawns(void *unused) {
    (void)unused;
    int status;
    pid_t pid;
    char *few[] = {"small", "searched", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, 200);
    posix_spawn_file_actions_adddup2(&actions, 1, 7);
    posix_spawn_file_actions_addopen(&actions, 8, long_path, O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&actions, 9, "small-log", O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addchdir_np(&actions, "small-folder");
    if (posix_spawn(&pid, self, &actions, NULL, few, big_environment)) failures++;
    else if (waitpid(pid, &status, 0) != pid || status != 0) failures++;
    if (posix_spawnp(&pid, "small-tool", &actions, NULL, others, environ)) failures++;
    else if (waitpid(pid, &status, 0) != pid || status != 0) failures++;
    if (posix_spawnp(&pid, "small-missing", &actions, NULL, others, environ) != ENOENT) failures++;
    if (execvp("small-missing", others) != -1 || errno != ENOENT) failures++;
    pid = vfork();
    if (pid == 0) {
        execlp("small-tool", "small", "searched", (char *)NULL);
        _exit(98);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0) failures++;
    posix_spawn_file_actions_destroy(&actions);
    return NULL;
}

/* Connects whose outcome is shown by a wait, by a transfer, and by a close. */
static void *waits(void *unused) {
    (void)unused;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server, (void *)&address, sizeof address) || listen(server, 4)) failures++;
    getsockname(server, (void *)&address, &len);
    for (int way = 0; way < 3; way++) {
        int client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(client, (void *)&address, sizeof address) != -1 || errno != EINPROGRESS) failures++;
        int accepted = accept(server, NULL, NULL);
        struct pollfd writable = {client, POLLOUT, 0};
        if (way == 0 && poll(&writable, 1, 5000) != 1) failures++;
        if (way == 1 && send(client, "hello", 5, 0) != 5) failures++;
        close(client), close(accepted);
    }
    close(server);
    return NULL;
}

static void on_signal(int number) {
    (void)number;
    if (touch("from-the-alternate-stack") != 0) failures++;
}

static void run(const char *what, void *(*body)(void *)) {
    pthread_attr_t attributes;
    pthread_t thread;
    failures = 0;
    /* A stack of our own between two guards: nothing beyond its 16 KiB can be used unnoticed. */
    char *area = mmap(NULL, STACK + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    MUST(area != MAP_FAILED && mprotect(area + 4096, STACK, PROT_READ | PROT_WRITE) == 0);
    pthread_attr_init(&attributes);
    MUST(pthread_attr_setstack(&attributes, area + 4096, STACK) == 0);
    MUST(pthread_create(&thread, &attributes, body, NULL) == 0);
    pthread_join(thread, NULL);
    say("%s: %ld failures\n", what, failures);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "child")) return touch("small-child") == 0 ? 0 : 1;
    if (argc > 1 && !strcmp(argv[1], "searched")) return touch("small-searched") == 0 ? 0 : 1;
    MUST(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    for (int i = 0; i < 4000; i += 2) memcpy(long_path + i, "./", 2);
    strcpy(long_path + 4000, "small");
    memset(deep, 'd', sizeof deep - 1);
    many[0] = "small", many[1] = "child";
    for (int i = 2; i < 299; i++) many[i] = "argument";
    memcpy(others, many, sizeof many);
    others[1] = "searched";
    big_environment = calloc(3001, sizeof *big_environment);
    for (int i = 0; i < 3000; i++) MUST(asprintf(&big_environment[i], "VARIABLE_%d=%d", i, i) > 0);

    run("opens", opens);
    run("sockets", sockets);
    run("execs", execs);
    MUST(mkdir("small-folder", 0755) == 0 && symlink(self, "small-folder/small-tool") == 0);
    MUST(symlink(self, "small-tool") == 0);
    setenv("PATH", "/missing:.:/usr/bin", 1);
    run("spawns", spawns);
    run("waits", waits);

    stack_t alternate = {.ss_sp = malloc(MINSIGSTKSZ + 4096), .ss_size = MINSIGSTKSZ + 4096};
    MUST(sigaltstack(&alternate, NULL) == 0);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    failures = 0;
    for (int i = 0; i < 20; i++) raise(SIGUSR1);
    say("alternate stack: %ld failures\n", failures);
    return 0;
}
