//! The image that starts, as the kernel and the loader describe it, and its first record.

use core::ffi::{CStr, c_char};

use wire::events::ProcessStart;
use wire::fields::{AT_FDCWD, Args, Environment, Hidden, Path, Vector};
use wire::record::Flags;

use crate::arch;
use crate::reach::maps::{Auxiliary, is_late};
use crate::record::call::Row;
use crate::record::capture::Arguments;
use crate::record::probe::{self, Probe};
use crate::record::{capture, emit};
use crate::start::environ;
use crate::sys;

type Strings = *const *const c_char;

/// Most environment variables shown in `process.start`.
const SHOWN: usize = 16;

/// The image that starts, as the kernel and the loader describe it.
pub struct Start {
    pub environment: Strings,
    /// The program that was executed is the loader itself (`ld.so PROGRAM`), which has taken its own
    /// arguments out of the vector by now.
    is_by_loader: bool,
    pub path: *const c_char,
    uid: u32,
    pub euid: u32,
    gid: u32,
    egid: u32,
    pub pid: u32,
    pub ppid: u32,
    /// The kernel says that the program has rights which its starter may not have: set-uid, set-gid, file
    /// capabilities (`AT_SECURE`, getauxval(3)).
    pub is_secure: bool,
}

impl Start {
    pub fn of(auxiliary: &Auxiliary) -> Option<Self> {
        let environment = environ::at_start();
        let path = auxiliary.get(libc::AT_EXECFN).unwrap_or(0) as *const c_char;
        if environment.is_null() {
            return None;
        }
        // The ids at the start, by the auxiliary vector, or the present ones.
        let [uid, euid, gid, egid] = match is_late() {
            false => [libc::AT_UID, libc::AT_EUID, libc::AT_GID, libc::AT_EGID]
                .map(|key| auxiliary.get(key).unwrap_or(0) as u32),
            true => sys::ids(),
        };
        Some(Self {
            environment,
            is_by_loader: auxiliary.get(libc::AT_BASE) == Some(0),
            path,
            uid,
            euid,
            gid,
            egid,
            pid: sys::getpid(),
            ppid: sys::getppid(),
            is_secure: auxiliary.get(libc::AT_SECURE).is_some_and(|word| word != 0),
        })
    }

    /// Writes the image's first record. A collector that `is_near` finds the image's path itself.
    ///
    /// Long paths have functions of their own: their buffers are pages of stack that the program may never
    /// touch, and each costs its start a fault.
    pub fn report(&self, is_near: bool) {
        if is_late() {
            return self.report_late();
        }
        // SAFETY: the kernel's string.
        let executed = unsafe { capture::text(self.path, 4096) };
        match sys::getcwd(&mut [0; SHORT]) {
            Ok(cwd) => self.report_from(cwd, executed, is_near),
            Err(_) => self.report_from_afar(executed, is_near),
        }
    }

    #[cold]
    #[inline(never)]
    fn report_from_afar(&self, executed: Option<&[u8]>, is_near: bool) {
        self.report_from(sys::getcwd(&mut [0; 4096]).unwrap_or_default(), executed, is_near);
    }

    fn report_from(&self, cwd: &[u8], executed: Option<&[u8]>, is_near: bool) {
        let name = self.name();
        // An image run by descriptor has a name only in /proc.
        let named = executed.filter(|_| name != Name::Descriptor);
        if is_near && name == Name::Image {
            return self.write(cwd, named, &[], self.arguments());
        }
        match sys::readlink(EXE, &mut [0; SHORT]) {
            Ok(image) if image.len() < SHORT => self.write(cwd, named, image, self.arguments()),
            _ => self.report_long(cwd, named, executed),
        }
    }

    #[cold]
    #[inline(never)]
    fn report_long(&self, cwd: &[u8], named: Option<&[u8]>, executed: Option<&[u8]>) {
        let mut buffer = [0; 4096];
        let image = sys::readlink(EXE, &mut buffer).ok().or(executed).unwrap_or_default();
        self.write(cwd, named, image, self.arguments());
    }

