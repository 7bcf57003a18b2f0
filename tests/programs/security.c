/* security: identity, signals, other processes' memory, namespaces, executable memory and the kernel's own
 * interfaces, each by function and by number.
 * Trap: identity is the process's, so the identity of events changes in the middle of an image; a signal to
 * oneself may be the last thing that a process does; what mprotect is asked thousands of times must cost
 * nothing.
 * run: credentials | signals | trace | namespace | memory | kernel | control
 */
#include "victim.h"
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/fsuid.h>
#include <sys/uio.h>

static volatile sig_atomic_t handled;
static void handle(int signal) { handled += signal; }

static void credentials(void) {
    gid_t groups[] = {10, 20, 30};
    umask(0);
    SHOW(setgroups(3, groups));
    SHOW(initgroups("root", 0));
    SHOW(setregid(1001, -1));
    SHOW(setresgid(1002, 1003, 1004));
    SHOW(setegid(1002));
    SHOW(setgid(1005));
    SHOW(setfsgid(1006));
    SHOW(setfsuid(1007));
    MUST(touch("open-to-all/as-root") == 0);
    SHOW(seteuid(1008));
    touch("open-to-all/as-effective");
    SHOW(setresuid(-1, 0, -1));
    SHOW(setreuid(1009, 0));
    touch("open-to-all/as-real");
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0, 0, 0}, {0, 0, 0}};
    SHOW(syscall(SYS_capget, &header, sets));
    sets[0].inheritable = 0, sets[1].inheritable = 0;
    SHOW(syscall(SYS_capset, &header, sets));
    SHOW(setuid(65534));
    touch("open-to-all/as-nobody");
    SHOW(setuid(0));
    SHOW(syscall(SYS_setresuid, 65534, 65534, 65534));
    SHOW(syscall(SYS_setgid, 1005));
    SHOW(syscall(SYS_setgroups, 0, NULL));
    pid_t pid = fork();
    if (pid == 0) _exit(touch("open-to-all/as-nobodys-child") == 0 ? 0 : 1);
    reap("child", pid);
    execl("/bin/sh", "sh", "-c", ": > open-to-all/as-nobodys-image", (char *)NULL);
}

static void signals(void) {
    signal(SIGUSR1, handle);
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    SHOW(kill(child, 0));
    SHOW(kill(getpid(), SIGUSR1));
    SHOW(raise(SIGUSR1));
    SHOW(pthread_kill(pthread_self(), SIGUSR1));
    SHOW(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 7}));
#ifdef __GLIBC__
    SHOW(tgkill(getpid(), gettid(), SIGUSR1));
#endif
    SHOW(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
    SHOW(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1));
    SHOW(syscall(SYS_kill, child, SIGCONT));
    SHOW(kill(child, 1000));
    SHOW(kill(getpid(), 1000));
    SHOW(killpg(0x3fffffff, SIGCONT));
    say("handled %d\n", handled);
    int pidfd = SHOW(syscall(SYS_pidfd_open, child, 0));
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0));
    close(pidfd);
    reap("child", child);
    child = fork();
    if (child == 0) {
        signal(SIGKILL, SIG_DFL);
        kill(getpid(), SIGKILL);
    }
    reap("killed by itself", child);
}

static void trace(void) {
    long word = 77, copy = 0;
    struct iovec local = {&copy, sizeof copy}, remote = {&word, sizeof word};
    SHOW(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == sizeof word && copy == 77);
    copy = 78;
    SHOW(process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == sizeof word && word == 78);
    pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        _exit(3);
    }
    int status;
    MUST(waitpid(child, &status, 0) == child);
    SHOW(ptrace(PTRACE_PEEKDATA, child, &word, 0));
    word = -1;
    SHOW(ptrace(PTRACE_POKEDATA, child, &word, -1l));
    SHOW(ptrace(PTRACE_PEEKDATA, child, &word, 0)); /* -1, and no error */
    SHOW(syscall(SYS_ptrace, PTRACE_CONT, child, 0, 0));
    reap("traced", child);
    SHOW(ptrace(PTRACE_ATTACH, 0x3fffffff, 0, 0));
}

static void namespace(void) {
    MUST(mkdir("root", 0755) == 0 && mkdir("point", 0755) == 0);
    pid_t child = fork();
    if (child == 0) {
        int own = open("/proc/self/ns/uts", O_RDONLY);
        SHOW(unshare(CLONE_NEWNS | CLONE_NEWUTS));
        SHOW(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
        SHOW(mount("source", "point", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k"));
        SHOW(umount("point"));
        SHOW(umount2("point", MNT_DETACH));
        SHOW(syscall(SYS_pivot_root, "root", "root/old"));
        SHOW(setns(own, CLONE_NEWUTS));
        SHOW(setns(own, CLONE_NEWNET));
        SHOW(syscall(SYS_unshare, 0));
        SHOW(chroot("missing"));
        SHOW(chroot("root"));
        _exit(0);
    }
    reap("unshared", child);
}

static void memory(void) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(page != MAP_FAILED);
    SHOW(mprotect(page, 4096, PROT_READ));
    SHOW(mprotect(page, 4096, PROT_READ | PROT_EXEC));
    SHOW(syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC));
#ifdef __GLIBC__
    SHOW(pkey_mprotect(page, 8192, PROT_READ | PROT_EXEC, -1));
#endif
    int fd = open("/bin/true", O_RDONLY);
    SHOW(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    SHOW(mmap(NULL, 0, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED);
    SHOW(syscall(SYS_mmap, NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != -1);
    SHOW(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    for (int i = 0; i < 10000; i++) mprotect(page, 4096, i & 1 ? PROT_READ : PROT_NONE);
}

static void kernel(void) {
    int missing = open("/dev/null", O_RDONLY);
    SHOW(syscall(SYS_init_module, NULL, 0, ""));
    SHOW(syscall(SYS_finit_module, missing, "", 0));
    SHOW(syscall(SYS_delete_module, "glassbox_none", O_NONBLOCK));
    SHOW(syscall(SYS_bpf, 9999, NULL, 0));
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    if (fd >= 0) close(fd);
    fd = syscall(SYS_io_uring_setup, 0, NULL);
    say("io_uring %d\n", fd);
}

static void control(void) {
    char name[16] = "";
    SHOW(prctl(PR_SET_NAME, "a-name-longer-than-fifteen", 0, 0, 0));
    SHOW(prctl(PR_GET_NAME, name, 0, 0, 0));
    say("name %s\n", name);
    SHOW(prctl(PR_SET_NAME, (char *)0x10, 0, 0, 0));
    SHOW(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
    SHOW(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(syscall(SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
    SHOW(prctl(PR_SET_SECCOMP, 77, NULL, 0, 0));
    SHOW(syscall(SYS_seccomp, 1, 0x4000, NULL));
    SHOW(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
}

int main(int argc, char **argv) {
    MUST(argc > 1);
    if (!strcmp(argv[1], "credentials")) credentials();
    if (!strcmp(argv[1], "signals")) signals();
    if (!strcmp(argv[1], "trace")) trace();
    if (!strcmp(argv[1], "namespace")) namespace();
    if (!strcmp(argv[1], "memory")) memory();
    if (!strcmp(argv[1], "kernel")) kernel();
    if (!strcmp(argv[1], "control")) control();
    return 0;
}
