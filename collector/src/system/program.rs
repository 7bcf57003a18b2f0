//! How far the sensor will see a program, judged from its file: for `glassbox doctor`, and for the reason of
//! `sensor.blind`.
//!
//! Only headers are read, so the size of the file does not matter; any file may be given.

use std::cell::Cell;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::bounded::Bounded;
use super::files::{self, On};
use super::places::find_inside;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};
use object::{Endianness, FileKind};
use rustix::fs::{Mode, OFlags};

/// The most interpreters of interpreters that the kernel follows (execve(2)).
const MOST_INTERPRETERS: usize = 5;

/// How far a program is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coverage {
    /// Everything that it does through libc is seen.
    Hooked,
    /// Its run is seen, and a part of its calls.
    Partial,
    /// The file does not tell.
    Unknown,
    /// Only its start and end are seen, if its parent is seen.
    Blind,
}

impl Coverage {
    /// The name in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hooked => "hooked",
            Self::Partial => "partial",
            Self::Unknown => "unknown",
            Self::Blind => "blind",
        }
    }
}

/// Why a program is seen as far as it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Reason {
    /// The name, which is the `reason` of `sensor.blind`; empty if nothing stands in the way.
    pub name: &'static str,
    /// How far the program is seen for this reason.
    pub coverage: Coverage,
    /// The explanation.
    pub why: &'static str,
    /// The remedy.
    pub fix: &'static str,
    /// Whether a process that sent nothing can have been silent for this reason.
    pub explains_silence: bool,
}

/// Declares the reasons.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $id:ident = $name:literal $coverage:ident $silence:literal: $why:literal; $fix:literal;)*) => {
        $($(#[doc = $doc])+ pub static $id: Reason = Reason {
            name: $name, coverage: Coverage::$coverage, why: $why, fix: $fix, explains_silence: $silence,
        };)*

        /// All of them.
        pub static REASONS: &[&Reason] = &[$(&$id),*];

        /// The reason of this name; of several, the first.
        pub fn reason(name: &str) -> Option<&'static Reason> {
            REASONS.iter().copied().find(|reason| reason.name == name)
        }

        /// The name of a reason, as one that lives for ever.
        pub fn reason_named(name: &str) -> Option<&'static str> {
            [$($name),*].into_iter().find(|known| *known == name)
        }
    };
}

reasons! {
    /// Nothing stands in the way.
    HOOKED = "" Hooked false: ""; "";
    /// No loader runs in its processes.
    STATIC = "static" Blind true: "linked statically: no loader runs that would load the sensor"; "link it dynamically (Go: CGO_ENABLED=1 and -linkmode=external; Rust: a target without crt-static); the programs that it starts are hooked again";
    /// A program that changes its user.
    SETUID = "setuid" Blind true: "set-uid or set-gid: the loader ignores LD_PRELOAD where an exec raises privileges"; "name the sensor in /etc/ld.so.preload (glibc), or run it as the user that it changes to";
    /// A program with file capabilities.
    CAPABILITIES = "capabilities" Blind true: "file capabilities: the loader ignores LD_PRELOAD where an exec raises privileges"; "name the sensor in /etc/ld.so.preload (glibc), or give the capabilities to the process (ambient) instead of the file";
    /// A process whose exec raised privileges in another way (a security module, a changed user).
    SECURE = "secure" Blind true: "started with AT_SECURE: the loader ignored LD_PRELOAD"; "name the sensor in /etc/ld.so.preload (glibc)";
    /// A program for another machine.
    FOREIGN_ABI = "foreign_abi" Blind true: "for another machine or word size than this sensor"; "use a sensor that is built for that machine";
    /// A program for another libc.
    FOREIGN_LIBC = "foreign_libc" Blind true: "its loader is neither glibc's nor musl's"; "none: only glibc and musl are known";
    /// A file that may be executed but not read.
    UNREADABLE = "unreadable" Unknown true: "not readable for this user, so it cannot be examined; a dynamic program is hooked even so"; "run 'glassbox doctor' as root";
    /// A program with a sanitizer whose runtime is a library.
    SANITIZER = "sanitizer" Blind false: "a sanitizer's runtime insists on being the first library and ends the program otherwise"; "ASAN_OPTIONS=verify_asan_link_order=0, or link the runtime statically (clang's default)";
    /// A program with Go's runtime.
    GO = "go" Partial false: "Go's runtime makes its system calls itself: only its C code is seen, and the programs that it starts"; "none for Go code; programs that it starts are hooked if they get its environment";
    /// A Go program without C: the sensor is loaded, finds no libc, and reports nothing.
    GO_ALONE = "go" Partial true: "Go's runtime makes its system calls itself, and no C code is linked in: only the programs that it starts are seen"; "none for Go code; programs that it starts are hooked if they get its environment";
    /// A program without libc.
    NO_LIBC = "no_libc" Partial true: "uses no libc: only that it ran, and its end, are seen"; "none";
    /// A program below a process that was attached to, or in a container, where the kernel is asked about
    /// libc's calls too.
    NO_SENSOR = "no_sensor" Partial false: "runs without the sensor, and the kernel tells of its system calls (glassbox attach --notify, glassbox runc --notify)"; "start it with 'glassbox run', or leave it the LD_PRELOAD that it is started with, for what the hooks tell besides";
    /// A program whose loader is missing.
    NO_LOADER = "no_loader" Blind false: "its loader is missing, so it cannot be run"; "install the C library that it was linked for";
    /// A script whose interpreter is missing.
    NO_INTERPRETER = "no_interpreter" Blind false: "its interpreter is missing, so it cannot be run"; "install the interpreter";
    /// A file that the kernel will not execute.
    MALFORMED = "malformed" Blind false: "damaged: the kernel will not run it"; "install it anew";
}

