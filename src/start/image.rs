//! The image that starts, as the kernel and the loader describe it, and its first record.

use core::ffi::{CStr, c_char};

use wire::events::ProcessStart;
use wire::fields::{AT_FDCWD, Args, Environment, Hidden, Path, Vector};
use wire::record::Flags;

use crate::reach::maps::{Auxiliary, is_late};
use crate::record::call::Row;
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
    arguments: Strings,
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
            // SAFETY: checked there.
            arguments: unsafe { arguments_before(environment, path) },
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

    /// Writes the image's first record. A collector that `is_near` finds the image's file itself.
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
        // An image run by descriptor has a name only in /proc.
        let named = executed.filter(|path| !path.starts_with(b"/dev/fd/"));
        if is_near && named.is_some() {
            return self.write(cwd, named, &[], None);
        }
        match sys::readlink(EXE, &mut [0; SHORT]) {
            Ok(image) if image.len() < SHORT => self.write(cwd, named, image, None),
            _ => self.report_long(cwd, named, executed),
        }
    }

    #[cold]
    #[inline(never)]
    fn report_long(&self, cwd: &[u8], named: Option<&[u8]>, executed: Option<&[u8]>) {
        let mut buffer = [0; 4096];
        let image = sys::readlink(EXE, &mut buffer).ok().or(executed).unwrap_or_default();
        self.write(cwd, named, image, None);
    }

    /// A program that runs may have written over what it was started with (setproctitle does): /proc knows.
    #[cold]
    #[inline(never)]
    fn report_late(&self) {
        let (mut cwd, mut image, mut arguments) = ([0; 4096], [0; 4096], [0; 4096]);
        let len = sys::read_file(c"/proc/self/cmdline", &mut arguments).ok();
        self.write(
            sys::getcwd(&mut cwd).unwrap_or_default(),
            None,
            sys::readlink(EXE, &mut image).unwrap_or_default(),
            len.and_then(|len| arguments.get(..len)),
        );
    }

    /// The record: `named` is what was executed, by a name; `arguments` are as /proc shows them, if they were
    /// asked for.
    #[inline(never)]
    fn write(&self, cwd: &[u8], named: Option<&[u8]>, image: &[u8], arguments: Option<&[u8]>) {
        let mut shown = [core::ptr::null(); SHOWN];
        let (argv, flags) = match arguments {
            Some(strings) => packed(strings),
            None => capture::arguments(&mut Probe::believing(), self.arguments).unwrap_or((Args::NONE, 0)),
        };
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
            },
        );
    }
}

/// Room for a path of everyday length.
const SHORT: usize = 512;
pub const EXE: &CStr = c"/proc/self/exe";

/// An argument vector as /proc shows it, and the record's flags if it was cut in the middle of a string.
fn packed(strings: &[u8]) -> (Args<'_>, u8) {
    let end = strings.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
    let flags = if end < strings.len() { Flags::TRUNCATED } else { 0 };
    (Args::Packed(strings.get(..end).unwrap_or_default()), flags)
}

/// The argument vector, which stands before the environment on the initial stack: found from there, since
/// musl passes it to no constructor. Null when the environment is not the one the kernel laid out.
///
/// # Safety
/// `environment` is a null-terminated array; `name` is AT_EXECFN, which lies above it on the initial stack.
unsafe fn arguments_before(environment: Strings, name: *const c_char) -> Strings {
    // The kernel allows arguments and environment a quarter of the stack limit, at most 6 MiB (execve(2)).
    let distance = (name as usize).wrapping_sub(environment as usize);
    if name.is_null() || distance > 8 << 20 {
        return core::ptr::null();
    }
    let words = environment.cast::<usize>();
    // From the null that ends the arguments downwards, until a word says how many there were between.
    for count in 0..distance / size_of::<usize>() {
        // SAFETY: below the environment stand the null, `count` pointers and their count; the walk ends
        // there.
        if unsafe { words.sub(count + 2).read() } == count {
            // SAFETY: as above.
            return unsafe { environment.sub(count + 1) };
        }
    }
    core::ptr::null()
}

/// The variables that matter to the loader, and the sensor's own.
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
        let is_shown = unsafe { capture::text(string, 9) }
            .is_some_and(|variable| variable.starts_with(b"LD_") || variable.starts_with(b"GLASSBOX"));
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
