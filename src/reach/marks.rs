//! Where a thread is: each wrapper notes that it enters the real function, and that it has left it. For
//! [`super::inline`], and in records for the collector, which knows by them of which of libc's calls a hook
//! tells (ADR 47).

use core::sync::atomic::Ordering;

use wire::events::Within;

use crate::process;
use crate::process::tell::{Asked, tells};
use crate::reach::inline::{IS_ACTIVE, KINDS, MARKED, ROW_SHIFT, enters};
use crate::record::call::Row;
use crate::record::emit;

/// Has the wrappers tell the collector in which function each thread is, where that was asked for. Called by
/// the constructor, in the only thread.
pub fn begin_marking() {
    if tells(Asked::Libc) {
        IS_ACTIVE.store(true, Ordering::Relaxed);
        mark(0);
    }
}

#[cold]
fn mark(row: u32) {
    emit::track(Row::NONE, &Within { row });
}

/// A call by number begins, which is treated as its row says; gives the argument of [`end_call`].
#[inline(always)]
pub fn begin_numbered(row: Row) -> u32 {
    if tells(Asked::Libc) { begin_nested(row, MARKED) } else { 0 }
}

/// It ends.
#[inline(always)]
pub fn end_numbered(outer: u32) {
    if tells(Asked::Libc) {
        end_nested(outer, MARKED);
    }
}

/// A wrapper that reports `kinds` begins; gives the argument of [`end_call`]. At most one load where nothing
/// was asked for.
#[inline(always)]
pub fn begin_call(row: Row, kinds: u8) -> u32 {
    if kinds != 0 && IS_ACTIVE.load(Ordering::Relaxed) { begin_nested(row, kinds) } else { 0 }
}

#[cold]
#[inline(never)]
fn begin_nested(row: Row, kinds: u8) -> u32 {
    let outer = process::reporting();
    // A call that came by the entry must report itself.
    let own = if row.is_redirected() && enters(row) { 0 } else { u32::from(kinds) & KINDS };
    match kinds & MARKED != 0 && tells(Asked::Libc) {
        true => {
            let number = u32::from(row.number());
            process::set_reporting((outer | own) & KINDS | number << ROW_SHIFT);
            mark(number);
        }
        false => process::set_reporting(outer | own),
    }
    outer
}

/// The wrapper ends; at most one load without an engine. After a jump out of a wrapper (siglongjmp) fewer of
/// libc's inner calls are reported, until another wrapper ends.
#[inline(always)]
pub fn end_call(outer: u32, kinds: u8) {
    // Without an engine none begins, so there is nothing to put back.
    if kinds != 0 && IS_ACTIVE.load(Ordering::Relaxed) {
        end_nested(outer, kinds);
    }
}

#[cold]
#[inline(never)]
fn end_nested(outer: u32, kinds: u8) {
    process::set_reporting(outer);
    if kinds & MARKED != 0 && tells(Asked::Libc) {
        mark(outer >> ROW_SHIFT);
    }
}