/// The root of a file system with programs: the machine's own, or a container's on disk.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The machine's own.
    pub fn own() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A folder: a root if it has the folders of one, else within the machine's own root.
    pub fn at(folder: &Path) -> Self {
        let is_root = ["etc", "lib", "usr"].iter().filter(|name| folder.join(name).is_dir()).count() >= 2;
        if is_root { Self(folder.to_owned()) } else { Self::own() }
    }

    /// What a program's path leads to in this root, unopened. All links of another root than the machine's
    /// own are paths of that root: none leads out of it.
    ///
    /// `Ok(None)` where a file system would have to be asked that `on` leaves out.
    fn find(&self, path: &Path, on: On) -> rustix::io::Result<Option<OwnedFd>> {
        match on {
            _ if self.0 != Path::new("/") => find_inside(&self.0, path).map(Some),
            On::Local => files::find_at_once(&self.0.join(path)),
            On::Any => {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                rustix::fs::open(self.0.join(path), flags, Mode::empty()).map(Some)
            }
        }
    }
}

/// A program, and how far it will be seen.
#[derive(Debug)]
pub struct Program {
    pub path: PathBuf,
    /// `dynamic`, `static`, `static-pie` or `script`; empty if the file does not tell.
    pub kind: &'static str,
    /// The machine of an ELF file; empty for others.
    pub machine: String,
    /// `glibc`, `musl`, `none` or `other`; empty if the file does not tell.
    pub libc: &'static str,
    /// The loader of a dynamic program, the interpreter of a script.
    pub interpreter: Option<PathBuf>,
    /// Why it is seen as far as it is.
    pub reason: &'static Reason,
    /// Other facts about it.
    pub notes: Vec<&'static str>,
}

impl Program {
    /// Examines a file that may be executed. `None` if it is not a program: a missing file, a library, or a
    /// form that the kernel does not execute.
    pub fn at(path: &Path, root: &Root) -> Option<Self> {
        Self::followed(path, root, On::Any, MOST_INTERPRETERS)
    }

    /// As [`Self::at`], of the file systems that `on` names only.
    pub fn on(path: &Path, root: &Root, on: On) -> Option<Self> {
        Self::followed(path, root, on, MOST_INTERPRETERS)
    }

