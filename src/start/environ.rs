//! Carrying the sensor into the next image: `LD_PRELOAD` and `GLASSBOX_*`, in each environment that the
//! program passes.
//!
//! The variables were copied at start, because a program may overwrite its environment's memory (setproctitle
//! does). An environment that has them already, which is the rule, is passed on untouched. One that lacks
//! them is passed as a new array of pointers, on the stack while it is small. The sensor is appended to a
//! program's own `LD_PRELOAD`.
//!
//! `system` and `popen` read `environ` inside libc, so the variables are lent to `environ`: see [`Loan`] and
//! `docs/adr/0006-lending-environ.md`.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::ptr::null;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use wire::hello::{CONTAINER_VARIABLE, MAX_CONTAINER};

use crate::process::{self, Seal};
use crate::reach::real;
use crate::record::capture;
use crate::record::probe::Probe;
use crate::sys::{self, Errno};

type Strings = *const *const c_char;

/// Bytes kept of our own variables.
const KEPT: usize = 4096;
/// Variables kept: LD_PRELOAD and GLASSBOX_*.
const MOST_KEPT: usize = 8;
/// Pointers of a merged environment that fit on the stack.
const SMALL: usize = 160;
/// Bytes of a merged LD_PRELOAD that fit on the stack.
const SMALL_STRING: usize = 512;

/// Our variables, as `NAME=value` strings one after the other; written once, by the constructor. The order of
/// the fields touches the fewest pages.
#[repr(C)]
struct Kept {
    /// The address of the program's `environ` variable; 0 until it was looked for.
    environ: AtomicUsize,
    used: AtomicUsize,
    /// Offsets of the strings; the first is LD_PRELOAD with the sensor alone, if there is one.
    starts: [AtomicUsize; MOST_KEPT],
    count: AtomicUsize,
    /// Whether the first string is our LD_PRELOAD.
    has_preload: AtomicUsize,
    bytes: UnsafeCell<[u8; KEPT]>,
}

// SAFETY: `bytes` is written by `keep` alone, in the constructor, before `count` is raised; then only read.
unsafe impl Sync for Kept {}

static OURS: Kept = Kept {
    environ: AtomicUsize::new(0),
    used: AtomicUsize::new(0),
    starts: [const { AtomicUsize::new(0) }; MOST_KEPT],
    count: AtomicUsize::new(0),
    has_preload: AtomicUsize::new(0),
    bytes: UnsafeCell::new([0; KEPT]),
};

const PRELOAD: &[u8] = b"LD_PRELOAD=";
const PREFIX: &[u8] = b"GLASSBOX";
const SOCKET: &[u8] = b"GLASSBOX_SOCKET=";
const INLINE: &[u8] = b"GLASSBOX_INLINE=";
/// Stands in every environment of an AWS Lambda sandbox: of the function and of extensions, ours and other
/// vendors'.
const LAMBDA: &[u8] = b"AWS_LAMBDA_RUNTIME_API=";
/// One of these stands in a function's environment only (AWS, "Lambda Extensions API", environment
/// variables).
const FUNCTION: [&[u8]; 2] = [b"_HANDLER=", b"LAMBDA_TASK_ROOT="];
/// The sandbox's folder of extensions.
const EXTENSIONS: &[u8] = b"/opt/extensions/";
/// Makes the images inside a seccomp filter that kills for the calls of our constructor, and their children,
/// run without the sensor.
const BARRED: &CStr = c"GLASSBOX_BARRED=seccomp";

static IS_BARRED: AtomicBool = AtomicBool::new(false);

/// Whether [`bar`] was called.
pub fn is_barred() -> bool {
    IS_BARRED.load(Ordering::Relaxed)
}

/// Whether the images that follow are given variables: this one reports or did, or is barred from it.
#[inline(always)]
pub fn is_carrying() -> bool {
    process::is_watched() || is_barred()
}

/// Says that no image of this process can report from here on.
pub fn bar() {
    IS_BARRED.store(true, Ordering::Relaxed);
}

