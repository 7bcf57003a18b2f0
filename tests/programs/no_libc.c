/* no_libc: a dynamic program with an interpreter and no libc (the AWS VPC CNI's Go PIE is of this kind).
 * Trap: any undefined symbol in the preloaded file kills it (otel-injector#166, gh-aw-firewall#2535, rr#2499).
 * build: -nostdlib -nostartfiles -ffreestanding -fno-stack-protector -pie -fPIE -Wl,-dynamic-linker,/lib64/ld-linux-x86-64.so.2 -O1
 * run: (no arguments)
 */
static long call(long number, long a, long b, long c) {
    long result;
#if defined(__x86_64__)
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#else
#error "no_libc knows x86_64 only"
#endif
    return result;
}

int written = 1; /* data, so that there is something to relocate */
int *indirect = &written;

__attribute__((force_align_arg_pointer)) void _start(void) {
    static const char text[] = "no libc here\n";
    call(*indirect, 1, (long)text, sizeof text - 1);
    long fd = call(2, (long)"by-no-libc", 0101, 0600);
    call(3, fd, 0, 0);
    call(231, fd == 3 ? 17 : 1, 0, 0);
    for (;;) {}
}
