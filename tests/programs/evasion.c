/* evasion: a hooked program gets past its hooks, or takes them away, in the way that its argument says; `like_…` are
 * ways that look like it and are none.
 * Trap: each is evidence for `sensor.evasion`, once; none of the latter may be.
 * Each mode that changes something stays until the file `stop` is there (or its time is up), making no call of libc
 * but those that its hooks see.
 * library: libevasion_exec.so evasion_exec.c
 * library: libevasion_hooks.so evasion_hooks.c
 * build: -Wl,-z,lazy -ldl
 */
#include "victim.h"
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

static long raw(long number, long a, long b, long c, long d, long e, long f) {
#ifdef __x86_64__
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#else
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#endif
}

/* Until `stop` is there, at most 40 s, by calls of its own that no level asks about. */
static void stay(void) {
    for (int i = 0; i < 800; i++) {
        struct timespec pause = {0, 50 * 1000 * 1000};
        if (raw(SYS_faccessat, AT_FDCWD, (long)"stop", F_OK, 0, 0, 0) == 0) return;
        raw(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
    }
}

/* The looks take their first picture of the program as it began. */
static void be_looked_at(void) {
    struct timespec pause = {2, 0};
    nanosleep(&pause, NULL);
}

/* A page of code that calls: `function` by its address, or where there is none the system call unlinkat. */
static long (*code(long (*function)(const char *)))(long, long, long) {
    static const unsigned char own[] = {
#ifdef __x86_64__
        0xb8, 0x07, 0x01, 0x00, 0x00, 0x0f, 0x05, 0xc3, /* mov $263,%eax; syscall; ret */
#else
        0x68, 0x04, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, 0xc0, 0x03, 0x5f, 0xd6, /* mov x8,#35; svc 0; ret */
#endif
    };
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(page != MAP_FAILED);
    if (function) {
#ifdef __x86_64__
        memcpy(page, "\x48\xb8", 2); /* movabs $function,%rax; jmp *%rax */
        memcpy(page + 2, &function, 8);
        memcpy(page + 10, "\xff\xe0", 2);
#else
        memcpy(page, "\x50\x00\x00\x58\x00\x02\x1f\xd6", 8); /* ldr x16,#8; br x16 */
        memcpy(page + 8, &function, 8);
#endif
    } else {
        memcpy(page, own, sizeof own);
    }
    __builtin___clear_cache(page, page + 4096);
    MUST(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0);
    return (long (*)(long, long, long))page;
}

/* The first mapping whose line has both texts. */
static int mapping(const char *one, const char *other, unsigned long *from, unsigned long *to) {
    char line[512];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    MUST(maps);
    while (!found && fgets(line, sizeof line, maps))
        found = strstr(line, one) && strstr(line, other) && sscanf(line, "%lx-%lx", from, to) == 2;
    fclose(maps);
    return found;
}

/* Where libc itself has a function: dlsym would give the hook. */
static void *of_libc(const char *name) {
    unsigned long from, to;
    MUST(mapping("/libc.so.6", "r--p 00000000", &from, &to) || mapping("/libc.so.6", "00000000", &from, &to));
    struct link_map *map = NULL;
    void *handle = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    MUST(handle && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0);
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB) symbols = (void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_STRTAB) strings = (void *)entry->d_un.d_ptr;
    }
    MUST(symbols && strings);
    for (const ElfW(Sym) *symbol = symbols; (const char *)symbol < strings; symbol++)
        if (symbol->st_value && strcmp(strings + symbol->st_name, name) == 0) return (void *)(map->l_addr + symbol->st_value);
    MUST(0);
    return NULL;
}

/* The program's own slot of a function. */
static void **slot(const char *name) {
    struct link_map *map = NULL;
    MUST(dlinfo(dlopen(NULL, RTLD_NOW | RTLD_NOLOAD), RTLD_DI_LINKMAP, &map) == 0);
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    const ElfW(Rela) *relocations = NULL;
    size_t len = 0;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB) symbols = (void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_STRTAB) strings = (void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_JMPREL) relocations = (void *)entry->d_un.d_ptr;
        if (entry->d_tag == DT_PLTRELSZ) len = entry->d_un.d_val / sizeof *relocations;
    }
    MUST(symbols && strings && relocations);
    for (size_t i = 0; i < len; i++)
        if (strcmp(strings + symbols[ELF64_R_SYM(relocations[i].r_info)].st_name, name) == 0)
            return (void **)(map->l_addr + relocations[i].r_offset);
    MUST(0);
    return NULL;
}

/* A hook of the program's own, which goes on to what was there. */
static int (*before)(const char *);
static int counted;
static int counting(const char *path) {
    counted++;
    return before(path);
}

/* The way to the hook of a function, made to lead to libc. */
static void patch(void *hook, void *target) {
    char *page = (char *)((unsigned long)hook & ~4095ul);
    MUST(raw(SYS_mprotect, (long)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, 0, 0, 0) == 0);
#ifdef __x86_64__
    memcpy(hook, "\x48\xb8", 2);
    memcpy((char *)hook + 2, &target, 8);
    memcpy((char *)hook + 10, "\xff\xe0", 2);
#else
    memcpy(hook, "\x50\x00\x00\x58\x00\x02\x1f\xd6", 8);
    memcpy((char *)hook + 8, &target, 8);
#endif
    __builtin___clear_cache(hook, (char *)hook + 16);
    MUST(raw(SYS_mprotect, (long)page, 8192, PROT_READ | PROT_EXEC, 0, 0, 0) == 0);
}

