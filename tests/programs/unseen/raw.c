/* raw: the list of deeds.h by `syscall` instructions of its own, in a dynamic program: the sensor is loaded, and
 * none of these calls passes a hook. x86_64 only.
 */
#define CALL(name, ...) WITH(SYS_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0)
#include "instructions.h"

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