    /// A program that runs may have written over what it was started with (setproctitle does): /proc knows.
    #[cold]
    #[inline(never)]
    fn report_late(&self) {
        let (mut cwd, mut image, mut arguments) = ([0; 4096], [0; 4096], [0; 4096]);
        let len = sys::read_file(c"/proc/self/cmdline", &mut arguments).unwrap_or(0);
        self.write(
            sys::getcwd(&mut cwd).unwrap_or_default(),
            None,
            sys::readlink(EXE, &mut image).unwrap_or_default(),
            shown(arguments.get(..len).unwrap_or_default()),
        );
    }

    /// The image's file, for the collector to compare with the one that the kernel shows.
    pub fn file(&self) -> [u64; 2] {
        let path = if self.name() == Name::Image { self.path } else { EXE.as_ptr() };
        sys::file(path).unwrap_or_default()
    }

    /// Whether the image was executed by a path of its own file.
    fn name(&self) -> Name {
        // SAFETY: the kernel's string.
        let Some(executed) = (unsafe { capture::text(self.path, 4096) }) else { return Name::Descriptor };
        if is_late() || self.is_script(executed) {
            return Name::Other;
        }
        // execveat(2) of a descriptor; and the links of /proc, which are gone when that is closed.
        match executed.starts_with(b"/dev/fd/") {
            true => Name::Descriptor,
            false if executed.starts_with(b"/proc/") => Name::Other,
            false => Name::Image,
        }
    }

    /// Whether what was executed may be a script: the kernel passes its path to the interpreter, behind up to
    /// two words for each interpreter of an interpreter (execve(2)). A program that was given its own path is
    /// taken for one.
    fn is_script(&self, executed: &[u8]) -> bool {
        const MOST_WORDS: usize = 10;
        // SAFETY: checked there.
        let vector = unsafe { arguments_before(self.environment, self.path) };
        if vector.is_null() {
            return false;
        }
        let is_executed = |argument: *const c_char| {
            // SAFETY: the kernel's string; a longer one is another.
            let text = unsafe { capture::text(argument, executed.len() + 1) };
            text == Some(executed)
        };
        (0..=MOST_WORDS)
            // SAFETY: an element of the vector, or the null at its end.
            .map(|index| unsafe { vector.add(index).read() })
            .take_while(|argument| !argument.is_null())
            .skip(1)
            .any(is_executed)
    }

    /// The argument vector as the kernel passed it.
    fn arguments(&self) -> Arguments<'static> {
        let vector = match self.is_by_loader {
            true => core::ptr::null(),
            // SAFETY: checked there.
            false => unsafe { arguments_before(self.environment, self.path) },
        };
        match vector.is_null() {
            true => strings_of_stack(self.path),
            false => capture::arguments(&mut Probe::believing(), vector).unwrap_or(Arguments::NONE),
        }
    }

    /// The record: `named` is what was executed, by a name.
    #[inline(never)]
    fn write(&self, cwd: &[u8], named: Option<&[u8]>, image: &[u8], arguments: Arguments<'_>) {
        let mut shown = [core::ptr::null(); SHOWN];
        let Arguments { argv, flags, argc } = arguments;
        // SAFETY: the program's environment.
        let env = Environment(unsafe { shown_environment(self.environment, &mut shown) });
        emit::before(
            if is_late() { Row::NONE.redirected() } else { Row::NONE },
            flags,
            &ProcessStart {
                path: Path { dir: AT_FDCWD, raw: named.or(Some(image)) },
                argv,
                cwd,
                gid: self.gid,
                egid: self.egid,
                env,
                image: Hidden(image),
                real_uid: Hidden(self.uid),
                effective_uid: Hidden(self.euid),
                parent: Hidden(self.ppid),
                argc,
            },
        );
    }
}

/// The name that an image was executed by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// The path of its file.
    Image,
    /// The path of a script, or a link of /proc.
    Other,
    /// None: execveat(2) of a descriptor.
    Descriptor,
}

/// Room for a path of everyday length.
const SHORT: usize = 512;
pub const EXE: &CStr = c"/proc/self/exe";

/// An argument vector as /proc shows it, cut if it ends in the middle of a string.
fn shown(strings: &[u8]) -> Arguments<'_> {
    let end = strings.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
    let flags = if end < strings.len() { Flags::TRUNCATED } else { 0 };
    let argv = Args::Packed(strings.get(..end).unwrap_or_default());
    Arguments { argv, flags, ..Arguments::NONE }
}

/// The kernel allows arguments and environment a quarter of the stack limit, at most 6 MiB (execve(2)).
const MOST_STRINGS: usize = 8 << 20;

