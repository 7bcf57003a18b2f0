//! Which code made a call: libc, the loader and the sensor, or the program itself.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustc_hash::FxHashMap;

use super::libraries;
use super::memory::ProcessMemory;
use crate::evasion::modules::Known;
use crate::evasion::{Place, maps, modules};
use crate::ids::FileId;
use crate::system::procfs;

/// The files whose calls need not be told of in a process that the sensor is in.
#[derive(Debug, Default)]
pub struct Trusted {
    /// libc, the loader, and what belongs to them.
    pub libraries: Vec<PathBuf>,
    /// The sensor, at every path that it is loaded from.
    pub sensors: Vec<PathBuf>,
    /// The sensor's file, as /proc/PID/maps shows it, in a container, which decides what lies at a path: a
    /// process has hooks if it has mapped that. There libc is known by its name, and the rest of libc's files
    /// by their folders too: see [`Self::is_library`].
    pub sensor_file: Option<FileId>,
    /// libc's calls are asked about too: they need not be told of where the sensor is, and are where it is
    /// not.
    pub is_libc_asked_about: bool,
    /// Where the sensor is, libc's calls are told that it makes for itself.
    pub is_libc_told: bool,
}

impl Trusted {
    /// Whether all calls of a process are asked about, and no sensor is in it that tells of any, or will be.
    pub fn is_all_told_of(&self, process: u32) -> bool {
        let look = || Modules::of(process, self, &mut Switched::default());
        self.is_libc_asked_about && look().is_some_and(|modules| modules.is_alone)
    }

    /// Whether the loader of a program with this environment loads the sensor.
    fn is_preloaded(&self, environment: Option<&[u8]>) -> bool {
        let names = || self.sensors.iter().filter_map(|sensor| Some(sensor.file_name()?.as_bytes()));
        environment.is_none_or(|all| {
            all.split(|byte| *byte == 0)
                .filter_map(|variable| variable.strip_prefix(b"LD_PRELOAD="))
                .any(|list| names().any(|name| list.windows(name.len()).any(|part| part == name)))
        })
    }

    /// Whether the processes are a container's.
    pub fn is_inside(&self) -> bool {
        self.sensor_file.is_some()
    }

    /// Whether a file is libc, the loader, or belongs to them. In a container these go by their names. Where
    /// the process `has_systems` libc, mapped from one of the system's folders, the others lie there too: a
    /// file `/tmp/libc.so.6` beside that is the program's own code.
    fn is_library(&self, path: &Path, has_systems: bool) -> bool {
        let is_named =
            || is_named(path, libraries::is_one) && (!has_systems || libraries::is_in_system(path));
        self.libraries.iter().any(|library| library == path) || self.is_inside() && is_named()
    }

    /// Whether a file is a libc of the system, in a container.
    fn is_systems(&self, path: &Path) -> bool {
        let is_libc = |name: &[u8]| libraries::is_glibc(name) || libraries::is_musl(name);
        self.is_inside() && libraries::is_in_system(path) && is_named(path, is_libc)
    }

    fn is_sensor(&self, line: &[u8], path: &Path) -> bool {
        match self.sensor_file {
            Some(file) => file.is_known() && procfs::mapped_file(line) == Some(file),
            None => self.sensors.iter().any(|sensor| sensor == path),
        }
    }
}

/// Whether a file has such a name. A memfd has the name that its maker gives it.
fn is_named(path: &Path, which: impl Fn(&[u8]) -> bool) -> bool {
    let is_memfd = path.as_os_str().as_bytes().starts_with(b"/memfd:");
    !is_memfd && path.file_name().is_some_and(|name| which(name.as_bytes()))
}

/// More text of /proc/PID/maps is not read: of a process with some hundred thousand mappings, whose calls
/// are then told as its own.
const MOST_BYTES: u64 = 16 << 20;

/// Mappings of which it is remembered whether a call from them is evidence; then it begins anew.
const MOST_OTHERS: usize = 64;

/// What a process has mapped of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Modules {
    ranges: Vec<(u64, u64)>,
    has_sensor: bool,
    has_library: bool,
    /// A loader maps glibc behind what is preloaded.
    has_glibc: bool,
    has_musl: bool,
    /// Pages that made calls and are none of these: whether that is evidence, and of what mapping.
    others: Vec<(u64, Option<Place>)>,
    /// The program was started with `GLASSBOX=off`: the sensor in it reports nothing.
    is_off: bool,
    /// libc's calls are asked about, and the sensor is not here and is not going to be.
    is_alone: bool,
}