/// Appends `parts`, joined, as one string to what is kept. Called by the constructor only.
fn keep(parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let start = OURS.used.load(Ordering::Relaxed);
    let count = OURS.count.load(Ordering::Relaxed);
    let Some(place) = OURS.starts.get(count) else { return };
    // SAFETY: the constructor runs before any other thread could get here.
    let bytes = unsafe { &mut *OURS.bytes.get() };
    let Some(mut rest) = bytes.get_mut(start..start + len + 1) else { return };
    for part in parts {
        let Some((now, later)) = rest.split_at_mut_checked(part.len()) else { return };
        now.copy_from_slice(part);
        rest = later;
    }
    place.store(start, Ordering::Relaxed);
    OURS.used.store(start + len + 1, Ordering::Relaxed);
    // Release: publishes the string. Pairs with the Acquire load in `kept`.
    OURS.count.store(count + 1, Ordering::Release);
}

fn kept(index: usize) -> Option<&'static [u8]> {
    if index >= OURS.count.load(Ordering::Acquire) {
        return None;
    }
    let start = OURS.starts.get(index)?.load(Ordering::Relaxed);
    // SAFETY: written before `count` was raised, never again.
    let bytes = unsafe { &*OURS.bytes.get() }.get(start..)?;
    CStr::from_bytes_until_nul(bytes).ok().map(CStr::to_bytes)
}

/// One environment's strings.
///
/// # Safety
/// `environment` is null or a null-terminated array of C strings.
unsafe fn each(environment: Strings) -> impl Iterator<Item = &'static [u8]> {
    // SAFETY: the caller's promise.
    unsafe { each_if(environment, |_| true) }
}

/// As [`each`], with an empty string in the place of each that cannot be one of [`PRELOAD`] and [`PREFIX`]:
/// the others are not even measured.
///
/// # Safety
/// As for [`each`].
unsafe fn each_of_interest(environment: Strings) -> impl Iterator<Item = &'static [u8]> {
    // SAFETY: the caller's promise.
    unsafe { each_if(environment, |first| first == PRELOAD.first() || first == PREFIX.first()) }
}

/// # Safety
/// As for [`each`].
unsafe fn each_if(
    environment: Strings,
    is_wanted: impl Fn(Option<&u8>) -> bool,
) -> impl Iterator<Item = &'static [u8]> {
    (0..).map_while(move |index| {
        if environment.is_null() {
            return None;
        }
        // SAFETY: the caller's promise; the walk stops at the null.
        let string = unsafe { environment.add(index).read() };
        if string.is_null() {
            return None;
        }
        // SAFETY: a C string, of which one byte is there if only the NUL.
        let first = unsafe { capture::text(string, 1) }.and_then(<[u8]>::first);
        // SAFETY: a C string, longer than any that matters is cut.
        let text = if is_wanted(first) { unsafe { capture::text(string, 32 * 1024) } } else { None };
        Some(text.unwrap_or_default())
    })
}

/// The settings of the sensor in the environment.
pub struct Wishes {
    /// `GLASSBOX=off`, `GLASSBOX_BARRED`, or an extension of AWS Lambda.
    pub is_off: bool,
    /// `GLASSBOX_SOCKET`.
    pub socket: Option<&'static [u8]>,
    /// `GLASSBOX_INLINE`: the engine of [`crate::reach::inline`].
    pub inline: Option<&'static CStr>,
    /// `GLASSBOX_RING_KIB`: size of the ring's data in KiB.
    pub ring_kib: Option<u64>,
    /// `GLASSBOX_ARGV_KIB`: how much of an argument vector is copied, in KiB.
    pub argv_kib: Option<u64>,
    /// `GLASSBOX_TELL`: what is told only where it is asked for, names between commas.
    pub tell: &'static [u8],
    /// The value of [`wire::hello::CONTAINER_VARIABLE`]; empty where there is none.
    pub container: &'static [u8],
}

impl Wishes {
    /// Those of a program that heeds no variable.
    pub const NONE: Self = Self {
        is_off: false,
        socket: None,
        inline: None,
        ring_kib: None,
        argv_kib: None,
        tell: &[],
        container: &[],
    };
}

