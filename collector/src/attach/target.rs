//! Looks at a process before it is touched: whether it can be attached to, whether the sensor can be put into
//! it, and where its functions are.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{Endianness, SymbolIndex};

use crate::shell::failure::Failure;
use crate::shell::socket::Name;
use crate::system::places::{open_inside, read_whole};
use crate::system::procfs;

/// The largest libc that is read, in bytes.
const MOST_LIBC: u64 = 256 << 20;
/// Bytes of a program's beginning, which has its headers.
const HEADERS: u64 = 64 << 10;

type Header = FileHeader64<Endianness>;

/// A `glassbox attach` command line.
#[derive(Debug)]
pub struct Request {
    /// The process.
    pub pid: u32,
    /// The sensor.
    pub sensor: PathBuf,
    /// The collector's socket.
    pub socket: Name,
}

/// A process that can be stopped, as far as /proc shows.
pub struct Target {
    pid: u32,
    program: String,
    /// What an exec, or another process with its number, has otherwise.
    life: Life,
    sensor: PathBuf,
    loader: (u64, u64),
    door: Result<Door, Kept>,
}

/// When a process began, its program's file, and where that lies.
type Life = (Option<u64>, Option<(u64, u64)>, Option<u64>);

/// The functions by which the sensor gets in.
#[derive(Clone, Copy)]
pub struct Door {
    /// dlopen(3).
    pub dlopen: u64,
    /// The bits that this dlopen needs in its flags.
    pub dlopen_flags: u64,
    /// dlerror(3), where there is one.
    pub dlerror: Option<u64>,
}

/// Why the sensor is kept out.
pub struct Kept {
    /// The reason and the remedy.
    pub message: String,
    /// The sensor that it has, where that is the reason.
    pub sensor: Option<PathBuf>,
}

/// The process as /proc shows it before it is touched.
struct Evidence {
    pid: u32,
    /// `/proc/PID/status`.
    status: String,
    /// Real and effective user id of the process, and effective user id of this one.
    users: (u32, u32, u32),
    /// The program's file; `None` where /proc does not show it.
    program: Option<PathBuf>,
    /// The program is a 64-bit ELF file for the machine that this executable is made for.
    is_for_this_machine: bool,
    /// The sensor's path, without symbolic links.
    sensor: PathBuf,
    /// `None` where /proc does not show them.
    mappings: Option<Mappings>,
    /// The address of dlopen(3) and the flags that it needs; `None` without a C library.
    dlopen: Option<(u64, u64)>,
}

/// A reason not to attach.
struct Refusal {
    is_met: fn(&Evidence) -> bool,
    /// Whether it keeps nothing but the sensor out: calls can be asked about all the same.
    is_of_sensor: bool,
    /// The reason and the remedy. A word in braces stands for a fact: `{sensor}`, `{euid}`, or a field of
    /// `/proc/PID/status`.
    message: &'static str,
}

/// Every reason, in the order in which they are looked for: each may rely on those before it not being met.
const REFUSALS: &[Refusal] = &[
    Refusal {
        is_met: |it| it.field("Tgid") != it.pid.to_string(),
        is_of_sensor: false,
        message: "it is a thread; give the process, {Tgid}",
    },
    Refusal {
        is_met: |it| it.pid == std::process::id(),
        is_of_sensor: false,
        message: "that is this glassbox itself; give another process",
    },
    Refusal {
        is_met: |it| {
            let (real, effective, own) = it.users;
            own != 0 && (real, effective) != (own, own)
        },
        is_of_sensor: false,
        message: "owned by uid {euid}; run as that user, or use 'glassbox run -- CMD'",
    },
    Refusal {
        is_met: |it| it.field("State").starts_with(['Z', 'X']),
        is_of_sensor: false,
        message: "it has ended; start it with 'glassbox run'",
    },
    Refusal {
        is_met: |it| it.field("State").starts_with(['T', 't']),
        is_of_sensor: false,
        message: "it is stopped; continue it (kill -CONT) and try again",
    },
    Refusal {
        is_met: |it| it.field("TracerPid") != "0",
        is_of_sensor: false,
        message: "pid {TracerPid} traces it; end that first",
    },
    Refusal {
        is_met: |it| !matches!(it.field("Seccomp"), "0" | ""),
        is_of_sensor: true,
        message: "its seccomp filter could end it for what the loader does; start it with 'glassbox run'",
    },
    Refusal {
        is_met: |it| it.program.is_none(),
        is_of_sensor: false,
        message: "its files cannot be seen: a kernel thread, or a process that may not be traced (prctl(2), \
                  PR_SET_DUMPABLE); run as root, or start it with 'glassbox run'",
    },
    Refusal {
        is_met: |it| !it.is_for_this_machine,
        is_of_sensor: false,
        message: "it is a program for another kind of machine; start it with a sensor made for that",
    },
    Refusal {
        is_met: |it| it.mappings.is_none(),
        is_of_sensor: false,
        message: "its memory cannot be seen; run as root",
    },
    Refusal {
        is_met: |it| it.has_mapped(|path| path.file_name() == it.sensor.file_name()),
        is_of_sensor: true,
        message: "it has the sensor already; nothing is left to do",
    },
    Refusal {
        is_met: |it| {
            identity(&it.sensor).is_none_or(|own| identity(&inside(it.pid, &it.sensor)) != Some(own))
        },
        is_of_sensor: true,
        message: "it sees no '{sensor}' (another root or mount namespace); put the sensor at the same path there",
    },
    Refusal {
        is_met: |it| it.has_mapped(is_musl),
        is_of_sensor: true,
        message: "its loader, musl's, takes no library like the sensor late; start it with 'glassbox run'",
    },
    Refusal {
        is_met: |it| it.dlopen.is_none(),
        is_of_sensor: true,
        message: "it has no dynamic loader (a static program), so the sensor cannot be loaded into it; build it dynamically",
    },
];