/// Calls of a container's loaders before they have loaded the sensor. A loader of the container's own could
/// make any number of them.
#[derive(Debug, Default)]
pub struct Awaited(FxHashMap<u64, u32>);

/// More than a loader makes for what comes before the sensor in LD_PRELOAD.
const MOST_AWAITED: u32 = 16;
/// Programs that are remembered.
const MOST_PROGRAMS: usize = 4096;

impl Awaited {
    /// Whether a call is one that a loader makes: it maps code, and opens files to read.
    pub fn is_a_loaders(call: &str, args: &[u64; 6]) -> bool {
        let only_reads = |flags: u64| flags & (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64 == 0;
        match call {
            "mmap" | "mprotect" => true,
            "open" => only_reads(args[1]),
            "openat" => only_reads(args[2]),
            _ => false,
        }
    }

    /// Counts such a call of a process whose sensor is awaited, and says whether it may still come. Children
    /// that execute nothing count as the same program: they have its stack.
    pub fn has_patience(&mut self, process: u32) -> bool {
        let Some(program) = procfs::stack(process) else { return false };
        if self.0.len() >= MOST_PROGRAMS && !self.0.contains_key(&program) {
            self.0.clear();
        }
        let count = self.0.entry(program).or_default();
        *count = count.saturating_add(1);
        *count <= MOST_AWAITED
    }
}

/// Whether programs were started with `GLASSBOX=off`, as each one's environment said when it was looked at
/// first: a program may write over it later.
#[derive(Debug, Default)]
pub struct Switched(FxHashMap<u64, bool>);

impl Switched {
    /// Whether the sensor in a process is off, whose environment is this by now. Children that execute
    /// nothing count as the same program: they have its stack.
    fn is_off(&mut self, process: u32, environment: Option<&[u8]>) -> bool {
        let (Some(program), Some(environment)) = (procfs::stack(process), environment) else {
            return is_off(environment);
        };
        if self.0.len() >= MOST_PROGRAMS && !self.0.contains_key(&program) {
            self.0.clear();
        }
        *self.0.entry(program).or_insert_with(|| is_off(Some(environment)))
    }
}

/// The page of the instruction before an address: it holds code of one mapping.
fn page_of(address: u64) -> u64 {
    const PAGE: u64 = 4096;
    address.saturating_sub(1) / PAGE
}

impl Modules {
    /// Looks at a process, by one of its threads: by its own number the kernel shows nothing of one whose
    /// first thread has ended. `None` where it shows nothing at all.
    pub fn of(process: u32, trusted: &Trusted, switched: &mut Switched) -> Option<Self> {
        let mut maps = Vec::new();
        File::open(format!("/proc/{process}/maps")).ok()?.take(MOST_BYTES).read_to_end(&mut maps).ok()?;
        let mut modules = Self::in_maps(&maps, trusted);
        if modules.has_sensor || trusted.is_libc_asked_about || trusted.is_libc_told {
            let environment = procfs::environment(process);
            let is_off = switched.is_off(process, environment.as_deref());
            modules.is_off = modules.has_sensor && is_off;
            let is_preloaded = || trusted.is_preloaded(environment.as_deref());
            // glibc's loader maps libc behind what is preloaded, by whatever means; musl's is libc.
            modules.is_alone = !modules.has_sensor
                && match trusted.is_inside() || trusted.is_libc_told {
                    true => modules.has_glibc || modules.has_musl && !is_preloaded(),
                    false => !is_preloaded(),
                };
        }
        Some(modules)
    }

    /// The same from the lines of /proc/PID/maps (proc_pid_maps(5)).
    fn in_maps(maps: &[u8], trusted: &Trusted) -> Self {
        let mut modules = Self::default();
        let lines = || maps.split(|byte| *byte == b'\n').filter_map(|line| Some((line, mapping(line)?)));
        let has_systems = lines().any(|(_, (_, path))| trusted.is_systems(path));
        for (line, (range, path)) in lines() {
            let is_library = trusted.is_library(path, has_systems);
            let is_sensor = trusted.is_sensor(line, path);
            modules.has_library |= is_library;
            let is = |which: fn(&[u8]) -> bool| {
                is_library && path.file_name().is_some_and(|name| which(name.as_bytes()))
            };
            modules.has_glibc |= is(libraries::is_glibc);
            modules.has_musl |= is(libraries::is_musl);
            modules.has_sensor |= is_sensor;
            if is_library || is_sensor {
                modules.ranges.push(range);
            }
        }
        modules
    }

