/* A loader of 32-bit programs, in the place of one that the machine may not have. It says
 * what it is asked to preload, as ld.so complains of a library that it cannot load, and ends.
 * Trap: a 32-bit program's stderr has a line of its loader that it does not have without the sensor.
 */
static long call(long number, long a, long b, long c) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static void say(int fd, const char *text) {
    long length = 0;
    while (text[length]) length++;
    call(4, fd, (long)text, length);
}

__attribute__((used)) static void begin(long *stack) {
    for (char **variable = (char **)(stack + stack[0] + 2); *variable; variable++) {
        const char *name = "LD_PRELOAD=", *text = *variable;
        while (*name && *name == *text) name++, text++;
        if (!*name) say(2, text);
    }
    say(1, "here\n");
    call(1, 0, 0, 0);
}

__asm__(".globl _start\n_start: mov %esp, %eax\n push %eax\n call begin\n");