/// Reads the environment at start, of the image that was executed by the name `executed`.
///
/// # Safety
/// `environment` is a null-terminated array of C strings.
pub unsafe fn read(environment: Strings, executed: &[u8]) -> Wishes {
    let mut wishes = Wishes::NONE;
    let (mut is_in_lambda, mut is_of_function) = (false, false);
    let is_of_interest = |first: Option<&u8>| {
        [PREFIX, CONTAINER_VARIABLE, LAMBDA, FUNCTION[0], FUNCTION[1]]
            .iter()
            .any(|name| name.first() == first)
    };
    // SAFETY: the caller's promise.
    for variable in unsafe { each_if(environment, is_of_interest) } {
        if !variable.starts_with(PREFIX) {
            is_in_lambda |= variable.starts_with(LAMBDA);
            is_of_function |= FUNCTION.iter().any(|name| variable.starts_with(name));
            let value = variable.strip_prefix(CONTAINER_VARIABLE).and_then(|rest| rest.strip_prefix(b"="));
            if let Some(value) = value.filter(|value| value.len() <= MAX_CONTAINER) {
                wishes.container = value;
            }
        } else if is_off(variable) {
            wishes.is_off = true;
        } else if let Some(socket) = variable.strip_prefix(SOCKET) {
            wishes.socket = Some(socket).filter(|socket| !socket.is_empty());
        } else if let Some(path) = variable.strip_prefix(INLINE) {
            // SAFETY: the end of a C string.
            wishes.inline = (!path.is_empty()).then(|| unsafe { CStr::from_ptr(path.as_ptr().cast()) });
        } else if let Some(size) = variable.strip_prefix(b"GLASSBOX_RING_KIB=") {
            wishes.ring_kib = number(size);
        } else if let Some(size) = variable.strip_prefix(b"GLASSBOX_ARGV_KIB=") {
            wishes.argv_kib = number(size);
        } else if let Some(names) = variable.strip_prefix(b"GLASSBOX_TELL=") {
            wishes.tell = names;
        }
    }
    wishes.is_off |= is_in_lambda && (!is_of_function || executed.starts_with(EXTENSIONS));
    wishes
}

fn number(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok())
}

/// Copies our variables, for later images. `library` is the sensor's name as the loader was asked for it;
/// `socket` is the collector's, for a process that did not get it by its environment.
///
/// # Safety
/// As for [`read`]; called once, where the sensor begins.
pub unsafe fn remember(environment: Strings, library: &[u8], socket: Option<&[u8]>) {
    // SAFETY: the caller's promise.
    let preload =
        unsafe { each_of_interest(environment) }.find_map(|variable| variable.strip_prefix(PRELOAD));
    // Loaded by /etc/ld.so.preload, the next image gets us without the variable.
    if socket.is_some() || preload.is_some_and(|list| holds(list, library)) {
        keep(&[PRELOAD, library]);
        OURS.has_preload.store(1, Ordering::Relaxed);
    }
    if let Some(socket) = socket {
        keep(&[SOCKET, socket]);
        return;
    }
    // SAFETY: the caller's promise.
    for variable in unsafe { each_of_interest(environment) }.filter(|variable| variable.starts_with(PREFIX)) {
        keep(&[variable]);
    }
}

/// Takes our variables out of the environment of a program that got rights by its exec: its starter chose
/// them. The images that it starts may not know that, as where it becomes root for good and runs a tool. The
/// loader does the same with its own (ld.so(8), "secure-execution mode").
///
/// # Safety
/// `environment` is the program's own null-terminated array of C strings, and no other thread runs.
pub unsafe fn drop_ours(environment: Strings) {
    let array = environment.cast_mut();
    let (mut from, mut to) = (0, 0);
    loop {
        // SAFETY: the caller's promise; the walk stops at the null.
        let string = unsafe { array.add(from).read() };
        // SAFETY: a C string or null.
        if !unsafe { is_ours(string) } {
            // SAFETY: not behind the place that was read.
            unsafe { array.add(to).write(string) };
            to += 1;
        }
        if string.is_null() {
            return;
        }
        from += 1;
    }
}

