//! Other libraries that are preloaded, before the sensor and after it, and sanitizers that insist on being
//! first.

use super::Case;

/// A library's name, its file, its package.
const LIBRARIES: &[(&str, &str, &str)] = &[
    ("jemalloc", "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2", "libjemalloc2"),
    ("tcmalloc", "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
    ("faketime", "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "libfaketime"),
    ("eatmydata", "/usr/lib/x86_64-linux-gnu/libeatmydata.so", "libeatmydata1"),
    ("libc_malloc_debug", "/usr/lib/x86_64-linux-gnu/libc_malloc_debug.so.0", "libc6"),
    ("fakeroot", "/usr/lib/x86_64-linux-gnu/libfakeroot/libfakeroot-sysv.so", "libfakeroot"),
    ("stdbuf", "/usr/libexec/coreutils/libstdbuf.so", "coreutils"),
];

/// The scripts that the libraries are tried on: forks, threads, files, sockets.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "bash",
        r#"bash -c 'seq 1 500 | sort -n | tail -1; cat <<<here; (exit 3); echo $?; date -d @0 +%F; touch x; stat -c %U:%a x'"#,
    ),
    (
        "python3",
        r#"/usr/bin/python3 -c 'import threading, subprocess, socket, os
t = [threading.Thread(target=lambda: [open("/proc/self/stat").read() for _ in range(50)]) for _ in range(4)]
[x.start() for x in t]; [x.join() for x in t]; a, b = socket.socketpair(); a.send(b"x"); print(b.recv(1), subprocess.run(["echo", "sub"], capture_output=True))
open("f", "w").write("y"); f = open("f"); os.fsync(f.fileno()); print(f.read())'"#,
    ),
];

/// The cases of this group.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, file, package) in LIBRARIES {
        for (program, script) in PROGRAMS {
            for (place, list) in [
                ("before", format!("{file}${{LD_PRELOAD:+:$LD_PRELOAD}}")),
                ("after", format!("${{LD_PRELOAD:+$LD_PRELOAD:}}{file}")),
            ] {
                let mut case = Case::new(
                    "coexistence",
                    format!("{name} {place}, {program}"),
                    format!("LD_PRELOAD=\"{list}\" exec {script}"),
                );
                case.needs = vec![(file, package)];
                cases.push(case);
            }
        }
    }
    for (name, needs, prepare, run) in ALONE {
        let mut case = Case::new("coexistence", *name, *run);
        case.needs = needs.to_vec();
        case.prepare = (*prepare).to_owned();
        cases.push(case);
    }
    cases
}

/// Opens, forks, makes a thread, connects a socket pair, and exits 3.
const SMALL: &str = r#"cat >p.c <<'C'
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
static void *work(void *argument) { int fd = open("made", O_CREAT | O_RDWR, 0600); close(fd); return argument; }
int main(int argc, char **argv) {
    pthread_t thread; int pair[2], status; char byte;
    pthread_create(&thread, NULL, work, NULL); pthread_join(thread, NULL);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair); write(pair[0], "x", 1); read(pair[1], &byte, 1);
    if (fork() == 0) _exit(7);
    wait(&status); printf("%c %d\n", byte, WEXITSTATUS(status)); fflush(stdout);
    FILE *f = popen("echo sub", "r"); char line[9]; fgets(line, 9, f); printf("%s%d\n", line, pclose(f)); fflush(stdout);
    char *heap = malloc(4); if (argc > 1) heap[argc + 3] = 1; free(heap);
    return 3;
}
C
"#;

type Alone = (&'static str, &'static [(&'static str, &'static str)], &'static str, &'static str);

const GCC: &[(&str, &str)] = &[("gcc", "gcc")];