impl Evidence {
    /// Reads what /proc shows; `None` where there is no such process.
    fn gather(pid: u32, sensor: PathBuf) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let (real, effective) = procfs::uids(pid).unwrap_or_default();
        let mut image = Vec::new();
        let _ = fs::File::open(format!("/proc/{pid}/exe"))
            .and_then(|file| file.take(HEADERS).read_to_end(&mut image));
        let is_64_bit = image.get(..5) == Some(b"\x7fELF\x02");
        let mappings = Mappings::of(pid);
        Some(Self {
            pid,
            status,
            users: (real, effective, rustix::process::geteuid().as_raw()),
            program: fs::read_link(format!("/proc/{pid}/exe")).ok(),
            is_for_this_machine: is_64_bit
                && Elf::parse(&image).is_some_and(|elf| elf.machine() == own_machine()),
            sensor,
            dlopen: mappings.as_ref().and_then(Mappings::dlopen),
            mappings,
        })
    }

    /// A field of `/proc/PID/status`; empty where the kernel does not show it.
    fn field(&self, name: &str) -> &str {
        let mut lines = self.status.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim())).unwrap_or_default()
    }

    fn has_mapped(&self, is_it: impl Fn(&Path) -> bool) -> bool {
        self.mappings.as_ref().is_some_and(|mappings| mappings.find(is_it).is_some())
    }

    /// Why this process cannot be attached to, or the sensor not be put into it.
    fn refusal(&self) -> Option<(String, &'static Refusal)> {
        let refusal = REFUSALS.iter().find(|refusal| (refusal.is_met)(self))?;
        let facts = [
            ("{sensor}", self.sensor.display().to_string()),
            ("{euid}", self.users.1.to_string()),
            ("{Tgid}", self.field("Tgid").to_owned()),
            ("{TracerPid}", self.field("TracerPid").to_owned()),
        ];
        let message = refusal.message.to_owned();
        Some((facts.iter().fold(message, |message, (word, fact)| message.replace(word, fact)), refusal))
    }
}