/// Whether a variable is the sensor's.
///
/// # Safety
/// `string` is null or a C string.
unsafe fn is_ours(string: *const c_char) -> bool {
    // SAFETY: the caller's promise.
    let beginning = unsafe { capture::text(string, PREFIX.len()) };
    beginning == Some(PREFIX)
}

/// Whether a variable keeps the sensor from the images that have it.
fn is_off(variable: &[u8]) -> bool {
    variable == b"GLASSBOX=off" || variable == BARRED.to_bytes()
}

/// Whether a list of libraries, separated by colons or spaces (ld.so(8)), names `library`.
fn holds(list: &[u8], library: &[u8]) -> bool {
    list.split(|byte| *byte == b':' || *byte == b' ').any(|name| name == library)
}

/// The changes that make an environment carry the sensor.
#[derive(Default)]
struct Merge {
    /// Strings in it.
    count: usize,
    /// The place of an LD_PRELOAD that does not name us, and its value's length.
    preload_at: Option<(usize, usize)>,
    /// Ours that it lacks, a bit each by index.
    lacking: u32,
    /// Whether it lacks `GLASSBOX_BARRED`, and must have it.
    is_unbarred: bool,
}

impl Merge {
    /// # Safety
    /// As for [`each`].
    unsafe fn of(environment: Strings) -> Self {
        let is_watched = process::is_watched();
        let has_preload = is_watched && OURS.has_preload.load(Ordering::Relaxed) != 0;
        let count = if is_watched { OURS.count.load(Ordering::Acquire) } else { 0 };
        let is_unbarred = is_barred();
        let mut merge = Self { lacking: (1 << count) - 1, is_unbarred, ..Self::default() };
        let library = library();
        // SAFETY: the caller's promise.
        for (index, variable) in unsafe { each_of_interest(environment) }.enumerate() {
            merge.count = index + 1;
            match variable.first() {
                Some(b'L') if has_preload => {
                    if let Some(list) = variable.strip_prefix(PRELOAD) {
                        merge.lacking &= !1;
                        merge.preload_at = (!holds(list, library)).then_some((index, list.len()));
                    }
                }
                Some(b'G') if variable == b"GLASSBOX=off" => return Self::default(),
                Some(b'G') if variable == BARRED.to_bytes() => merge.is_unbarred = false,
                Some(b'G') if variable.starts_with(PREFIX) => {
                    let name = |variable: &'static [u8]| variable.split(|byte| *byte == b'=').next();
                    for own in usize::from(has_preload)..count {
                        if kept(own).and_then(name) == name(variable) {
                            merge.lacking &= !(1 << own);
                        }
                    }
                }
                _ => {}
            }
        }
        merge
    }

    fn is_needed(&self) -> bool {
        self.lacking != 0 || self.is_unbarred || self.preload_at.is_some()
    }

    fn pointers(&self) -> usize {
        self.count + MOST_KEPT + 2
    }

    /// Bytes of the merged LD_PRELOAD.
    fn string_len(&self) -> usize {
        self.preload_at.map_or(0, |(_, list)| PRELOAD.len() + list + 1 + kept(0).map_or(0, <[u8]>::len) + 1)
    }

    /// Writes the merged environment.
    ///
    /// # Safety
    /// `environment` is what this was made of, unchanged; `array` has room for [`Self::pointers`] pointers,
    /// `string` for [`Self::string_len`] bytes.
    unsafe fn write(&self, environment: Strings, array: *mut *const c_char, string: *mut u8) {
        let mut used = 0;
        for index in 0..self.count {
            // SAFETY: within both arrays.
            unsafe { array.add(index).write(environment.add(index).read()) };
            used = index + 1;
        }
        if let Some((index, list_len)) = self.preload_at {
            let own = library();
            // SAFETY: `string_len` bytes: the old string without its NUL, a colon if it holds anything, ours,
            // a NUL.
            unsafe {
                let old = array.add(index).read().cast::<u8>();
                let mut end = PRELOAD.len() + list_len;
                core::ptr::copy_nonoverlapping(old, string, end);
                if list_len > 0 {
                    string.add(end).write(b':');
                    end += 1;
                }
                core::ptr::copy_nonoverlapping(own.as_ptr(), string.add(end), own.len());
                string.add(end + own.len()).write(0);
                array.add(index).write(string.cast());
            }
        }
        for own in 0..MOST_KEPT {
            if self.lacking & 1 << own != 0
                && let Some(variable) = kept(own)
            {
                // SAFETY: `pointers` has room for all of ours and the null.
                unsafe { array.add(used).write(variable.as_ptr().cast()) };
                used += 1;
            }
        }
        if self.is_unbarred {
            // SAFETY: as above.
            unsafe { array.add(used).write(BARRED.as_ptr()) };
            used += 1;
        }
        // SAFETY: as above.
        unsafe { array.add(used).write(null()) };
    }
}

