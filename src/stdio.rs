//! Bytes through stdio on glibc: counted where a stream really reads, writes and closes.
//!
//! stdio calls read(2) and write(2) inside libc, past every symbol. But it does so through a table of functions that each
//! stream points to, `_IO_file_jumps` (`_IO_wfile_jumps` for wide ones), whose entries are the exported `_IO_file_read`,
//! `_IO_file_write` and `_IO_file_close`. At start those entries, known by their values, are made ours; so a `printf` costs
//! nothing, and a full buffer one count more. See ADR 9. musl keeps no such table: there nothing is counted.
//!
//! # Safety
//! The tables are libc's, `struct _IO_jump_t` of 21 words, and stay mapped; an entry is replaced by a function of the same
//! type, only where all three were found at once.

use core::ffi::{CStr, c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::elf::{self, Layout};
use crate::emit::{self, Way};
use crate::{STREAM_CLOSED, fds, state};

/// The tables of streams over descriptors. Those of popen(3) and of `fopen` with `m` are not exported.
const TABLES: [&CStr; 2] = [c"_IO_file_jumps", c"_IO_wfile_jumps"];
/// Words of `struct _IO_jump_t`.
const ENTRIES: usize = 21;
/// Where a stream points to its table: behind `struct _IO_FILE`, whose size C++ programs have compiled in.
const TABLE_AT: usize = 216;

static READ: AtomicUsize = AtomicUsize::new(0);
static WRITE: AtomicUsize = AtomicUsize::new(0);
static CLOSE: AtomicUsize = AtomicUsize::new(0);
/// The tables that were changed; 0 for none.
static CHANGED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

type Stream = *mut libc::FILE;
type Transfer = unsafe extern "C" fn(Stream, *mut c_void, isize) -> isize;
type Close = unsafe extern "C" fn(Stream) -> c_int;

/// Makes libc's streams count from here on.
pub fn begin() {
    let own = state::OWN_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
    // SAFETY: our own entry, and those after it; libc is among them and stays.
    let Some(libc) = (unsafe { elf::find_image(elf::next_map(own), c"_IO_file_jumps") }) else { return };
    let [Some(read), Some(write), Some(close)] =
        [c"_IO_file_read", c"_IO_file_write", c"_IO_file_close"].map(|name| libc.symbol(name))
    else {
        return;
    };
    let tables = TABLES.map(|name| libc.symbol(name).unwrap_or(0));
    let is_known =
        |table: usize| table != 0 && [read, write, close].iter().all(|entry| is_once(table, *entry));
    if !tables.iter().all(|table| is_known(*table)) {
        return;
    }
    // Relaxed: an entry that is ours is found by this thread first, and by others only through what orders their streams.
    READ.store(read, Ordering::Relaxed);
    WRITE.store(write, Ordering::Relaxed);
    CLOSE.store(close, Ordering::Relaxed);
    // SAFETY: libc, as every library, has its ELF header at its base.
    let protected = unsafe { Layout::at(libc.base()) }.after_relocation();
    let is_protected = tables.iter().any(|table| protected.contains(*table));
    if is_protected && !protected.open() {
        return;
    }
    for (table, changed) in tables.iter().zip(&CHANGED) {
        for entry in entries(*table) {
            let ours = match entry.load(Ordering::Relaxed) {
                known if known == read => reads as *const () as usize,
                known if known == write => writes as *const () as usize,
                known if known == close => closes as *const () as usize,
                _ => continue,
            };
            entry.store(ours, Ordering::Relaxed);
        }
        changed.store(*table, Ordering::Relaxed);
    }
    if is_protected {
        protected.close();
    }
}

fn entries(table: usize) -> &'static [AtomicUsize; ENTRIES] {
    // SAFETY: the module's argument.
    unsafe { &*(table as *const [AtomicUsize; ENTRIES]) }
}

fn is_once(table: usize, function: usize) -> bool {
    entries(table).iter().filter(|entry| entry.load(Ordering::Relaxed) == function).count() == 1
}

/// Whether closing this stream calls [`closes`].
///
/// # Safety
/// `stream` is null or an open stream.
pub unsafe fn tells_its_close(stream: Stream) -> bool {
    if stream.is_null() || CHANGED.iter().all(|table| table.load(Ordering::Relaxed) == 0) {
        return false;
    }
    // SAFETY: a stream of a libc that has the tables, so it is laid out as theirs.
    let table = unsafe { stream.cast::<u8>().add(TABLE_AT).cast::<usize>().read() };
    CHANGED.iter().any(|changed| changed.load(Ordering::Relaxed) == table)
}

unsafe extern "C" fn reads(stream: Stream, buffer: *mut c_void, len: isize) -> isize {
    // SAFETY: the entry's own function, under its own type.
    let real = unsafe { core::mem::transmute::<usize, Transfer>(READ.load(Ordering::Relaxed)) };
    // SAFETY: libc's arguments.
    let ret = unsafe { real(stream, buffer, len) };
    // SAFETY: libc's own stream.
    count(unsafe { fds::of_stream(stream) }, ret, Way::In);
    ret
}

unsafe extern "C" fn writes(stream: Stream, buffer: *mut c_void, len: isize) -> isize {
    // SAFETY: the entry's own function, under its own type.
    let real = unsafe { core::mem::transmute::<usize, Transfer>(WRITE.load(Ordering::Relaxed)) };
    // SAFETY: libc's arguments.
    let ret = unsafe { real(stream, buffer, len) };
    // SAFETY: libc's own stream.
    count(unsafe { fds::of_stream(stream) }, ret, Way::Out);
    ret
}

/// Not inlined: a buffer's worth of bytes costs more than the call.
#[inline(never)]
fn count(fd: c_int, ret: isize, way: Way) {
    emit::count(fd, ret as i64, way);
}

/// The last of a stream's bytes are written when this is called, and counted.
unsafe extern "C" fn closes(stream: Stream) -> c_int {
    // SAFETY: the entry's own function, under its own type.
    let real = unsafe { core::mem::transmute::<usize, Close>(CLOSE.load(Ordering::Relaxed)) };
    // SAFETY: libc's own stream.
    let fd = unsafe { fds::of_stream(stream) };
    // SAFETY: libc's argument.
    fds::close(STREAM_CLOSED, fd, || unsafe { real(stream) })
}