/// The argument vector, which stands before the environment on the initial stack: found from there, since
/// musl passes it to no constructor. Null when the environment is not the one the kernel laid out.
///
/// # Safety
/// `environment` is a null-terminated array; `name` is AT_EXECFN, which lies above it on the initial stack.
unsafe fn arguments_before(environment: Strings, name: *const c_char) -> Strings {
    let distance = (name as usize).wrapping_sub(environment as usize);
    let above = (environment as usize).saturating_sub(arch::stack_pointer());
    if name.is_null() || distance > MOST_STRINGS {
        return core::ptr::null();
    }
    let words = environment.cast::<usize>();
    // From the null that ends the arguments downwards, until a word says how many there were between.
    for count in 0..(above / size_of::<usize>()).saturating_sub(2) {
        // SAFETY: below the environment stand the null, `count` pointers and their count; the walk ends
        // there, and never leaves the stack.
        if unsafe { words.sub(count + 2).read() } == count {
            // SAFETY: as above.
            return unsafe { environment.sub(count + 1) };
        }
    }
    core::ptr::null()
}

/// The strings of the argument vector, which the kernel put onto the stack one behind the other, by its own
/// word on where: for an image whose vector was changed, or cannot be found.
#[cold]
#[inline(never)]
fn strings_of_stack(name: *const c_char) -> Arguments<'static> {
    let mut text = [0; 1024];
    let len = sys::read_file(c"/proc/self/stat", &mut text).unwrap_or(0);
    let Some((start, end)) = text.get(..len).and_then(place_of_strings) else { return Arguments::NONE };
    // Those of the image that starts lie below the name that it was executed by.
    let is_below = arch::stack_pointer() < start && start <= end && end <= name as usize;
    if !is_below || end - start > MOST_STRINGS {
        return Arguments::NONE;
    }
    // SAFETY: on the initial stack, between here and its end.
    Arguments::packed(unsafe { core::slice::from_raw_parts(start as *const u8, end - start) })
}

/// The addresses between which the argument strings lie: the 48th and the 49th field of
/// proc_pid_stat(5), which counts from 1. The second is a name that may hold anything, in parentheses.
fn place_of_strings(stat: &[u8]) -> Option<(usize, usize)> {
    let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let mut fields = stat.get(behind_name..)?.split(|byte| *byte == b' ').skip(48 - 3);
    let mut address = || core::str::from_utf8(fields.next()?).ok()?.parse().ok();
    Some((address()?, address()?))
}

/// Variables that are shown: those that the loader reads, and the proxies that programs go through. Programs
/// read the latter in either case.
const SHOWN_NAMES: [&[u8]; 4] = [b"GLIBC_TUNABLES=", b"HTTP_PROXY=", b"HTTPS_PROXY=", b"ALL_PROXY="];
/// The length of the longest of these.
const LONGEST_SHOWN: usize = 15;

/// Whether a variable of this beginning is shown.
fn is_shown(variable: &[u8]) -> bool {
    let is_called = |name: &&[u8]| {
        variable.get(..name.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(name))
    };
    variable.starts_with(b"LD_") || variable.starts_with(b"GLASSBOX") || SHOWN_NAMES.iter().any(is_called)
}

/// The variables that matter to the loader, those of proxies, and the sensor's own.
///
/// # Safety
/// `environment` is a null-terminated array of C strings.
unsafe fn shown_environment<'s>(environment: Strings, shown: &'s mut [*const u8; SHOWN]) -> Args<'s> {
    let (mut count, mut len_bytes, mut index) = (0, 0, 0);
    loop {
        // SAFETY: the caller's promise; the walk stops at the null.
        let string = unsafe { environment.add(index).read() };
        if string.is_null() {
            break;
        }
        index += 1;
        // SAFETY: a C string.
        let is_shown = unsafe { capture::text(string, LONGEST_SHOWN) }.is_some_and(is_shown);
        if is_shown && let Some(place) = shown.get_mut(count) {
            *place = string.cast();
            // SAFETY: a C string.
            len_bytes += unsafe { probe::length(string, 4096) } + 1;
            count += 1;
        }
    }
    // SAFETY: `count` strings were put there.
    Args::Vector(unsafe { Vector::new(shown.as_ptr(), count, len_bytes) })
}