    /// Whether hooks tell of the process's calls.
    pub fn has_hooks(&self) -> bool {
        self.has_sensor && !self.is_off
    }

    /// Whether a call from this address is told of by a hook, or is libc's own in a process with hooks.
    pub fn tells_of(&self, address: u64) -> bool {
        self.has_hooks() && self.has(address)
    }

    /// Whether this can only change by an exec, where the process makes a call from this address. The loader,
    /// whose call is libc's, may be about to load the sensor; a program's own code runs after that. Libraries
    /// are loaded behind the sensor too, so that other code of a process with hooks is looked at once.
    pub fn is_settled(&self, address: u64) -> bool {
        match self.has_sensor {
            true => {
                let page = page_of(address);
                self.is_off || self.has(address) || self.others.iter().any(|(other, _)| *other == page)
            }
            false => self.is_alone || !self.has_library || !self.has(address),
        }
    }

    /// Takes over which other pages made calls.
    pub fn keep_others(&mut self, before: Self) {
        self.others = before.others;
    }

    /// Whether a call from this address is a loader's that may be about to load the sensor.
    pub fn awaits_sensor(&self, address: u64) -> bool {
        !self.has_sensor && !self.is_alone && !self.has_glibc && self.has(address)
    }

    /// Where a call from this address was made, if it went past the hooks of a process that has them: see
    /// [`modules::evident`]. The mappings are looked at once for each page of code, which makes few kinds of
    /// calls.
    pub fn evident(&mut self, call: &str, process: u32, address: u64, files: &mut Known) -> Option<Place> {
        if !self.has_hooks() || self.has(address) {
            return None;
        }
        let page = page_of(address);
        let known = self.others.iter().find(|(other, _)| *other == page);
        let place = match known {
            Some((_, place)) => place.clone(),
            None => {
                let mut memory = ProcessMemory { pid: process };
                let mappings = maps::of(process);
                let place = mappings
                    .and_then(|mappings| modules::evident(call, &mappings, address, &mut memory, files));
                if self.others.len() >= MOST_OTHERS {
                    self.others.clear();
                }
                self.others.push((page, place.clone()));
                place
            }
        };
        place.map(|place| Place { addr: address, ..place })
    }

