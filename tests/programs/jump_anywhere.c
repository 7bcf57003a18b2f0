/* jump_anywhere: a handler jumps away from an open and a close at a chosen instruction, and soon after at
 * another one.
 * Trap: a record that is left in the middle holds the reader up unless its own thread gives it up; that may
 * be left in the middle, too, and so may the record that was begun meanwhile. No timer meets the few
 * instructions that matter twice in a row: the processor is made to stop after each (x86_64's trap flag), and
 * the handler counts.
 * Usage: jump_anywhere PAIRS
 */
#include "victim.h"
#include <setjmp.h>

static sigjmp_buf back;
static volatile long left;

static void on_trap(int number) {
    (void)number;
    if (--left == 0) siglongjmp(back, 1);
}

#ifdef __x86_64__
/* The kernel runs a handler without the flag; one that jumps leaves it off. The 128 bytes may be the function's own. */
#define TRAP(what)                                                                                                     \
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"                                                                      \
                     "pushfq\n\t" what " $0x100, (%%rsp)\n\tpopfq\n\t"                                                 \
                     "lea 128(%%rsp), %%rsp" ::                                                                        \
                         : "memory", "cc")
#else
/* Elsewhere no program may set one. */
#define TRAP(what) MUST(!what)
#endif

static void open_and_close(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    if (fd >= 0) close(fd);
}

/* Lets it come as far as so many instructions; gives how many were left. */
static long step(long instructions) {
    left = instructions;
    if (!sigsetjmp(back, 1)) {
        TRAP("orq");
        open_and_close("left");
        TRAP("xorq");
    }
    return left;
}

static unsigned long next(unsigned long *state) {
    return (*state = *state * 6364136223846793005ul + 1442695040888963407ul) >> 33;
}

int main(int argc, char **argv) {
    MUST(argc == 2);
    long pairs = atol(argv[1]);
    struct sigaction action = {.sa_handler = on_trap};
    MUST(sigaction(SIGTRAP, &action, NULL) == 0);
    /* Once for the loader, which looks the functions up. */
    open_and_close("left");
    long all = 1l << 40, instructions = all - step(all);
    unsigned long state = 1;
    for (long i = 0; i < pairs; i++) {
        for (int twice = 0; twice < 2; twice++) step(1 + (long)(next(&state) % (unsigned long)instructions));
        /* What a reader that is held up has no room for. */
        for (int n = 0; n < 50; n++) open_and_close("whole");
        for (int fd = 3; fd < 16; fd++) close(fd);
    }
    SHOW(touch("after-the-jumps"));
    say("stepped %d\n", instructions > 100);
    return 0;
}
