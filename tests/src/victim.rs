//! Compiles victims, each once for its content, and reads the directives in their first comment.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::artefacts::{root, target};

/// The C library that a victim is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Libc {
    /// The machine's own, with `gcc`; or another machine's or release's, with the compiler that
    /// `GLASSBOX_TESTS_CC` names.
    Glibc,
    /// The machine's own, called through the GOT alone, as Rust programs and many distributions' programs
    /// call it.
    GlibcWithoutPlt,
    /// The machine's own, linked statically: no hook can be in it.
    GlibcStatic,
    /// musl, with `musl-gcc` of the package musl-tools, or with the compiler that `GLASSBOX_TESTS_MUSL_CC`
    /// names.
    Musl,
}

const GLIBC_CC: &str = "GLASSBOX_TESTS_CC";
const MUSL_CC: &str = "GLASSBOX_TESTS_MUSL_CC";

impl Libc {
    /// The compiler, and its flags for this libc.
    fn compiler(self) -> (PathBuf, &'static [&'static str]) {
        let (variable, usual, flags): (_, _, &[&str]) = match self {
            Libc::Glibc => (GLIBC_CC, "gcc", &[]),
            Libc::GlibcWithoutPlt => (GLIBC_CC, "gcc", &["-fno-plt", "-Wl,-z,now"]),
            Libc::GlibcStatic => (GLIBC_CC, "gcc", &["-static"]),
            // The kernel's headers are not in musl's folder, and libgcc's unwinder needs glibc (musl cancels
            // without it).
            Libc::Musl => (
                MUSL_CC,
                "musl-gcc",
                &[
                    "-idirafter",
                    "/usr/include",
                    "-idirafter",
                    "/usr/include/x86_64-linux-gnu",
                    "-fno-exceptions",
                ],
            ),
        };
        match (self, std::env::var_os(variable)) {
            (Libc::Musl, Some(named)) => (named.into(), &[]),
            (_, named) => (named.unwrap_or_else(|| usual.into()).into(), flags),
        }
    }
}

/// The victims that are also tried on musl. The C library's own work differs there (fopen makes its own
/// system call, cancellation does not unwind, constructors get no arguments), but the claims do not.
/// `symbol_probe` is left out: the sensor, one file for every libc, exports names that musl lacks, and a
/// probe by dlsym finds them.
pub const ON_MUSL: &[&str] = &[
    "bad_pointers",
    "cancel",
    "close_family",
    "closefrom",
    "counters",
    "directories",
    "environment_reader",
    "errno_kept",
    "exec_failures",
    "exec_family",
    "execl_12",
    "fork_variants",
    "open_family",
    "seccomp_filter",
    "seccomp_strict",
    "signal_open",
    "sockets",
    "stack_16k",
    "sudden_end",
    "threads_open",
    "undescribed",
    "vfork_exit",
];

/// The calls with which the victim `exec_family` starts a program.
pub const EXEC_CALLS: &[&str] = &[
    "execve",
    "execv",
    "execvp",
    "execvpe",
    "execl",
    "execle",
    "execlp",
    "fexecve",
    "execveat",
    "posix_spawn",
    "posix_spawnp",
    "system",
    "popen",
    "syscall_execve",
    "syscall_execveat",
];

/// A compiled victim and the directives in its first comment.
#[derive(Clone, Debug)]
pub struct Victim {
    /// The file's name without `.c`.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// The arguments of the runs that must go unnoticed (`run:`).
    pub runs: Vec<Vec<String>>,
    /// The prefixes of names of files that differ between two bare runs (`differs:`).
    pub differs: Vec<String>,
}

/// The folder of the victims' sources.
pub fn programs() -> PathBuf {
    root().join("tests/programs")
}

/// The names of all victims: every source that has a `main` or is linked as a program.
pub fn names() -> Vec<String> {
    let libraries: Vec<String> = sources()
        .iter()
        .flat_map(|source| header(source).libraries)
        .map(|library| library.source.trim_end_matches(".c").to_owned())
        .collect();
    let mut names: Vec<String> = sources()
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| !libraries.contains(name))
        .collect();
    names.sort();
    names
}

/// The directives in the first comment of the victim `name`, without compiling it: the runs that must go
/// unnoticed, and the prefixes of names of files that differ.
pub fn directives(name: &str) -> (Vec<Vec<String>>, Vec<String>) {
    let header = header(&programs().join(format!("{name}.c")));
    (header.runs, header.differs)
}

fn sources() -> Vec<PathBuf> {
    let entries = fs::read_dir(programs()).expect("tests/programs is a folder");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|e| e == "c")).collect()
}

/// Compiles the victim `name` with gcc, unless it is compiled already.
///
/// # Panics
/// If there is no such victim, no compiler, or the compiler refuses it.
pub fn victim(name: &str) -> Victim {
    compiled(name, Libc::Glibc)
}