/// What an environment is passed on without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Omitted {
    Nothing,
    /// The sensor in `LD_PRELOAD`.
    Sensor,
    /// All that is ours, but for what keeps the sensor off.
    Everything,
}

/// The changes that leave ours out of an environment.
struct Omission {
    is_everything: bool,
    /// Strings in it.
    count: usize,
    /// The place of an LD_PRELOAD that names us, and its value's length.
    preload_at: Option<(usize, usize)>,
    /// Whether there is anything to leave out.
    is_needed: bool,
}

impl Omission {
    /// # Safety
    /// As for [`each`].
    unsafe fn of(environment: Strings, is_everything: bool) -> Self {
        let mut omission = Self { is_everything, count: 0, preload_at: None, is_needed: false };
        let library = library();
        // SAFETY: the caller's promise.
        for (index, variable) in unsafe { each_of_interest(environment) }.enumerate() {
            omission.count = index + 1;
            if let Some(list) = variable.strip_prefix(PRELOAD)
                && holds(list, library)
            {
                omission.preload_at = Some((index, list.len()));
                omission.is_needed = true;
            }
            omission.is_needed |= is_everything && variable.starts_with(PREFIX) && !is_off(variable);
        }
        omission
    }

    fn pointers(&self) -> usize {
        self.count + 1
    }

    /// Bytes of the LD_PRELOAD without us.
    fn string_len(&self) -> usize {
        self.preload_at.map_or(0, |(_, list)| PRELOAD.len() + list + 1)
    }

    /// Writes the environment without ours.
    ///
    /// # Safety
    /// As for [`Merge::write`].
    unsafe fn write(&self, environment: Strings, array: *mut *const c_char, string: *mut u8) {
        let mut used = 0;
        for index in 0..self.count {
            // SAFETY: within the array.
            let mut text = unsafe { environment.add(index).read() };
            // SAFETY: a C string, of which more is read than the longest that is kept has.
            let is_kept = || unsafe { capture::text(text, 32) }.is_some_and(is_off);
            // SAFETY: a C string.
            if self.is_everything && unsafe { is_ours(text) } && !is_kept() {
                continue;
            }
            if let Some((_, list_len)) = self.preload_at.filter(|(at, _)| *at == index) {
                // SAFETY: the variable that the plan measured.
                let list =
                    unsafe { core::slice::from_raw_parts(text.cast::<u8>().add(PRELOAD.len()), list_len) };
                let others =
                    list.split(|byte| *byte == b':' || *byte == b' ').filter(|name| *name != library());
                let mut end = 0;
                let mut put = |bytes: &[u8]| {
                    // SAFETY: no more than the variable, for which there is room.
                    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), string.add(end), bytes.len()) };
                    end += bytes.len();
                };
                put(PRELOAD);
                let mut is_any = false;
                for name in others.filter(|name| !name.is_empty()) {
                    if core::mem::replace(&mut is_any, true) {
                        put(b":");
                    }
                    put(name);
                }
                put(b"\0");
                if !is_any {
                    continue;
                }
                text = string.cast_const().cast();
            }
            // SAFETY: behind no place that was read.
            unsafe { array.add(used).write(text) };
            used += 1;
        }
        // SAFETY: `pointers` has room for the null.
        unsafe { array.add(used).write(null()) };
    }
}

/// The changes of an environment that is passed on.
enum Plan {
    Merge(Merge),
    Omission(Omission),
}