impl Target {
    /// Looks at process `pid`, which is to get the sensor at `sensor`.
    ///
    /// Fails with the reason and the remedy if a [`Refusal`] is met, unless it is one of the sensor alone.
    pub fn examine(pid: u32, sensor: &Path) -> Result<Self, Failure> {
        let sensor = fs::canonicalize(sensor).map_err(|error| {
            Failure::missing(format!(
                "cannot read the sensor '{}': {error}; set GLASSBOX_LIB to its path",
                sensor.display()
            ))
        })?;
        let evidence = Evidence::gather(pid, sensor)
            .ok_or_else(|| refuse(pid, "there is no such process; 'ps' lists those that run"))?;
        let kept = evidence.refusal();
        if let Some((reason, Refusal { is_of_sensor: false, .. })) = &kept {
            return Err(refuse(pid, reason));
        }
        let Evidence { program, sensor, mappings: Some(mappings), dlopen, .. } = evidence else {
            return Err(refuse(pid, "it cannot be read; run as root"));
        };
        let program = program.unwrap_or_default();
        let door = match (kept, dlopen) {
            (None, Some((dlopen, dlopen_flags))) => {
                Ok(Door { dlopen, dlopen_flags, dlerror: mappings.function("dlerror") })
            }
            (kept, _) => Err(Kept {
                message: kept.map(|(message, _)| message).unwrap_or_default(),
                sensor: mappings.find(|path| path.file_name() == sensor.file_name()),
            }),
        };
        Ok(Self {
            pid,
            life: life(pid, &program, &mappings),
            program: program.display().to_string(),
            sensor,
            loader: mappings.loader().unwrap_or_default(),
            door,
        })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is the same process with the same program.
    pub fn is_as_examined(&self) -> bool {
        Mappings::of(self.pid).is_some_and(|now| life(self.pid, self.program.as_ref(), &now) == self.life)
    }

    /// Its number, and the path of its program.
    pub fn name(&self) -> String {
        format!("process {} ({})", self.pid, self.program)
    }

    /// The sensor's path, in both mount namespaces.
    pub fn sensor(&self) -> &Path {
        &self.sensor
    }

    /// The functions by which the sensor gets in, or why it does not.
    pub fn door(&self) -> Result<Door, &Kept> {
        self.door.as_ref().copied()
    }

    /// Whether code at `address` belongs to the loader, which is not reentrant.
    pub fn is_loader(&self, address: u64) -> bool {
        (self.loader.0..self.loader.1).contains(&address)
    }

    /// The address of the sensor's entry point, once it is loaded.
    pub fn entry(&self) -> Result<u64, Failure> {
        let base = Mappings::of(self.pid).and_then(|mappings| mappings.base_of(&self.sensor));
        let entry = fs::read(&self.sensor).ok().and_then(|bytes| Some(Elf::parse(&bytes)?.entry()));
        match (base, entry) {
            (Some(base), Some(entry)) if entry != 0 => Ok(base.wrapping_add(entry)),
            _ => Err(self.refusal("the sensor was loaded and cannot be found; use the one of this glassbox")),
        }
    }

    /// A failure to attach to this process.
    pub fn refusal(&self, reason: &str) -> Failure {
        refuse(self.pid, reason)
    }
}

fn refuse(pid: u32, reason: &str) -> Failure {
    Failure::missing(format!("cannot attach to pid {pid}: {reason}"))
}

/// Whether a file is musl's loader, which is its libc too.
fn is_musl(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // Debian's has the name `libc.so` behind its links.
    name.starts_with("ld-musl-") || name.starts_with("libc.musl-") || name == "libc.so"
}

fn life(pid: u32, program: &Path, mappings: &Mappings) -> Life {
    let exe = identity(format!("/proc/{pid}/exe").as_ref());
    (procfs::stat(pid).map(|stat| stat.started), exe, mappings.base_of(program))
}

/// Device and inode of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn own_machine() -> u16 {
    if cfg!(target_arch = "aarch64") { elf::EM_AARCH64 } else { elf::EM_X86_64 }
}

/// A file as the process sees it.
fn inside(pid: u32, path: &Path) -> PathBuf {
    Path::new(&format!("/proc/{pid}/root")).join(path.strip_prefix("/").unwrap_or(path))
}

/// A 64-bit ELF file in memory.
struct Elf<'a> {
    header: &'a Header,
    bytes: &'a [u8],
}

impl<'a> Elf<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        Some(Self { header: Header::parse(bytes).ok()?, bytes })
    }

    fn machine(&self) -> u16 {
        self.header.e_machine(Endianness::default())
    }

    fn entry(&self) -> u64 {
        self.header.e_entry(Endianness::default())
    }

    /// The lowest address that the file asks for.
    fn start(&self) -> Option<u64> {
        let endian = Endianness::default();
        let headers = self.header.program_headers(endian, self.bytes).ok()?;
        let loaded = headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
        loaded.map(|header| header.p_vaddr(endian)).min().map(|address| address & !4095)
    }

    /// The value of the symbol of a function that the file defines.
    fn function(&self, name: &str) -> Option<u64> {
        let endian = Endianness::default();
        let sections = self.header.sections(endian, self.bytes).ok()?;
        let symbols = sections.symbols(endian, self.bytes, elf::SHT_DYNSYM).ok()?;
        (0..symbols.len()).find_map(|index| {
            let symbol = symbols.symbol(SymbolIndex(index)).ok()?;
            let is_it = symbol.st_type() == elf::STT_FUNC
                && !symbol.is_undefined(endian)
                && symbols.symbol_name(endian, symbol) == Ok(name.as_bytes());
            is_it.then(|| symbol.st_value(endian))
        })
    }
}

/// The files that a process has mapped.
struct Mappings {
    pid: u32,
    /// Start, end, and file.
    areas: Vec<(u64, u64, PathBuf)>,
}

