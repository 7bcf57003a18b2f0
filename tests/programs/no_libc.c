/* no_libc: a dynamic program with an interpreter and no libc (the AWS VPC CNI's Go PIE is of this kind).
 * Trap: any undefined symbol in the preloaded file kills it (otel-injector#166, gh-aw-firewall#2535,
 * rr#2499).
 * build: -nostdlib -nostartfiles -ffreestanding -fno-stack-protector -pie -fPIE -Wl,-dynamic-linker,/lib64/ld-linux-x86-64.so.2 -O1
 * run: (no arguments)
 */
static long call(long number, long a, long b, long c) {
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c, x8 __asm__("x8") = number;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x8) : "memory");
    return x0;
#else
#error "no_libc knows x86_64 and aarch64"
#endif
}

#if defined(__x86_64__)
enum { WRITE = 1, CLOSE = 3, EXIT_GROUP = 231 };
#define OPEN(path, flags, mode) call(2, (long)(path), flags, mode)
#else
enum { WRITE = 64, CLOSE = 57, EXIT_GROUP = 94, AT_FDCWD = -100 };
/* openat has a fourth argument, the mode, which then is whatever x3 holds. */
#define OPEN(path, flags, mode) call(56, AT_FDCWD, (long)(path), flags)
#endif

int written = WRITE; /* data, so that there is something to relocate */
int *indirect = &written;

#if defined(__x86_64__)
__attribute__((force_align_arg_pointer))
#endif
void _start(void) {
    static const char text[] = "no libc here\n";
    call(*indirect, 1, (long)text, sizeof text - 1);
    long fd = OPEN("by-no-libc", 0101, 0600);
    call(CLOSE, fd, 0, 0);
    call(EXIT_GROUP, fd == 3 ? 17 : 1, 0, 0);
    for (;;) {}
}
