//! The constructor: finds the loader's list of images, and hands a ring to the collector if one listens.
//!
//! Runs once in each image, in the thread that starts it, before `main`. Where the constructor of another
//! library runs first and calls a wrapped function, it attaches in that call ([`Early`]). When something is
//! not as expected, it returns: the hooks then only call the real functions. It keeps no descriptor, starts
//! no thread, changes no limit and no signal. It waits in two cases, for a bounded time: at a socket where
//! many others wait, and for a listener's proof ([`crate::start::door`]).

use core::ffi::{CStr, c_char, c_int};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use wire::hello::Joined;

use crate::calls::exits;
use crate::process;
use crate::reach::elf::{self, Image};
use crate::reach::maps::{self, Auxiliary, Beginning, is_late};
use crate::reach::{got, inline, real, stdio};
use crate::record::capture;
use crate::start::environ::{self, Wishes};
use crate::start::hello::attach;
use crate::start::image::Start;
use crate::sys;

/// The constructor, or an earlier call, has begun.
static HAS_BEGUN: AtomicBool = AtomicBool::new(false);

/// The engine that the environment names (`GLASSBOX_INLINE`), until it was loaded.
static ENGINE: AtomicPtr<c_char> = AtomicPtr::new(null_mut());
/// The streams count.
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

/// The constructor. glibc passes `main`'s arguments, musl passes nothing: so nothing is taken from here.
pub extern "C" fn start() {
    let Some(auxiliary) = maps::find_anew() else { return };
    start_with(&auxiliary);
    change_libc(auxiliary.get(libc::AT_EUID).unwrap_or(0) as u32);
}

/// The first wrapped call, before the constructor: libc runs, as far as it knows the environment.
pub enum Early {}

impl Beginning for Early {
    fn early(auxiliary: &Auxiliary) {
        if !environ::at_start().is_null() {
            start_with(auxiliary);
        }
    }
}

fn start_with(auxiliary: &Auxiliary) {
    // `glassbox attach`, which loads the sensor into a running program, calls `join` next, and names the
    // socket.
    if !is_late() && !HAS_BEGUN.swap(true, Ordering::Relaxed) {
        begin(auxiliary, None);
    }
}

/// Joins a program that runs already: `glassbox attach` calls this, the library's entry point, once it has
/// loaded us. `socket` is where the collector listens. Gives a [`Joined`] as a number.
///
/// # Safety
/// `socket` is a C string.
pub unsafe extern "C" fn join(socket: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    let (Some(socket), Some(auxiliary)) = (unsafe { capture::text(socket, 108) }, maps::find_anew()) else {
        return Joined::NotHere as c_int;
    };
    let joined = match (is_late(), process::ring()) {
        (true, None) => begin(&auxiliary, Some(socket)),
        (_, Some(_)) => Joined::Already,
        (false, None) => Joined::NotHere,
    };
    if joined == Joined::Seen {
        let [_, euid, ..] = sys::ids();
        change_libc(euid);
        got::take_over();
    }
    joined as c_int
}

/// Attaches this process to a collector: the one that listens at `socket`, else where the environment says.
fn begin(auxiliary: &Auxiliary, socket: Option<&'static [u8]>) -> Joined {
    use_vdso(auxiliary);
    let began_ns = sys::now_ns();
    let own = maps::OWN_MAP.load(Ordering::Relaxed) as *const elf::LinkMap;
    if own.is_null() {
        return Joined::NotHere;
    }
    let Some(image) = Start::of(auxiliary) else { return Joined::NotHere };
    // SAFETY: the kernel's string.
    let executed = unsafe { capture::text(image.path, 4096) }.unwrap_or_default();
    let mut wishes = match image.is_secure {
        true => Wishes::NONE,
        // SAFETY: the program's environment.
        false => unsafe { environ::read(image.environment, executed) },
    };
    if wishes.is_off && socket.is_none() {
        return Joined::NotHere;
    }
    wishes.socket = socket.or(wishes.socket);
    // SAFETY: our own entry.
    let library = unsafe { elf::name_of(own) }.to_bytes();
    if !image.is_secure || socket.is_some() {
        // SAFETY: the program's environment; the sensor begins here.
        unsafe { environ::remember(image.environment, library, socket) };
    }
    process::watch_threads(real::global(c"__libc_single_threaded"));
    let ring = attach(&wishes, &image);
    if image.is_secure && !is_late() {
        // SAFETY: the program's environment, in its only thread.
        unsafe { environ::drop_ours(image.environment) };
    }
    let Some(ring) = ring else { return Joined::Unseen };
    ENGINE.store(wishes.inline.map_or(null_mut(), |engine| engine.as_ptr().cast_mut()), Ordering::Relaxed);
    ring.slot(0).start_ns.store(sys::now_ns().saturating_sub(began_ns), Ordering::Relaxed);
    Joined::Seen
}

/// What changes libc's own functions. Not in a call that another library's constructor makes: it may hold a
/// lock that the loader needs for the engine, and look at errno afterwards.
fn change_libc(euid: u32) {
    let Some(ring) = process::ring().filter(|_| !IS_COUNTING.swap(true, Ordering::Relaxed)) else { return };
    let began_ns = sys::now_ns();
    stdio::begin();
    let engine = ENGINE.swap(null_mut(), Ordering::Relaxed);
    if !engine.is_null() {
        // SAFETY: a string of the program's environment, from `begin`.
        let engine = unsafe { CStr::from_ptr(engine) };
        inline::begin(engine, euid);
    }
    ring.slot(0).start_ns.fetch_add(sys::now_ns().saturating_sub(began_ns), Ordering::Relaxed);
}

/// The destructor, at a normal exit: notes the usage. Nothing that matters waits for it.
pub extern "C" fn finish() {
    exits::note_usage();
}

fn use_vdso(auxiliary: &Auxiliary) {
    let Some(start) = auxiliary.get(libc::AT_SYSINFO_EHDR).filter(|start| *start != 0) else { return };
    let name = if cfg!(target_arch = "x86_64") { c"__vdso_clock_gettime" } else { c"__kernel_clock_gettime" };
    // SAFETY: the kernel's word for where the vDSO is mapped.
    if let Some(clock) = unsafe { Image::at(start) }.and_then(|image| image.symbol(name)) {
        sys::use_clock(clock);
    }
}