/// Name, needs, script that prepares, script.
const ALONE: &[Alone] = &[
    ("asan", GCC, SMALL, "gcc -w -g -fsanitize=address -o p p.c || exit 99; exec ./p"),
    (
        "asan finds",
        GCC,
        SMALL,
        "gcc -w -g -fsanitize=address -o p p.c || exit 99; ./p x 2>&1 | grep -o 'heap-buffer-overflow on address' | head -1",
    ),
    ("asan static", GCC, SMALL, "gcc -w -g -fsanitize=address -static-libasan -o p p.c || exit 99; exec ./p"),
    ("ubsan", GCC, SMALL, "gcc -w -g -fsanitize=undefined -o p p.c || exit 99; exec ./p"),
    ("tsan", GCC, SMALL, "gcc -w -g -fsanitize=thread -o p p.c || exit 99; exec setarch -R ./p"),
    ("lsan", GCC, SMALL, "gcc -w -g -fsanitize=leak -o p p.c || exit 99; exec ./p"),
    ("gprof", GCC, SMALL, "gcc -w -pg -o p p.c || exit 99; ./p; echo $?; ls gmon.out"),
    ("gcov", GCC, SMALL, "gcc -w --coverage -o p p.c || exit 99; ./p; echo $?; ls"),
    (
        "valgrind",
        &[("valgrind", "valgrind"), ("gcc", "gcc")],
        SMALL,
        "gcc -w -g -o p p.c || exit 99; valgrind -q --error-exitcode=9 ./p 2>&1; echo $?",
    ),
    (
        "faketime",
        &[("faketime", "faketime")],
        "",
        "faketime '2001-02-03 04:05:06' date +%F; faketime -f '@2010-01-01 00:00:00' /usr/bin/python3 -c 'import time; print(time.gmtime().tm_year)'",
    ),
    (
        "eatmydata",
        &[("eatmydata", "eatmydata")],
        "",
        "eatmydata sh -c 'echo x >f; sync f; dd if=f of=g conv=fsync 2>/dev/null; cmp f g; echo $?'",
    ),
    (
        "fakeroot",
        &[("fakeroot", "fakeroot")],
        "",
        "fakeroot sh -c 'touch x; chown 12:34 x; stat -c %u:%g x; tar cf - x | tar tv | cut -c1-20; id -u'",
    ),
    (
        "catchsegv-like",
        GCC,
        "echo '#include <signal.h>\n#include <unistd.h>\nstatic void h(int s) { write(2, \"caught\\\\n\", 7); _exit(5); }\n__attribute__((constructor)) static void c(void) { signal(SIGSEGV, h); }' >s.c; gcc -shared -fPIC -o s.so s.c; echo 'int main(void) { return *(volatile int *)0; }' >p.c; gcc -o p p.c",
        "LD_PRELOAD=\"$PWD/s.so${LD_PRELOAD:+:$LD_PRELOAD}\" ./p; echo $?; LD_PRELOAD=\"${LD_PRELOAD:+$LD_PRELOAD:}$PWD/s.so\" ./p; echo $?",
    ),
    (
        "interposes the same",
        GCC,
        "printf '#define _GNU_SOURCE\\n#include <dlfcn.h>\\n#include <fcntl.h>\\n#include <stdarg.h>\\n#include <stdio.h>\\n#include <unistd.h>\\n#include <sys/socket.h>\\nstatic int opens, closes, reads;\\nint open(const char *p, int f, ...) { va_list a; va_start(a, f); int m = va_arg(a, int); opens++; return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, \"open\"))(p, f, m); }\\nint close(int fd) { closes++; return ((int (*)(int))dlsym(RTLD_NEXT, \"close\"))(fd); }\\nssize_t read(int fd, void *b, size_t n) { reads++; return ((ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, \"read\"))(fd, b, n); }\\n__attribute__((destructor)) static void end(void) { dprintf(2, \"%%d %%d %%d\\\\n\", opens > 0, closes > 0, reads > 0); }\\n' >i.c; gcc -w -shared -fPIC -o i.so i.c",
        "for list in \"$PWD/i.so${LD_PRELOAD:+:$LD_PRELOAD}\" \"${LD_PRELOAD:+$LD_PRELOAD:}$PWD/i.so\"; do LD_PRELOAD=$list cat i.c | wc -l; LD_PRELOAD=$list /usr/bin/python3 -c 'open(\"i.c\").read(); print(1)'; LD_PRELOAD=$list bash -c 'read line <i.c; echo $line'; done",
    ),
];