    /// Whether the code at this address is a trusted file's.
    pub fn has(&self, address: u64) -> bool {
        self.ranges.iter().any(|(start, end)| (*start..=*end).contains(&address))
    }
}

fn is_off(environment: Option<&[u8]>) -> bool {
    environment.is_some_and(|all| all.split(|byte| *byte == 0).any(|variable| variable == b"GLASSBOX=off"))
}

/// The range and the path of a line that shows executable code of a file.
fn mapping(line: &[u8]) -> Option<((u64, u64), &Path)> {
    let mut rest = line;
    let mut word = || {
        let (word, behind) = rest.split_at(rest.iter().position(|byte| *byte == b' ')?);
        rest = behind.trim_ascii_start();
        std::str::from_utf8(word).ok()
    };
    let (start, end) = word()?.split_once('-')?;
    if word()?.as_bytes().get(2) != Some(&b'x') {
        return None;
    }
    let (_offset, _device, _inode) = (word()?, word()?, word()?);
    // Other memory has a name in brackets, in which a program may have a slash (`PR_SET_VMA_ANON_NAME`).
    let path = Some(rest).filter(|rest| rest.starts_with(b"/"))?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    // A package manager replaced the file meanwhile; what is mapped is the one that was scanned.
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Some(((number(start)?, number(end)?), Path::new(OsStr::from_bytes(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"55a0-55b0 r-xp 00000000 08:01 7  /usr/bin/cat\n\
        7f00000-7f10000 r--p 00000000 08:01 9  /usr/lib/libc.so.6\n\
        7f10000-7f20000 r-xp 00010000 08:01 9  /usr/lib/libc.so.6\n\
        7f30000-7f40000 r-xp 00000000 08:01 8  /opt/libglassbox.so\n\
        7f50000-7f60000 r-xp 00010000 08:01 9  /usr/lib/libc.so.6 (deleted)\n\
        7fff0-7fff8 r-xp 00000000 00:00 0  [vdso]\n\
        nonsense\n";

    fn trusted() -> Trusted {
        Trusted {
            libraries: vec!["/usr/lib/libc.so.6".into()],
            sensors: vec!["/opt/libglassbox.so".into()],
            ..Trusted::default()
        }
    }

    #[test]
    fn the_sensor_is_expected_where_the_environment_preloads_it() {
        let trusted = trusted();

        for (environment, is_preloaded) in [
            (&b"A=1\0LD_PRELOAD=/x/other.so:/run/libglassbox.so\0"[..], true),
            (b"LD_PRELOAD=/x/other.so\0B=/opt/libglassbox.so\0", false),
            (b"", false),
        ] {
            assert_eq!(is_preloaded, trusted.is_preloaded(Some(environment)));
        }
        assert!(trusted.is_preloaded(None));
    }

    #[test]
    fn calls_of_libc_and_the_sensor_are_told_by_hooks_where_the_sensor_is() {
        let modules = Modules::in_maps(MAPS, &trusted());

        let told: Vec<bool> = [0x7f1_1234, 0x7f3_0002, 0x7f5_0008, 0x55a8, 0x7f0_0008, 0xffff_0000]
            .iter()
            .map(|address| modules.tells_of(*address))
            .collect();
        assert_eq!(vec![true, true, true, false, false, false], told);
        assert!(modules.is_settled(0x7f1_1234));
    }

    #[test]
    fn sensor_that_is_switched_off_tells_of_nothing() {
        let modules =
            Modules { is_off: is_off(Some(b"A=1\0GLASSBOX=off\0")), ..Modules::in_maps(MAPS, &trusted()) };

        assert!(!modules.tells_of(0x7f1_1234) && modules.is_settled(0x7f1_1234));
        assert!(!is_off(Some(b"GLASSBOX=offshore\0XGLASSBOX=off\0")) && !is_off(None));
    }

    #[test]
    fn a_program_is_off_as_its_environment_said_when_it_was_looked_at_first() {
        let mut switched = Switched::default();
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        // It sleeps once it has begun.
        let stat = format!("/proc/{}/stat", child.id());
        while !std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains("(sleep) S ")) {
            std::thread::yield_now();
        }

        let first = switched.is_off(own, Some(b"GLASSBOX=off\0"));
        let written_over = switched.is_off(own, Some(b"sleeper: idle\0"));
        let other = [&b"A=1\0"[..], b"GLASSBOX=off\0"].map(|all| switched.is_off(child.id(), Some(all)));
        child.kill().unwrap();
        child.wait().unwrap();

        assert_eq!((true, true, [false, false]), (first, written_over, other));
        assert!(switched.is_off(u32::MAX / 2, Some(b"GLASSBOX=off\0")));
    }

    #[test]
    fn libc_of_a_container_lies_where_the_systems_is() {
        let trusted = Trusted { sensor_file: Some(FileId::default()), ..Trusted::default() };
        let has = |lines: &[&str]| {
            let lines: Vec<String> = lines
                .iter()
                .enumerate()
                .map(|(index, path)| format!("{0}000-{0}fff r-xp 00000000 08:01 9  {path}\n", index + 1))
                .collect();
            let modules = Modules::in_maps(lines.concat().as_bytes(), &trusted);
            (0..lines.len()).map(|index| modules.has((index as u64 + 1) << 12 | 5)).collect::<Vec<_>>()
        };

        let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
        assert_eq!(vec![true, true, false], has(&[libc, "/lib64/ld-linux-x86-64.so.2", "/tmp/libc.so.6"]));
        assert_eq!(vec![false, true], has(&["/tmp/libpthread.so.0", "/lib/ld-musl-x86_64.so.1"]));
        assert_eq!(vec![true, true], has(&["/nix/store/x/lib/libc.so.6", "/nix/store/x/lib/ld-linux.so.2"]));
        assert_eq!(vec![true, false], has(&["/lib/libc.so.6 (deleted)", "/library/libc.so.6"]));
    }

    #[test]
    fn without_the_sensor_no_hook_tells_and_it_may_yet_come() {
        let trusted = Trusted { sensors: Vec::new(), ..trusted() };
        let modules = Modules::in_maps(MAPS, &trusted);

        assert!(!modules.tells_of(0x7f1_1234));
        assert!(!modules.is_settled(0x7f1_1234) && modules.is_settled(0x55a8));
        assert!(Modules::in_maps(b"", &trusted).is_settled(0x55a8));
    }

    #[test]
    fn what_a_program_names_itself_is_no_library() {
        let trusted = Trusted { sensor_file: Some(FileId::default()), ..Trusted::default() };
        let has = |line: &str| Modules::in_maps(line.as_bytes(), &trusted).has(0x10001);

        assert!(has("10000-20000 r-xp 00010000 08:01 9  /any/libc.so.6\n"));
        for line in [
            "10000-20000 r-xp 00010000 00:01 9  /memfd:x/libc.so.6 (deleted)\n",
            "10000-20000 r-xp 00000000 00:00 0  [anon:/libc.so.6]\n",
            "10000-20000 r-xp 00000000 00:00 0 \n",
            "10000-20000 r-xp 00000000 00:00 0  /any/name\n",
        ] {
            assert!(!has(line), "{line}");
        }
    }

    #[test]
    fn sensor_of_a_container_is_known_by_its_file_and_awaited_until_libc_is_there() {
        let file = FileId { device: rustix::fs::makedev(8, 1), inode: 8 };
        let of = |file, maps: &[&str]| {
            let trusted = Trusted { sensor_file: Some(file), ..Trusted::default() };
            Modules::in_maps(maps.concat().as_bytes(), &trusted)
        };
        let (libc, loader, sensor) = (
            "10000-20000 r-xp 00010000 08:01 9  /any/libc.so.6\n",
            "30000-40000 r-xp 00010000 08:01 7  /any/ld-linux-x86-64.so.2\n",
            "50000-60000 r-xp 00000000 08:01 8  /any/name\n",
        );

        assert!(of(file, &[loader, libc, sensor]).tells_of(0x10001));
        // Another file, whatever its name is.
        let other = sensor.replace("8  /any/name", "6  /dev/.glassbox/libglassbox.so");
        assert!(!of(file, &[loader, libc, &other]).tells_of(0x10001));
        let awaits = |maps: &[&str], at| of(file, maps).awaits_sensor(at);
        assert!(awaits(&[loader], 0x30001) && !awaits(&[loader], 0x70001));
        assert!(!awaits(&[loader, libc], 0x30001) && !awaits(&[loader, sensor], 0x30001));
        // What the image preloads comes before the sensor.
        let preloaded = libc.replace("libc.so.6", "libpthread.so.0");
        assert!(awaits(&[loader, &preloaded], 0x30001));
        // This process has glibc, and no such sensor.
        let trusted = Trusted { is_libc_asked_about: true, sensor_file: Some(file), ..Trusted::default() };
        assert!(Modules::of(std::process::id(), &trusted, &mut Switched::default()).unwrap().is_alone);
        assert!(trusted.is_all_told_of(std::process::id()));
    }

    #[test]
    fn libraries_that_come_behind_the_sensor_are_looked_for_and_other_code_once() {
        let mut modules = Modules { has_sensor: true, ranges: vec![(0x1000, 0x2000)], ..Modules::default() };
        let before = Modules { others: vec![(page_of(0x9004), None)], ..Modules::default() };

        assert!(modules.is_settled(0x1004) && !modules.is_settled(0x9004));
        modules.keep_others(before);
        assert!(modules.is_settled(0x9004) && !modules.is_settled(0xa004));
    }

    #[test]
    fn a_loader_opens_to_read_and_maps_code() {
        let opens = |flags: i32| Awaited::is_a_loaders("openat", &[0, 0, flags as u64, 0, 0, 0]);

        assert!(opens(libc::O_CLOEXEC) && Awaited::is_a_loaders("mmap", &[0; 6]));
        assert!(!opens(libc::O_WRONLY) && !opens(libc::O_CREAT) && !Awaited::is_a_loaders("unlink", &[0; 6]));
    }

    #[test]
    fn a_loader_that_never_loads_the_sensor_is_not_waited_for_for_ever() {
        let mut awaited = Awaited::default();
        let of_this_process = || awaited.has_patience(std::process::id());

        let patient = std::iter::repeat_with(of_this_process).take(MOST_AWAITED as usize + 9);

        assert_eq!(MOST_AWAITED as usize, patient.filter(|has_patience| *has_patience).count());
        assert!(!awaited.has_patience(u32::MAX / 2));
    }
}
