/* int80: the list of deeds.h by `int $0x80`, the kernel's entry for 32-bit programs, from a 64-bit dynamic
 * program: the numbers and the layout of pointers are those of i386. x86_64 only.
 */
/* The numbers of i386 (asm/unistd_32.h of linux-libc-dev, whose names are those of x86_64). */
#define I386_openat 295
#define I386_rename 38
#define I386_link 9
#define I386_symlink 83
#define I386_chmod 15
#define I386_unlink 10
#define I386_mkdir 39
#define I386_rmdir 40
#define I386_socket 359
#define I386_connect 362
#define I386_bind 361
#define I386_listen 363
#define I386_accept4 364
#define I386_kill 37
#define I386_setuid 213 /* setuid32 */
#define I386_memfd_create 356
#define I386_unshare 310
#define I386_mount 21
#define I386_ptrace 26
#define I386_execve 11
#define I386_execveat 358
#define I386_vfork 190
#define I386_exit 1

#define POINTER uint32_t
#define CALL(name, ...) WITH(I386_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0)
#include "instructions.h"

/* The kernel leaves r8 to r11 undefined at this entry (entry_INT80_compat before Linux 4.17 zeroed them). */
static inline __attribute__((always_inline)) long raw(long number, long a, long b, long c, long d, long e) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "r8", "r9", "r10", "r11", "memory");
    return (int)result;
}

/* One block, so that the child touches no memory of its parent's. */
static long executed(char *path, void *argv, void *envp) {
    long child = I386_vfork;
    __asm__ volatile("int $0x80\n"
                     "test %%eax, %%eax\n"
                     "jnz 1f\n"
                     "mov %[execve], %%eax\n"
                     "int $0x80\n"
                     "mov %[exit], %%eax\n"
                     "mov $127, %%ebx\n"
                     "int $0x80\n"
                     "1:\n"
                     : "+a"(child)
                     : "b"(path), "c"(argv), "d"(envp), [execve] "i"(I386_execve), [exit] "i"(I386_exit)
                     : "r8", "r9", "r10", "r11", "memory");
    return ended((int)child);
}
