/* symbol_probe: a program that asks which functions its libc has.
 * Trap: a preload library that exports a name this libc lacks makes the probe succeed (seen here), and the
 * call then fails in a way that the program did not expect.
 * build: -ldl
 * run: (no arguments)
 */
#include "victim.h"
#include <dlfcn.h>

int main(void) {
    const char *names[] = {
        "open", "open64", "openat2", "creat", "closefrom", "close_range", "execveat", "execvpe", "fexecve", "_Fork",
        "posix_spawn", "pidfd_spawn", "pidfd_spawnp", "posix_spawn_file_actions_addclosefrom_np", "memfd_create",
        "memfd_secret", "shm_open", "clone3", "fopen64", "freopen64", "mkostemps64", "__open_2", "__open64_2", "__openat_2",
        "__read_chk", "__recv_chk", "__fdelt_chk", "preadv2", "pwritev64v2", "sendmmsg", "recvmmsg", "getaddrinfo_a",
        "gethostbyname_r", "gethostbyname2_r", "gethostbyaddr_r", "dlmopen", "dlvsym", "dlinfo", "quick_exit",
        "arc4random", "strlcpy", "fchmodat2", "epoll_pwait2", "glassbox_init", "rust_eh_personality", "rust_begin_unwind",
        "memcpy", "memset", "memcmp", "bcmp", "strlen", "main", "_init", "__rust_alloc", "vfork", "__vfork", "__libc_fork",
        "__fork", "__close", "__open", "__read", "__libc_open", "__libc_read", "__sendto", "__connect", "_IO_fopen",
        "_IO_fclose", "_IO_popen", "res_query", "__res_query", "res_nsearch", "system", "__libc_system", "statx"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        say("%s %s\n", names[i], dlsym(RTLD_DEFAULT, names[i]) ? "is there" : "is not there");
    return 0;
}