int main(int argc, char **argv) {
    MUST(argc > 1);
    const char *mode = argv[1];
    unsigned long from = 0, to = 0;
    if (strcmp(mode, "raw") == 0) {
        for (int i = 0; i < atoi(argv[2]); i++) raw(SYS_unlinkat, AT_FDCWD, (long)"nothing", 0, 0, 0, 0);
    } else if (strcmp(mode, "anonymous") == 0) {
        code(NULL)(AT_FDCWD, (long)"nothing", 0);
    } else if (strcmp(mode, "raw_exec") == 0) {
        be_looked_at();
        char *none[] = {NULL}, *own[] = {"sleep", argv[2], NULL};
        raw(SYS_execve, (long)"/bin/sleep", (long)own, (long)none, 0, 0, 0);
        return 1;
    } else if (strcmp(mode, "text") == 0) {
        be_looked_at();
        patch(dlsym(RTLD_DEFAULT, "unlink"), of_libc("unlink"));
        unlink("nothing");
        stay();
    } else if (strcmp(mode, "writable") == 0) {
        be_looked_at();
        MUST(mapping("r-xp 00000000", "/libglassbox.so", &from, &to));
        raw(SYS_mprotect, from, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, 0, 0, 0);
        stay();
    } else if (strcmp(mode, "unmap") == 0) {
        be_looked_at();
        MUST(mapping("r-xp 00000000", "/libglassbox.so", &from, &to));
        raw(SYS_munmap, from, to - from, 0, 0, 0, 0);
        stay();
        raw(SYS_exit_group, 0, 0, 0, 0, 0, 0);
    } else if (strcmp(mode, "ring") == 0) {
        be_looked_at();
        MUST(mapping("rw-s 00000000", "memfd:glassbox", &from, &to));
        raw(SYS_mmap, from, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        stay();
        raw(SYS_exit_group, 0, 0, 0, 0, 0, 0);
    } else if (strcmp(mode, "slot") == 0) {
        *slot("rmdir") = of_libc("rmdir");
        rmdir("nothing");
        stay();
    } else if (strcmp(mode, "like_slot") == 0) {
        /* A hook of its own in the slot, after lazy binding has filled it. */
        rmdir("nothing");
        before = (int (*)(const char *))*slot("rmdir");
        *slot("rmdir") = (void *)counting;
        rmdir("nothing");
        MUST(counted == 1);
        stay();
        *slot("rmdir") = (void *)before;
    } else if (strcmp(mode, "like_lazy") == 0) {
        /* Slots that are bound late, one after the other. */
        be_looked_at();
        unlink("nothing");
        be_looked_at();
        rmdir("nothing");
        be_looked_at();
        mkdir(".", 0700);
    } else if (strcmp(mode, "like_jit") == 0) {
        /* Code made at run time that calls libc. */
        long (*made)(long, long, long) = code((long (*)(const char *))(void *)unlink);
        for (int i = 0; i < 5; i++) made((long)"nothing", 0, 0);
        stay();
    } else if (strcmp(mode, "like_closed") == 0) {
        /* A library that comes and goes, whose slots are written anew each time. */
        for (int i = 0; i < 40; i++) {
            void *library = dlopen("libresolv.so.2", RTLD_LAZY);
            MUST(library);
            struct timespec pause = {0, 50 * 1000 * 1000};
            nanosleep(&pause, NULL);
            MUST(dlclose(library) == 0);
        }
    } else if (strcmp(mode, "like_debugged") == 0) {
        /* A debugger's breakpoint in a hook. */
        be_looked_at();
        void *hook = dlsym(RTLD_DEFAULT, "rmdir");
        pid_t child = fork();
        if (child == 0) {
            pid_t traced = getppid();
            MUST(ptrace(PTRACE_ATTACH, traced, NULL, NULL) == 0 && waitpid(traced, NULL, __WALL) == traced);
            long word = ptrace(PTRACE_PEEKTEXT, traced, hook, NULL);
#ifdef __x86_64__
            MUST(ptrace(PTRACE_POKETEXT, traced, hook, (word & ~0xffl) | 0xcc) == 0);
#else
            MUST(ptrace(PTRACE_POKETEXT, traced, hook, (word & ~0xffffffffl) | 0xd4200000l) == 0);
#endif
            MUST(ptrace(PTRACE_DETACH, traced, NULL, NULL) == 0);
            _exit(0);
        }
        MUST(waitpid(child, NULL, 0) == child);
        stay();
    } else if (strcmp(mode, "exec") == 0) {
        /* An ordinary exec; whether the sensor arrives is another's doing. */
        execv("/bin/sleep", (char *[]){"sleep", argv[2], NULL});
        return 1;
    } else {
        return 2;
    }
    say("done\n");
    return 0;
}