    fn followed(path: &Path, root: &Root, on: On, patience: usize) -> Option<Self> {
        let mut program = Self {
            path: path.to_owned(),
            kind: "",
            machine: String::new(),
            libc: "",
            interpreter: None,
            reason: &HOOKED,
            notes: Vec::new(),
        };
        let mut file = match files::open_regular(path, on) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let mode = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.mode();
                program.reason = if mode & 0o6000 != 0 { &SETUID } else { &UNREADABLE };
                return Some(program);
            }
            Err(_) => return None,
        };
        let metadata = file.metadata().ok()?;
        let mut start = [0; 256];
        let len = file.read(&mut start).ok()?;
        let start = start.get(..len).unwrap_or_default();
        if let Some(interpreter) = interpreter(start) {
            program.kind = "script";
            let found = root.find(&interpreter, on);
            let is_unknown = matches!(found, Ok(None));
            program.interpreter = Some(interpreter);
            // Set-uid bits of a script do nothing (execve(2)): its interpreter is the program.
            let runs = found.ok().flatten().filter(|_| patience > 0).and_then(|found| {
                let place = format!("/proc/self/fd/{}", found.as_raw_fd());
                Self::followed(Path::new(&place), root, on, patience - 1)
            });
            match runs {
                Some(runs) => {
                    (program.machine, program.libc, program.reason) = (runs.machine, runs.libc, runs.reason);
                }
                None if is_unknown => {}
                None => program.reason = &NO_INTERPRETER,
            }
            return Some(program);
        }
        if !start.starts_with(b"\x7fELF") {
            return None;
        }
        let (cache, left) = (ReadCache::new(&file), Cell::new(MOST_READ));
        let data = Bounded { data: &cache, left: &left };
        let elf_file = match FileKind::parse(data) {
            Ok(FileKind::Elf64) => ElfFile::read::<FileHeader64<Endianness>, _>(data),
            Ok(FileKind::Elf32) => ElfFile::read::<FileHeader32<Endianness>, _>(data),
            _ => None,
        };
        let Some(elf_file) = elf_file else {
            program.reason = &MALFORMED;
            return Some(program);
        };
        if elf_file.is_library {
            return None;
        }
        let is_capable = rustix::fs::fgetxattr(&file, "security.capability", &mut [0; 64]).is_ok();
        program.describe(&elf_file);
        program.reason = if metadata.mode() & 0o6000 != 0 {
            &SETUID
        } else if is_capable {
            &CAPABILITIES
        } else {
            elf_file.reason(root, on)
        };
        Some(program)
    }

    fn describe(&mut self, elf_file: &ElfFile) {
        self.machine = elf_file.machine();
        self.libc = elf_file.libc();
        self.kind = match (&elf_file.loader, elf_file.is_movable) {
            (Some(_), _) => "dynamic",
            (None, true) => "static-pie",
            (None, false) => "static",
        };
        self.interpreter = elf_file.loader.clone();
        for (library, note) in NOTES {
            if elf_file.needs(library) {
                self.notes.push(note);
            }
        }
    }
}

/// Facts that a needed library tells of a program.
const NOTES: [(&str, &str); 2] = [
    ("liburing.so", "may move bytes by io_uring, which are not counted"),
    ("libseccomp.so", "may install a seccomp filter, after which the sensor makes no system call in it"),
];

/// The interpreter in a script's first line.
fn interpreter(start: &[u8]) -> Option<PathBuf> {
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty())?;
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(word)))
}

/// Bytes of a file that are read at most: headers may name all of a file of any size.
const MOST_READ: u64 = 4 << 20;

/// The facts in an ELF file's headers.
#[derive(Debug)]
struct ElfFile {
    machine: u16,
    is_wide: bool,
    is_little: bool,
    loader: Option<PathBuf>,
    is_library: bool,
    /// Its addresses are relative: a position-independent program, or a library.
    is_movable: bool,
    needed: Vec<Vec<u8>>,
    is_go: bool,
}