impl Plan {
    /// # Safety
    /// As for [`each`].
    unsafe fn of(environment: Strings, omitted: Omitted) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            match omitted {
                Omitted::Nothing => Self::Merge(Merge::of(environment)),
                omitted => Self::Omission(Omission::of(environment, omitted == Omitted::Everything)),
            }
        }
    }

    fn is_needed(&self) -> bool {
        match self {
            Self::Merge(merge) => merge.is_needed(),
            Self::Omission(omission) => omission.is_needed,
        }
    }

    fn pointers(&self) -> usize {
        match self {
            Self::Merge(merge) => merge.pointers(),
            Self::Omission(omission) => omission.pointers(),
        }
    }

    fn string_len(&self) -> usize {
        match self {
            Self::Merge(merge) => merge.string_len(),
            Self::Omission(omission) => omission.string_len(),
        }
    }

    /// # Safety
    /// As for [`Merge::write`].
    unsafe fn write(&self, environment: Strings, array: *mut *const c_char, string: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Merge(merge) => merge.write(environment, array, string),
                Self::Omission(omission) => omission.write(environment, array, string),
            }
        }
    }
}

/// The sensor's name as the loader was asked for it; empty where it was not, by a variable.
fn library() -> &'static [u8] {
    kept(0).and_then(|own| own.strip_prefix(PRELOAD)).unwrap_or_default()
}

/// Whether the next image's loader would look for the sensor in vain, and complain on its stderr: this
/// process's root, or its rights, no longer lead to it.
pub fn is_out_of_reach() -> bool {
    let library = library();
    // The loader expands a dollar (ld.so(8)), and searches a name without a slash.
    if process::seal() != Seal::Open || !library.contains(&b'/') || library.contains(&b'$') {
        return false;
    }
    // SAFETY: the end of a C string that is kept.
    let path = unsafe { CStr::from_ptr(library.as_ptr().cast()) };
    matches!(sys::may_read(path), Err(Errno(libc::ENOENT | libc::EACCES | libc::ENOTDIR | libc::ELOOP)))
}

/// Whether an exec with our variables might find arguments and environment too long (execve(2), "Limits on
/// size of arguments and environment"): for calls that cannot be made twice.
pub fn is_crowded(argv: Strings, environment: Strings) -> bool {
    /// What the kernel allows whatever the limit of the stack is, and whatever that limit is.
    const LEAST: u64 = 128 << 10;
    const MOST: u64 = 6 << 20;
    /// Our variables, the path, and what a script's first line adds.
    const ADDED: usize = 3 * KEPT;
    let size = |array| is_carrying().then(|| capture::size(&mut Probe::new(), array))?;
    let (Some(arguments), Some(variables)) = (size(argv), size(environment)) else { return false };
    let len = (arguments + variables + ADDED) as u64;
    // The kernel is asked for the limit where the stack of a small one would do.
    len > LEAST / 4 && {
        let stack = if process::seal() == Seal::Open { sys::soft_limit(libc::RLIMIT_STACK) } else { LEAST };
        len > (stack / 4).clamp(LEAST, MOST).min(stack)
    }
}

/// Calls `exec` with an environment that carries us, which is `environment` itself where it does, else a
/// copy that lives until `exec` returns; with one that does not where something is `omitted`. An exec that
/// fails because of the length of our variables (`is_too_long`) is made once more without them.
///
/// # Safety
/// `environment` is null or a null-terminated array of C strings.
pub unsafe fn carried(
    environment: Strings,
    omitted: Omitted,
    exec: &dyn Fn(Strings) -> c_int,
    is_too_long: fn(c_int) -> bool,
) -> c_int {
    // An array given may be bad, and then the kernel says so.
    let is_bad = || environment != current() && capture::size(&mut Probe::new(), environment).is_none();
    if !is_carrying() || is_bad() {
        return exec(environment);
    }
    // SAFETY: the caller's promise.
    let plan = unsafe { Plan::of(environment, omitted) };
    // SAFETY: the plan was made of this environment.
    let result = unsafe { by_plan(&plan, environment, exec) };
    if !is_too_long(result) {
        return result;
    }
    // SAFETY: as above.
    let least = unsafe { Plan::of(environment, Omitted::Everything) };
    // Otherwise it would be the same exec.
    if plan.is_needed() || least.is_needed() {
        // SAFETY: as above.
        return unsafe { by_plan(&least, environment, exec) };
    }
    result
}