impl Mappings {
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let areas = text.lines().filter_map(|line| {
            // proc_pid_maps(5): the range, four words, then the path, which may hold spaces.
            let mut words = line.splitn(6, ' ');
            let (start, end) = words.next()?.split_once('-')?;
            let path = words.nth(4)?.trim_start();
            let number = |text| u64::from_str_radix(text, 16).ok();
            path.starts_with('/').then_some((number(start)?, number(end)?, PathBuf::from(path)))
        });
        Some(Self { pid, areas: areas.collect() })
    }

    fn find(&self, is_it: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        self.areas.iter().map(|(.., path)| path).find(|path| is_it(path)).cloned()
    }

    fn base_of(&self, file: &Path) -> Option<u64> {
        self.areas.iter().filter(|(.., path)| path == file).map(|(start, ..)| *start).min()
    }

    /// A function of the C library, wherever that keeps it (since glibc 2.34, and in musl, in libc itself).
    fn function(&self, name: &str) -> Option<u64> {
        let is_libc = |path: &&PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            ["libc.so", "libc-", "libdl.so", "libdl-", "ld-musl-", "libc.musl-"]
                .iter()
                .any(|start| name.starts_with(start))
        };
        let mut files: Vec<&PathBuf> = self.areas.iter().map(|(.., path)| path).filter(is_libc).collect();
        files.dedup();
        files.into_iter().find_map(|file| {
            // The process named the file, and may have put anything there.
            let root = PathBuf::from(format!("/proc/{}/root", self.pid));
            let bytes = read_whole(open_inside(&root, file)?, MOST_LIBC)?;
            let image = Elf::parse(&bytes)?;
            Some(self.base_of(file)?.wrapping_sub(image.start()?).wrapping_add(image.function(name)?))
        })
    }

    /// dlopen(3) and the flags that it needs. Before glibc 2.34 a program without libdl has only the internal
    /// function.
    fn dlopen(&self) -> Option<(u64, u64)> {
        const FROM_OUTSIDE: u64 = 0x8000_0000; // __RTLD_DLOPEN, glibc's include/dlfcn.h
        let public = self.function("dlopen").map(|address| (address, 0));
        public.or_else(|| self.function("__libc_dlopen_mode").map(|address| (address, FROM_OUTSIDE)))
    }

    /// The loader's addresses. musl's loader is libc itself, where a thread always is when it is between two
    /// calls.
    fn loader(&self) -> Option<(u64, u64)> {
        let is_loader = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("ld-linux") || name.starts_with("ld-2.") || name.starts_with("ld.so")
        };
        let areas = || self.areas.iter().filter(|(.., path)| is_loader(path));
        Some((areas().map(|area| area.0).min()?, areas().map(|area| area.1).max()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(status: &str) -> Evidence {
        Evidence {
            pid: 7,
            status: status.to_owned(),
            users: (1000, 1000, 1000),
            program: Some("/bin/sleep".into()),
            is_for_this_machine: true,
            sensor: "/nowhere/libglassbox.so".into(),
            mappings: Some(Mappings { pid: 7, areas: Vec::new() }),
            dlopen: Some((1, 0)),
        }
    }

    fn refused(evidence: &Evidence) -> Option<String> {
        evidence.refusal().map(|(message, _)| message)
    }

    #[test]
    fn a_process_that_has_executed_another_program_is_not_as_it_was_examined() {
        use std::io::Write;
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line; exec sleep 30"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let target = Target::examine(child.id(), Path::new("/proc/self/exe"));
        let target = target.unwrap_or_else(|_| panic!("sh can be examined"));
        assert!(target.is_as_examined());
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let is_sleep = || procfs::comm(target.pid()).is_some_and(|comm| comm == b"sleep");
        while !is_sleep() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(!target.is_as_examined());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn every_refusal_ends_in_what_to_do() {
        for refusal in REFUSALS {
            assert!(refusal.message.contains("; "), "{}", refusal.message);
        }
    }

    #[test]
    fn a_message_names_the_facts_of_the_process() {
        let thread = evidence("Tgid:\t6\nState:\tS (sleeping)\nTracerPid:\t0\nSeccomp:\t0\n");
        let traced = evidence("Tgid:\t7\nState:\tS (sleeping)\nTracerPid:\t12\nSeccomp:\t0\n");
        let strangers = Evidence { users: (0, 1001, 1000), ..evidence("Tgid:\t7\n") };

        assert_eq!(Some("it is a thread; give the process, 6"), refused(&thread).as_deref());
        assert_eq!(Some("pid 12 traces it; end that first"), refused(&traced).as_deref());
        assert_eq!(
            Some("owned by uid 1001; run as that user, or use 'glassbox run -- CMD'"),
            refused(&strangers).as_deref()
        );
    }

    #[test]
    fn the_first_reason_that_is_met_is_given() {
        let gone_and_traced = evidence("Tgid:\t7\nState:\tZ (zombie)\nTracerPid:\t12\n");

        assert_eq!(Some("it has ended; start it with 'glassbox run'"), refused(&gone_and_traced).as_deref());
    }
}
