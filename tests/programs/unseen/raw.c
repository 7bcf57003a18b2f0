/* raw: the list of deeds.h by system-call instructions of its own, in a dynamic program: the sensor is loaded, and
 * none of these calls passes a hook.
 */
#ifdef __aarch64__
/* What aarch64 has with the number of a folder alone; `raw` turns these numbers into those. */
enum { SYS_rename = 10000, SYS_link, SYS_symlink, SYS_chmod, SYS_unlink, SYS_mkdir, SYS_rmdir };
#endif
#define CALL(name, ...) WITH(SYS_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0)
#include "instructions.h"
#include <signal.h>

#ifdef __aarch64__
static inline __attribute__((always_inline)) long svc(long number, long a, long b, long c, long d, long e) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
}

static inline __attribute__((always_inline)) long raw(long number, long a, long b, long c, long d, long e) {
    switch (number) {
    case SYS_rename: return svc(SYS_renameat, AT_FDCWD, a, AT_FDCWD, b, 0);
    case SYS_link: return svc(SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0);
    case SYS_symlink: return svc(SYS_symlinkat, a, AT_FDCWD, b, 0, 0);
    case SYS_chmod: return svc(SYS_fchmodat, AT_FDCWD, a, b, 0, 0);
    case SYS_unlink: return svc(SYS_unlinkat, AT_FDCWD, a, 0, 0, 0);
    case SYS_mkdir: return svc(SYS_mkdirat, AT_FDCWD, a, b, 0, 0);
    case SYS_rmdir: return svc(SYS_unlinkat, AT_FDCWD, a, AT_REMOVEDIR, 0, 0);
    default: return svc(number, a, b, c, d, e);
    }
}

/* One block, so that the child touches no memory of its parent's: a child by clone as by vfork. */
static long executed(char *path, void *argv, void *envp) {
    register long x8 __asm__("x8") = SYS_clone;
    register long x0 __asm__("x0") = CLONE_VM | CLONE_VFORK | SIGCHLD;
    register long x1 __asm__("x1") = 0;
    register long x2 __asm__("x2") = 0;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0\n"
                     "cbnz x0, 1f\n"
                     "mov x0, %[path]\n"
                     "mov x1, %[argv]\n"
                     "mov x2, %[envp]\n"
                     "mov x8, %[execve]\n"
                     "svc 0\n"
                     "mov x0, #127\n"
                     "mov x8, %[exit]\n"
                     "svc 0\n"
                     "1:\n"
                     : "+r"(x0), "+r"(x8), "+r"(x1), "+r"(x2)
                     : [path] "r"(path), [argv] "r"(argv), [envp] "r"(envp), "r"(x3), "r"(x4),
                       [execve] "i"(SYS_execve), [exit] "i"(SYS_exit)
                     : "memory");
    return ended(x0);
}
#else
static inline __attribute__((always_inline)) long raw(long number, long a, long b, long c, long d, long e) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

/* One block, so that the child touches no memory of its parent's. */
static long executed(char *path, void *argv, void *envp) {
    long child = SYS_vfork;
    __asm__ volatile("syscall\n"
                     "test %%rax, %%rax\n"
                     "jnz 1f\n"
                     "mov %[execve], %%eax\n"
                     "syscall\n"
                     "mov %[exit], %%eax\n"
                     "mov $127, %%edi\n"
                     "syscall\n"
                     "1:\n"
                     : "+a"(child)
                     : "D"(path), "S"(argv), "d"(envp), [execve] "i"(SYS_execve), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "memory");
    return ended(child);
}
#endif