/// # Safety
/// `plan` was made of `environment`, which is null or a null-terminated array of C strings.
unsafe fn by_plan(plan: &Plan, environment: Strings, exec: &dyn Fn(Strings) -> c_int) -> c_int {
    if !plan.is_needed() {
        exec(environment)
    } else if plan.pointers() <= SMALL && plan.string_len() <= SMALL_STRING {
        // SAFETY: the plan was made of this environment.
        unsafe { on_stack(plan, environment, exec) }
    } else {
        // SAFETY: the plan was made of this environment.
        unsafe { on_scratch(plan, environment, exec) }
    }
}

/// # Safety
/// `plan` was made of `environment` and is small.
#[inline(never)]
unsafe fn on_stack(plan: &Plan, environment: Strings, exec: &dyn Fn(Strings) -> c_int) -> c_int {
    let mut array = [null::<c_char>(); SMALL];
    let mut string = [0u8; SMALL_STRING];
    // SAFETY: both are as long as the caller checked.
    unsafe { plan.write(environment, array.as_mut_ptr(), string.as_mut_ptr()) };
    exec(array.as_ptr())
}

/// # Safety
/// `plan` was made of `environment`.
#[inline(never)]
unsafe fn on_scratch(plan: &Plan, environment: Strings, exec: &dyn Fn(Strings) -> c_int) -> c_int {
    let pointers = plan.pointers() * size_of::<*const c_char>();
    let len = pointers + plan.string_len();
    // A child that goes without us is better than an exec that fails.
    let Ok(scratch) = sys::map_anonymous(len) else { return exec(environment) };
    process::keep_scratch(scratch, len);
    // SAFETY: the mapping has room for both, one after the other.
    unsafe { plan.write(environment, scratch.cast(), scratch.add(pointers)) };
    let result = exec(scratch.cast_const().cast());
    process::drop_scratch();
    // SAFETY: the exec failed or the spawned child has its own copy: it is not used any more.
    unsafe { sys::unmap(scratch, len) };
    result
}

/// The address of the program's `environ` variable; 0 in a process without one.
fn look_up() -> usize {
    let address = real::global(c"environ").or_else(|| real::global(c"__environ")).unwrap_or(0);
    OURS.environ.store(address, Ordering::Relaxed);
    address
}

/// The program's `environ` variable; `None` in a process without one.
fn variable() -> Option<&'static AtomicPtr<*const c_char>> {
    let address = match OURS.environ.load(Ordering::Relaxed) {
        0 => look_up(),
        address => address,
    };
    // SAFETY: `char **environ` (environ(7)), aligned, and as long-lived as libc, or null. The program reads
    // and writes it as a plain word, which is what a relaxed atomic is.
    unsafe { (address as *const AtomicPtr<*const c_char>).as_ref() }
}

/// The content of `environ` at the start of the image.
pub fn at_start() -> Strings {
    // Not read before it is written, which would cost the fault of a page twice.
    look_up();
    current()
}

/// The content of `environ`.
pub fn current() -> Strings {
    variable().map_or(null(), |environ| environ.load(Ordering::Relaxed).cast_const())
}

/// The value of a variable in `environ`.
pub fn value_of(name: &[u8]) -> Option<&'static [u8]> {
    // SAFETY: `environ` is a null-terminated array of C strings.
    unsafe { each(current()) }.find_map(|variable| variable.strip_prefix(name)?.strip_prefix(b"="))
}

/// The lent environment: 0 while there is none. It is never unmapped, since another thread may be walking it.
static LENT: AtomicUsize = AtomicUsize::new(0);
static LENT_LEN: AtomicUsize = AtomicUsize::new(0);

/// Forgets the lent environment, because the program is about to take its memory away.
#[cold]
pub fn let_go(start: usize, len: usize) {
    let (lent, lent_len) = (LENT.load(Ordering::Relaxed), LENT_LEN.load(Ordering::Relaxed));
    if start < lent.saturating_add(lent_len) && start.saturating_add(len) > lent {
        LENT_LEN.store(0, Ordering::Relaxed);
        LENT.store(0, Ordering::Relaxed);
    }
}

