//! What is known of a process before it is touched: why the sensor could not enter, and where its functions are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use object::{Endianness, SymbolIndex};

use crate::failure::Failure;
use crate::procfs;

type Header = FileHeader64<Endianness>;

/// A process that the sensor can enter, as far as can be told from outside.
pub struct Target {
    pid: u32,
    program: String,
    sensor: PathBuf,
    dlopen: u64,
    dlopen_flags: u64,
    dlerror: Option<u64>,
    loader: (u64, u64),
}

impl Target {
    /// Looks at process `pid`, which is to get the sensor at `sensor`.
    ///
    /// Refuses, with the reason and the remedy, a process that is gone, another user's, traced or stopped, of another
    /// machine, static, sealed by seccomp, in another mount namespace, or that has the sensor already.
    pub fn examine(pid: u32, sensor: &Path) -> Result<Self, Failure> {
        let refuse = |reason: &str| Failure::missing(format!("cannot attach to pid {pid}: {reason}"));
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .map_err(|_| refuse("there is no such process; 'ps' lists those that run"))?;
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default()
        };
        if field("Tgid:") != pid.to_string() {
            return Err(refuse(&format!("it is a thread; give the process, {}", field("Tgid:"))));
        }
        if pid == std::process::id() {
            return Err(refuse("that is this glassbox itself; give another process"));
        }
        let own = rustix::process::geteuid().as_raw();
        let (real, effective) = procfs::uids(pid).unwrap_or_default();
        if own != 0 && (real, effective) != (own, own) {
            return Err(refuse(&format!(
                "owned by uid {effective}; run as that user, or use 'glassbox run -- CMD'"
            )));
        }
        match field("State:").chars().next() {
            Some('Z' | 'X') => return Err(refuse("it has ended; start it with 'glassbox run'")),
            Some('T' | 't') => return Err(refuse("it is stopped; continue it (kill -CONT) and try again")),
            _ => {}
        }
        if field("TracerPid:") != "0" {
            return Err(refuse(&format!("pid {} traces it; end that first", field("TracerPid:"))));
        }
        if !matches!(field("Seccomp:"), "0" | "") {
            return Err(refuse(
                "its seccomp filter could end it for what the loader does; start it with 'glassbox run'",
            ));
        }
        let Ok(program) = fs::read_link(format!("/proc/{pid}/exe")) else {
            return Err(refuse(
                "its files cannot be seen: a kernel thread, or a process that may not be traced (prctl(2), PR_SET_DUMPABLE); \
                 run as root, or start it with 'glassbox run'",
            ));
        };
        let image = fs::read(format!("/proc/{pid}/exe")).unwrap_or_default();
        if image.get(..5) != Some(b"\x7fELF\x02")
            || Elf::parse(&image).is_none_or(|image| image.machine() != own_machine())
        {
            return Err(refuse(
                "it is a program for another kind of machine; start it with a sensor made for that",
            ));
        }
        let sensor = fs::canonicalize(sensor).map_err(|error| {
            Failure::missing(format!(
                "cannot read the sensor '{}': {error}; set GLASSBOX_LIB to its path",
                sensor.display()
            ))
        })?;
        let mappings = Mappings::of(pid).ok_or_else(|| refuse("its memory cannot be seen; run as root"))?;
        if mappings.has(|path| path.file_name() == sensor.file_name()) {
            return Err(refuse("it has the sensor already; nothing is left to do"));
        }
        let identity = |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if identity(&inside(pid, &sensor)).is_none_or(|there| identity(&sensor) != Some(there)) {
            return Err(refuse(&format!(
                "it sees no '{}' (another root or mount namespace); put the sensor at the same path there",
                sensor.display()
            )));
        }
        let Some((dlopen, dlopen_flags)) = mappings.dlopen() else {
            return Err(refuse("it has no dynamic loader (a static program); only --notify can see it"));
        };
        Ok(Self {
            pid,
            program: program.display().to_string(),
            sensor,
            dlopen,
            dlopen_flags,
            dlerror: mappings.function("dlerror"),
            loader: mappings.loader().unwrap_or_default(),
        })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The program that it runs.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The sensor's path, in both mount namespaces.
    pub fn sensor(&self) -> &Path {
        &self.sensor
    }

    /// The address of its dlopen(3).
    pub fn dlopen(&self) -> u64 {
        self.dlopen
    }

    /// What that wants to have set in its flags.
    pub fn dlopen_flags(&self) -> u64 {
        self.dlopen_flags
    }

    /// The address of its dlerror(3), where it has one.
    pub fn dlerror(&self) -> Option<u64> {
        self.dlerror
    }

    /// Whether code at `address` belongs to the loader, which must not be entered a second time.
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
        Failure::missing(format!("cannot attach to pid {}: {reason}", self.pid))
    }
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

    /// The value of a function that it defines.
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

    fn has(&self, is_it: impl Fn(&Path) -> bool) -> bool {
        self.areas.iter().any(|(.., path)| is_it(path))
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
            let bytes = fs::read(inside(self.pid, file)).ok()?;
            let image = Elf::parse(&bytes)?;
            Some(self.base_of(file)?.wrapping_sub(image.start()?).wrapping_add(image.function(name)?))
        })
    }

    /// dlopen(3) and the flags that it wants. Before 2.34 a program without libdl has glibc's internal one.
    fn dlopen(&self) -> Option<(u64, u64)> {
        const FROM_OUTSIDE: u64 = 0x8000_0000; // __RTLD_DLOPEN, glibc's include/dlfcn.h
        let public = self.function("dlopen").map(|address| (address, 0));
        public.or_else(|| self.function("__libc_dlopen_mode").map(|address| (address, FROM_OUTSIDE)))
    }

    /// Where the loader is. musl's is libc itself, whose functions are all that is ever between two calls.
    fn loader(&self) -> Option<(u64, u64)> {
        let is_loader = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("ld-linux") || name.starts_with("ld-2.") || name.starts_with("ld.so")
        };
        let areas = || self.areas.iter().filter(|(.., path)| is_loader(path));
        Some((areas().map(|area| area.0).min()?, areas().map(|area| area.1).max()?))
    }
}
