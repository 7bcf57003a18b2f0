//! Calls that libc makes inside itself, where asked for: a second library, the engine (`inline/`), overwrites
//! the first instructions of the functions in [`FUNCTIONS`], so that every call of one comes here.
//!
//! The engine is named by `GLASSBOX_INLINE`; the constructor loads it once a collector has taken the ring. It
//! first copies each function's beginning, and the wrappers call the copy from then on; the entries are
//! changed when all wrappers know theirs. A call by an entry reaches a wrapper's twin, as with
//! [`super::got`], and its records say `via: inline`. If the engine cannot be loaded, nothing is changed.
//!
//! A wrapped function may call such an entry itself (`fopen` opens): the wrapper reports the call then, and
//! the entry must not report it again. So each thread keeps the kinds of events that the wrappers report in
//! which it runs.
//!
//! The same tells the collector which of libc's calls a hook tells of, where the kernel is asked about those
//! (`GLASSBOX_TELL=libc`, ADR 47): a record says when a thread enters the real function of a row, and when it
//! has left it.
//!
//! # Safety
//! The engine is our own code, chosen by the same party as the sensor: its file belongs to root or to this
//! user, and no other user may write to it. It is given addresses of functions, each with a replacement of
//! the same type.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use wire::events::Kind;

use crate::process;
use crate::reach::real::{Real, hooks};
use crate::record::call::Row;
use crate::start::door;
use crate::sys::{self, DescriptorName};

/// The functions that libc calls inside itself by addresses of its own, as far as the table has rows for
/// them. Without those that are only counted, which would cost every program.
const FUNCTIONS: &[u8] =
    b"open\0open64\0__open64_nocancel\0openat\0openat64\0execve\0socket\0connect\0bind\0unlink\0rmdir\0mkdir\0link\0";
/// No more entries than that.
const MOST: usize = 16;

/// One function, as the engine receives it; `inline/src/lib.rs` has the same.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    /// Its first instruction.
    function: *mut c_void,
    /// The function that its callers are to reach instead.
    replacement: *mut c_void,
    /// For the engine to fill in: a function that does the same as the old one. Null where there is none.
    original: *mut c_void,
}

/// The engine's one function: prepares the entries, and gives what changes them all.
type Prepare = unsafe extern "C" fn(*mut Entry, usize) -> Option<unsafe extern "C" fn()>;

static DLOPEN: Real = Real::new();
static DLSYM: Real = Real::new();

/// The engine has changed the entries.
static IS_ENTERED: AtomicBool = AtomicBool::new(false);
/// Wrappers note where they run: for the engine, or for the collector.
pub static IS_ACTIVE: AtomicBool = AtomicBool::new(false);
/// The rows whose functions are entered here, a bit each.
static ENTERED: [AtomicU64; 128] = [const { AtomicU64::new(0) }; 128];

/// Loads the engine and lets it change the entries. Called by the constructor, in the only thread.
///
/// The engine's calls meanwhile are not the program's, and not reported.
#[cold]
#[inline(never)]
pub fn begin(path: &CStr, euid: u32) {
    type Dlopen = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
    type Dlsym = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
    let (Some(open), Some(find)) = (DLOPEN.get(c"dlopen"), DLSYM.get(c"dlsym")) else { return };
    let Some(file) = door::own_file(path, euid) else { return };
    // Every function is looked up while its definition leads there.
    for hook in hooks() {
        hook.real();
    }
    let name = DescriptorName::of(file);
    process::without_ring(|| {
        // SAFETY: dlopen(3) and dlsym(3), with strings that end in NUL.
        let prepare = unsafe {
            let handle = core::mem::transmute::<usize, Dlopen>(open)(name.as_ptr(), libc::RTLD_NOW);
            if handle.is_null() {
                return;
            }
            core::mem::transmute::<usize, Dlsym>(find)(handle, c"glassbox_inline".as_ptr())
        };
        if !prepare.is_null() {
            // SAFETY: the engine's function, by its name.
            unsafe { enter(core::mem::transmute::<*mut c_void, Prepare>(prepare)) };
        }
    });
    sys::close(file);
}

