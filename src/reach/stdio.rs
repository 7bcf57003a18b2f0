//! Bytes through stdio on glibc: counted where a stream really reads, writes and closes.
//!
//! stdio calls read(2) and write(2) inside libc, past every symbol. But it does so through a table of
//! functions that each stream points to, `_IO_file_jumps` (`_IO_wfile_jumps` for wide ones), whose entries
//! are the exported `_IO_file_read`, `_IO_file_write` and `_IO_file_close`. At start those entries,
//! recognised by the addresses in them, are replaced by ours; so a `printf` costs nothing, and a full buffer
//! one count more. See ADR 9. musl has no such table: bytes through its stdio are not counted.
//!
//! # Safety
//! The tables are libc's, `struct _IO_jump_t` of 21 words, and stay mapped; an entry is replaced by a
//! function of the same type, only where all three were found at once.

use core::ffi::{CStr, c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering, fence};

use crate::calls::fds;
use crate::reach::elf::Layout;
use crate::reach::got;
use crate::reach::streams::{CHANGED, of_stream};
use crate::record::call::Row;
use crate::record::emit::{self, Way};
use crate::table;

/// The row under which the close of a stream is reported.
const STREAM_CLOSED: Row = table::fd::Name::fclose.row();

/// The tables of streams over descriptors. Those of popen(3) and of `fopen` with `m` are not exported.
const TABLES: [&CStr; 2] = [c"_IO_file_jumps", c"_IO_wfile_jumps"];
/// Words of `struct _IO_jump_t`.
const ENTRIES: usize = 21;
/// The entry that [`reads`] replaced.
static READ: AtomicUsize = AtomicUsize::new(0);
/// The entry that [`writes`] replaced.
static WRITE: AtomicUsize = AtomicUsize::new(0);
/// The entry that [`closes`] replaced.
static CLOSE: AtomicUsize = AtomicUsize::new(0);
type Stream = *mut libc::FILE;
type Transfer = unsafe extern "C" fn(Stream, *mut c_void, isize) -> isize;
type Close = unsafe extern "C" fn(Stream) -> c_int;

/// Makes libc's streams count from here on.
pub fn begin() {
    got::each_image(|layout, libc| {
        let functions =
            [c"_IO_file_read", c"_IO_file_write", c"_IO_file_close"].map(|name| libc.symbol(name));
        let tables = TABLES.map(|name| libc.symbol(name));
        if let ([Some(read), Some(write), Some(close)], [Some(narrow), Some(wide)]) = (functions, tables) {
            take_over(layout, [read, write, close], [narrow, wide]);
        }
    });
}

/// Replaces libc's functions in these tables by ours.
fn take_over(layout: &Layout<'_>, functions: [usize; 3], tables: [usize; 2]) {
    let are_known =
        tables.iter().all(|table| functions.iter().all(|function| is_once(entries(*table), *function)));
    let protected = layout.after_relocation();
    let is_protected = tables.iter().any(|table| protected.contains(*table));
    if !are_known || is_protected && !protected.open() {
        return;
    }
    let ours = [reads as *const () as usize, writes as *const () as usize, closes as *const () as usize];
    for (real, function) in [&READ, &WRITE, &CLOSE].into_iter().zip(functions) {
        real.store(function, Ordering::Relaxed);
    }
    for (table, changed) in tables.iter().zip(&CHANGED) {
        changed.store(*table, Ordering::Relaxed);
        for entry in entries(*table) {
            let known =
                functions.iter().zip(ours).find(|(function, _)| **function == entry.load(Ordering::Relaxed));
            if let Some((_, ours)) = known {
                // Release: publishes the old entry. Pairs with the fence in `real`, behind libc's load of the
                // entry.
                entry.store(ours, Ordering::Release);
            }
        }
    }
    if is_protected {
        protected.close();
    }
}

fn entries(table: usize) -> &'static [AtomicUsize; ENTRIES] {
    // SAFETY: the module's argument.
    unsafe { &*(table as *const [AtomicUsize; ENTRIES]) }
}

fn is_once(entries: &[AtomicUsize; ENTRIES], function: usize) -> bool {
    entries.iter().filter(|entry| entry.load(Ordering::Relaxed) == function).count() == 1
}

unsafe extern "C" fn reads(stream: Stream, buffer: *mut c_void, len: isize) -> isize {
    // SAFETY: the entry's own function, under its own type.
    let real = unsafe { core::mem::transmute::<usize, Transfer>(real(&READ)) };
    // SAFETY: libc's arguments.
    let ret = unsafe { real(stream, buffer, len) };
    count(stream, ret, Way::In);
    ret
}

unsafe extern "C" fn writes(stream: Stream, buffer: *mut c_void, len: isize) -> isize {
    // SAFETY: the entry's own function, under its own type.
    let real = unsafe { core::mem::transmute::<usize, Transfer>(real(&WRITE)) };
    // SAFETY: libc's arguments.
    let ret = unsafe { real(stream, buffer, len) };
    count(stream, ret, Way::Out);
    ret
}

/// The last bytes of a stream have been written and counted when this is called.
unsafe extern "C" fn closes(stream: Stream) -> c_int {
    // SAFETY: the entry's own function, under its own type.
    let real = unsafe { core::mem::transmute::<usize, Close>(real(&CLOSE)) };
    // SAFETY: libc's own stream.
    let fd = unsafe { of_stream(stream) };
    fds::stream_closes(STREAM_CLOSED, fd);
    // SAFETY: libc's argument.
    fds::close(STREAM_CLOSED, fd, || unsafe { real(stream) })
}

/// The replaced entry in `place`, for a function that libc called in its stead.
#[inline(always)]
fn real(place: &AtomicUsize) -> usize {
    // Acquire: pairs with the Release store of the entry, which libc has loaded to get here.
    fence(Ordering::Acquire);
    place.load(Ordering::Relaxed)
}

fn count(stream: Stream, ret: isize, way: Way) {
    // SAFETY: libc's own stream, which is open.
    emit::count(unsafe { of_stream(stream) }, ret as i64, way);
}