/// Compiles the victim `name` for `libc`, unless it is compiled already.
///
/// # Panics
/// As [`victim`].
pub fn compiled(name: &str, libc: Libc) -> Victim {
    // Two tests that need the same victim must not write it at the same time.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let source = programs().join(format!("{name}.c"));
    let header = header(&source);
    let dir = target().join("victims").join(format!("{name}-{:016x}", fingerprint(&source, &header, libc)));
    let path = dir.join(name);
    if !path.exists() {
        fs::create_dir_all(&dir).expect("target/victims can be made");
        for library in &header.libraries {
            let output = dir.join(&library.path);
            fs::create_dir_all(output.parent().unwrap_or(&dir)).expect("a library's folder can be made");
            let flags = ["-shared", "-fPIC"].map(str::to_owned).into_iter().chain(library.flags.clone());
            compile(libc, &programs().join(&library.source), &output, flags, &dir);
        }
        compile(libc, &source, &path, header.build.iter().cloned(), &dir);
    }
    drop(guard);
    Victim { name: name.to_owned(), path, runs: header.runs, differs: header.differs }
}

/// An empty library to preload: a difference under it is not the sensor's doing.
pub fn empty_library() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            // One for each compiler: a library for another machine cannot be preloaded.
            let mut compiler = DefaultHasher::new();
            Libc::Glibc.compiler().hash(&mut compiler);
            let dir = target().join(format!("victims/empty-{:016x}", compiler.finish()));
            fs::create_dir_all(&dir).expect("target/victims can be made");
            let (source, output) =
                (dir.join("empty.c"), dir.join(format!("libempty-{}.so", std::process::id())));
            fs::write(&source, "/* nothing */\n").expect("target/victims can be written");
            // No libc either, so that it can be loaded into musl programs too.
            let flags = ["-shared", "-fPIC", "-nostdlib"].map(str::to_owned);
            compile(Libc::Glibc, &source, &output, flags.into_iter(), &dir);
            let named = dir.join("libempty.so");
            fs::rename(&output, &named).expect("target/victims can be written");
            named
        })
        .clone()
}

fn compile(libc: Libc, source: &Path, output: &Path, flags: impl Iterator<Item = String>, dir: &Path) {
    let (compiler, libc_flags) = libc.compiler();
    // Written beside and renamed: a test in another process finds either no file or a whole one.
    let unfinished = output.with_extension(format!("{}.new", std::process::id()));
    let flags = flags.map(|flag| flag.replace("$OUT", &dir.display().to_string()));
    let mut command = Command::new(&compiler);
    command.args(["-g", "-O1", "-w", "-o"]).arg(&unfinished).arg(source).args(flags).args(libc_flags);
    let made = match command.output() {
        Ok(made) => made,
        Err(error) => {
            panic!("cannot run {}: {error}; tests/packages.txt names its package", compiler.display())
        }
    };
    assert!(made.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&made.stderr));
    fs::rename(&unfinished, output).expect("target/victims can be written");
}

fn fingerprint(source: &Path, header: &Header, libc: Libc) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut files = vec![source.to_path_buf(), programs().join("victim.h")];
    files.extend(header.libraries.iter().map(|library| programs().join(&library.source)));
    for file in files {
        fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())).hash(&mut hasher);
    }
    libc.compiler().hash(&mut hasher);
    hasher.finish()
}

#[derive(Default)]
struct Header {
    libraries: Vec<Library>,
    build: Vec<String>,
    runs: Vec<Vec<String>>,
    differs: Vec<String>,
}

struct Library {
    path: String,
    source: String,
    flags: Vec<String>,
}

fn header(source: &Path) -> Header {
    let text = fs::read_to_string(source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    parse_header(&text)
}

/// Reads the directives of the first comment; victim.h documents them.
fn parse_header(text: &str) -> Header {
    let mut header = Header::default();
    let words = |text: &str| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<String>>();
    for line in text.split("*/").next().unwrap_or_default().lines() {
        let Some((directive, rest)) = line.trim_start_matches([' ', '*']).split_once(": ") else { continue };
        match directive {
            "build" => header.build.extend(words(rest)),
            "differs" => header.differs.extend(words(rest)),
            "library" => {
                let mut parts = words(rest).into_iter();
                if let (Some(path), Some(source)) = (parts.next(), parts.next()) {
                    header.libraries.push(Library { path, source, flags: parts.collect() });
                }
            }
            "run" => header.runs.extend(rest.split('|').map(|run| match run.trim() {
                "(no arguments)" => Vec::new(),
                arguments => words(arguments),
            })),
            _ => {}
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_of_the_first_comment_are_read() {
        let text = "/* x: y\n * build: -pthread -lm\n * library: sub/l.so l.c -g\n * run: (no arguments) | a 1\n * run: b\n \
                    * differs: one. two\n */\n/* run: not this */\n";

        let header = parse_header(text);

        assert_eq!(vec!["-pthread", "-lm"], header.build);
        assert_eq!(vec![vec![], vec!["a".to_owned(), "1".to_owned()], vec!["b".to_owned()]], header.runs);
        assert_eq!(vec!["one.", "two"], header.differs);
        assert_eq!(
            ("sub/l.so", "l.c"),
            (header.libraries[0].path.as_str(), header.libraries[0].source.as_str())
        );
    }

    #[test]
    fn every_victim_says_in_its_first_comment_what_it_is() {
        for source in sources() {
            let text = fs::read_to_string(&source).unwrap();
            let name = source.file_stem().unwrap().to_str().unwrap().to_owned();

            assert!(
                text.starts_with(&format!("/* {name}: ")),
                "{} does not begin with its name",
                source.display()
            );
        }
    }
}