/// # Safety
/// `prepare` is the engine's.
unsafe fn enter(prepare: Prepare) {
    let mut entries = [Entry { function: null_mut(), replacement: null_mut(), original: null_mut() }; MOST];
    let mut rows = [0; MOST];
    let mut count = 0;
    for hook in hooks().iter().filter(|hook| is_listed(hook.name())) {
        // Two names of one function are one entry.
        if let Some(function) = hook.real()
            && !entries.iter().any(|entry| entry.function as usize == function)
            && let (Some(entry), Some(row)) = (entries.get_mut(count), rows.get_mut(count))
        {
            *entry = Entry { function: function as _, replacement: hook.twin() as _, original: null_mut() };
            *row = hook.row();
            count += 1;
        }
    }
    // SAFETY: `count` entries.
    let Some(change) = (unsafe { prepare(entries.as_mut_ptr(), count) }) else { return };
    for (entry, row) in entries.iter().zip(rows).filter(|(entry, _)| !entry.original.is_null()) {
        if let Some(word) = ENTERED.get(usize::from(row / 64)) {
            word.fetch_or(1 << (row % 64), Ordering::Relaxed);
        }
        // One function may have several names (`open`, `open64`).
        for other in hooks().iter().filter(|other| other.real() == Some(entry.function as usize)) {
            other.lead_to(entry.original as usize);
        }
    }
    IS_ENTERED.store(true, Ordering::Relaxed);
    IS_ACTIVE.store(true, Ordering::Relaxed);
    // SAFETY: the engine's; every wrapper calls the copies.
    unsafe { change() };
}

/// Whether callers of the row's function come by its entry.
#[cold]
#[inline(never)]
pub fn enters(row: Row) -> bool {
    let number = usize::from(row.number());
    IS_ENTERED.load(Ordering::Relaxed)
        && ENTERED.get(number / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 != 0)
}

/// Events of [`FUNCTIONS`] that other rows report too, and that those rows' functions make with their help. A
/// set of them has a bit for each, in this order.
const NESTED: [u16; 6] = [
    Kind::FileOpen as u16,
    Kind::FileUnlink as u16,
    Kind::FileRmdir as u16,
    Kind::FileMkdir as u16,
    Kind::FileLink as u16,
    Kind::ProcessExec as u16,
];

/// In the set of a row whose function makes calls that the kernel may be asked about when libc makes them.
pub const MARKED: u8 = 0x40;
/// The kinds of their events: the rows with `LibcByChoice` of `notify/src/calls.rs`.
const ASKED_ABOUT: [Kind; 20] = [
    Kind::FileOpen,
    Kind::FileUnlink,
    Kind::FileRmdir,
    Kind::FileMkdir,
    Kind::FileChmod,
    Kind::FileChown,
    Kind::FileTruncate,
    Kind::FileXattr,
    Kind::FileRename,
    Kind::FileLink,
    Kind::FileSymlink,
    Kind::FileMknod,
    Kind::FileHandle,
    Kind::FileStat,
    Kind::FileAccess,
    Kind::FileReadlink,
    Kind::NetSocket,
    Kind::NetBind,
    Kind::NetConnect,
    Kind::NetConnected,
];
/// The bits of [`NESTED`] in a thread's word; above them stands the row that it is in, as in [`Within`].
pub const KINDS: u32 = 0x3f;
pub const ROW_SHIFT: u32 = 16;

/// The events of the row with `symbol` that libc's inner calls might report a second time while the real
/// function runs, and [`MARKED`].
pub const fn nested_kinds(symbol: &CStr, kinds: &[Kind]) -> u8 {
    let (mut set, mut marked, mut rest) = (0, 0, kinds);
    while let [kind, more @ ..] = rest {
        set |= bit(*kind as u16);
        if is_asked_about(*kind) {
            marked = MARKED;
        }
        rest = more;
    }
    if is_listed(symbol) { marked } else { set | marked }
}

const fn is_asked_about(kind: Kind) -> bool {
    let mut rest: &[Kind] = &ASKED_ABOUT;
    while let [asked, more @ ..] = rest {
        if *asked as u16 == kind as u16 {
            return true;
        }
        rest = more;
    }
    false
}

/// The bit of a kind among [`NESTED`]; 0 for another.
const fn bit(kind: u16) -> u8 {
    let (mut rest, mut bit): (&[u16], u8) = (&NESTED, 1);
    while let [nested, more @ ..] = rest {
        if *nested == kind {
            return bit;
        }
        (rest, bit) = (more, bit << 1);
    }
    0
}

/// Whether [`FUNCTIONS`] has `name`.
const fn is_listed(name: &CStr) -> bool {
    let name = name.to_bytes_with_nul();
    let (mut list, mut rest, mut is_same) = (FUNCTIONS, name, true);
    while let [byte, later @ ..] = list {
        match rest {
            [first, more @ ..] if is_same && *first == *byte => rest = more,
            _ => is_same = false,
        }
        if *byte == 0 {
            if is_same && rest.is_empty() {
                return true;
            }
            (rest, is_same) = (name, true);
        }
        list = later;
    }
    false
}

/// Whether a wrapper further out reports an event of this kind that the row saw.
#[inline(always)]
pub fn is_reported_outside(row: Row, kind: u16) -> bool {
    row.is_redirected() && enters(row) && process::reporting() & u32::from(bit(kind)) != 0
}
