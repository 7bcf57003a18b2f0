/* libcs_own: calls that libc makes for itself, and calls of the same kinds by functions that hooks wrap, some of
 * which libc makes by its inner functions. Each on a path of its own, in the folder that is its argument.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <mntent.h>
#include <pthread.h>
#include <pwd.h>
#include <semaphore.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

extern char **environ;

/* Called by a hooked function, inside of it. */
static int in_scandir(const struct dirent *entry) {
    close(open("in_scandir", O_CREAT | O_WRONLY, 0600));
    return 0;
}

static int seen(const char *path, const struct stat *about, int kind, struct FTW *place) { return 0; }

static void *thread(void *unused) {
    for (int i = 0; i < 100; i++) fclose(fopen("threads", "re"));
    return NULL;
}

static void hooked(void) {
    char name[64];
    close(creat("creat", 0600));
    close(open("threads", O_CREAT | O_RDWR, 0600));
    fclose(fopen("fopen", "we"));
    fclose(freopen("freopen", "w", fopen("fopen_first", "wce")));
    mkdir("opendir", 0700), mkdir("scandir", 0700), mkdir("glob", 0700), mkdir("nftw", 0700);
    close(openat(AT_FDCWD, "scandir/entry", O_CREAT | O_WRONLY, 0600));
    closedir(opendir("opendir"));
    struct dirent **entries;
    scandir("scandir", &entries, in_scandir, NULL);
    glob_t found;
    glob("glob/*", 0, NULL, &found);
    char template[] = "mkstemp_XXXXXX", folder[] = "mkdtemp_XXXXXX";
    close(mkstemp(template)), unlink(template), rmdir(mkdtemp(folder));
    fclose(tmpfile());
    snprintf(name, sizeof name, "/libcs_own_%d", getpid());
    close(shm_open(name, O_CREAT | O_RDWR, 0600)), shm_unlink(name);
    sem_close(sem_open(name, O_CREAT, 0600, 1)), sem_unlink(name);
    endmntent(setmntent("fopen", "r"));
    close(syscall(SYS_openat, AT_FDCWD, "syscall", O_CREAT | O_WRONLY, 0600));
    rename("creat", "rename"), remove("rename"), link("fopen", "link"), symlink("fopen", "symlink");
    chmod("link", 0640), truncate("link", 3), mkfifo("mkfifo", 0600);
    struct sockaddr_un at = {AF_UNIX, "listens"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (void *)&at, sizeof at), listen(listener, 1);
    connect(client, (void *)&at, sizeof at);
    close(client), close(listener);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, thread, NULL);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

static void children(void) {
    system("exit 3"), pclose(popen("exit 4", "r"));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "spawned", O_CREAT | O_WRONLY, 0600);
    pid_t child;
    char *argv[] = {"true", NULL};
    posix_spawn(&child, "/bin/true", &actions, NULL, argv, environ), waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        close(open("forked", O_CREAT | O_WRONLY, 0600));
        getpwnam("root");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    child = vfork();
    if (child == 0) {
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
    execl("/nonexistent", "nonexistent", NULL);
}

int main(int argc, char **argv) {
    if (argc < 2 || chdir(argv[1])) return 1;
    hooked();
    children();
    openlog("libcs_own", LOG_NDELAY, LOG_USER), closelog();
    nftw("nftw", seen, 4, 0);
    fchmodat(AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW);
    free(realpath("symlink", NULL));
    getpwnam("root");
    return 0;
}