impl ElfFile {
    fn read<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> Option<Self> {
        let header = H::parse(data).ok()?;
        let endian = header.endian().ok()?;
        let headers = header.program_headers(endian, data).ok()?;
        let mut elf_file = Self {
            machine: header.e_machine(endian),
            is_wide: header.is_class_64(),
            is_little: endian == Endianness::Little,
            loader: None,
            is_library: false,
            is_movable: header.e_type(endian) == elf::ET_DYN,
            needed: Vec::new(),
            is_go: false,
        };
        let is_program = header.e_type(endian) == elf::ET_EXEC;
        if !is_program && !elf_file.is_movable {
            // An object file or a core dump.
            elf_file.is_library = true;
            return Some(elf_file);
        }
        let (mut is_pie, mut names, mut wanted) = (false, 0, Vec::new());
        for segment in headers {
            if let Some(path) = segment.interpreter(endian, data).ok()? {
                elf_file.loader = Some(PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())));
            }
            if let Some(entries) = segment.dynamic(endian, data).ok()? {
                for entry in entries {
                    let value: u64 = entry.d_val(endian).into();
                    match entry.tag32(endian).map(i64::from) {
                        Some(elf::DT_NEEDED) => wanted.push(value),
                        Some(elf::DT_STRTAB) => names = value,
                        Some(elf::DT_FLAGS_1) => is_pie = value & u64::from(elf::DF_1_PIE) != 0,
                        _ => {}
                    }
                }
            }
            if let Ok(Some(mut notes)) = segment.notes(endian, data) {
                while let Ok(Some(note)) = notes.next() {
                    // cmd/link writes its build id as a note of the name "Go".
                    elf_file.is_go |= note.name() == b"Go";
                }
            }
        }
        elf_file.needed = wanted
            .iter()
            .filter_map(|at| string::<H, R>(headers, endian, data, names.checked_add(*at)?))
            .collect();
        elf_file.is_library = elf_file.is_movable && elf_file.loader.is_none() && !is_pie;
        Some(elf_file)
    }

    fn needs(&self, library: &str) -> bool {
        self.needed.iter().any(|name| name.starts_with(library.as_bytes()))
    }

    fn machine(&self) -> String {
        let name = match (self.machine, self.is_wide) {
            (elf::EM_X86_64, true) => "x86_64",
            (elf::EM_X86_64, false) => "x32",
            (elf::EM_386, _) => "i386",
            (elf::EM_AARCH64, _) => "aarch64",
            (elf::EM_ARM, _) => "arm",
            (elf::EM_RISCV, _) => "riscv",
            (elf::EM_PPC64, _) => "ppc64",
            (elf::EM_S390, _) => "s390",
            (number, _) => return format!("machine-{number}"),
        };
        name.to_owned()
    }

    fn libc(&self) -> &'static str {
        let Some(loader) = &self.loader else { return "none" };
        let name = loader.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
        let starts = |with: &str| name.starts_with(with.as_bytes());
        if starts("ld-musl") {
            "musl"
        } else if starts("ld-linux") || starts("ld64.so") || starts("ld-2.") || starts("ld.so") {
            "glibc"
        } else {
            "other"
        }
    }

    fn reason(&self, root: &Root, on: On) -> &'static Reason {
        let own = if cfg!(target_arch = "aarch64") { elf::EM_AARCH64 } else { elf::EM_X86_64 };
        let Some(loader) = &self.loader else {
            return if self.is_native(own) { &STATIC } else { &FOREIGN_ABI };
        };
        if !self.is_native(own) {
            &FOREIGN_ABI
        } else if root.find(loader, on).is_err() {
            &NO_LOADER
        } else if self.libc() == "other" {
            &FOREIGN_LIBC
        } else if ["libasan.so", "libtsan.so"].iter().any(|library| self.needs(library)) {
            &SANITIZER
        } else if self.is_go && self.needed.is_empty() {
            &GO_ALONE
        } else if self.is_go {
            &GO
        } else if !self.needs("libc.") && !self.needs("ld-musl") && self.needed.is_empty() {
            &NO_LIBC
        } else {
            &HOOKED
        }
    }

    fn is_native(&self, own: u16) -> bool {
        self.machine == own && self.is_wide && self.is_little
    }
}

/// The string that the program has at `address` in memory.
fn string<'d, H: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
    headers: &[H::ProgramHeader],
    endian: Endianness,
    data: R,
    address: u64,
) -> Option<Vec<u8>> {
    headers.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
        let start: u64 = segment.p_vaddr(endian).into();
        let (offset, len) = segment.file_range(endian);
        let within = address.checked_sub(start).filter(|within| *within < len)?;
        let at = offset.checked_add(within)?;
        data.read_bytes_at_until(at..offset.checked_add(len)?, 0).ok().map(<[u8]>::to_vec)
    })
}