/// Whether there is a lent environment.
#[inline(always)]
pub fn has_lent() -> bool {
    LENT.load(Ordering::Relaxed) != 0
}

/// Its users: the number of calls under way; [`BUILDING`] while it is being written.
static USERS: AtomicUsize = AtomicUsize::new(0);
static ORIGINAL: AtomicPtr<*const c_char> = AtomicPtr::new(core::ptr::null_mut());
const BUILDING: usize = usize::MAX;

/// `environ` pointing to a merged copy for the length of one call of system(3) or popen(3).
///
/// Only where a program has emptied its environment. The copy is never freed, so a thread that reads it
/// meanwhile is safe; a program that changes its environment meanwhile wins, and the copy then simply stays.
#[derive(Clone, Copy)]
pub struct Loan(bool);

impl Loan {
    /// Lends a merged environment if `environ` does not carry us.
    pub fn begin() -> Self {
        let (true, Some(environ)) = (process::is_watched(), variable()) else { return Self(false) };
        let original = environ.load(Ordering::Relaxed);
        let lent = LENT.load(Ordering::Relaxed);
        if lent != 0 && original as usize == lent {
            // Another thread's call is under way: use what it lent.
            let counted = USERS.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |users| {
                (users != 0 && users != BUILDING).then_some(users + 1)
            });
            return Self(counted.is_ok());
        }
        // SAFETY: `environ` is a null-terminated array of C strings, or null.
        let merge = unsafe { Merge::of(original.cast_const()) };
        if !merge.is_needed()
            || USERS.compare_exchange(0, BUILDING, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return Self(false);
        }
        let pointers = merge.pointers() * size_of::<*const c_char>();
        let Some(copy) = Self::room(pointers + merge.string_len()) else {
            USERS.store(0, Ordering::Release);
            return Self(false);
        };
        // SAFETY: the room is as long as asked.
        unsafe { merge.write(original.cast_const(), copy.cast(), copy.add(pointers)) };
        ORIGINAL.store(original, Ordering::Relaxed);
        let swapped =
            environ.compare_exchange(original, copy.cast(), Ordering::AcqRel, Ordering::Relaxed).is_ok();
        USERS.store(usize::from(swapped), Ordering::Release);
        Self(swapped)
    }

    fn room(len: usize) -> Option<*mut u8> {
        if LENT_LEN.load(Ordering::Relaxed) >= len {
            return Some(LENT.load(Ordering::Relaxed) as *mut u8);
        }
        let room = sys::map_anonymous(len.next_multiple_of(4096)).ok()?;
        LENT.store(room as usize, Ordering::Relaxed);
        LENT_LEN.store(len.next_multiple_of(4096), Ordering::Relaxed);
        Some(room)
    }

    /// Puts the program's own environment back, unless it has changed it meanwhile.
    pub fn end(self) {
        let Self(true) = self else { return };
        if USERS.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let Some(environ) = variable() else { return };
        let original = ORIGINAL.load(Ordering::Relaxed);
        let lent = LENT.load(Ordering::Relaxed) as *mut *const c_char;
        // setenv(3) replaces a variable in place: then the copy holds what the program wants.
        // SAFETY: both are null-terminated arrays of C strings.
        let unchanged = unsafe { each(original.cast_const()).count() <= each(lent.cast_const()).count() }
            && !Self::was_written(original.cast_const(), lent.cast_const());
        if unchanged {
            let _ = environ.compare_exchange(lent, original, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Whether a pointer of the copy is neither the original's nor ours.
    fn was_written(original: Strings, lent: Strings) -> bool {
        // SAFETY: `original` is null or what the copy was made of.
        let count = unsafe { each(original) }.count();
        (0..count).any(|index| {
            // SAFETY: both arrays have `count` pointers.
            let (old, new) = unsafe { (original.add(index).read(), lent.add(index).read()) };
            // SAFETY: a C string each.
            old != new && unsafe { capture::text(new, 16) }.is_none_or(|text| !text.starts_with(PRELOAD))
        })
    }
}
