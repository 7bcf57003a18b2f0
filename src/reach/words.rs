//! The arguments and the result of a call as the registers that they travel in, the ways in which a row
//! treats a call, and the function that a call goes on to. Plain values: [`super::passage`] puts them to use.
//!
//! # Safety
//! A treatment is made by the macro of the row: it takes as many words as the C function has arguments, as
//! the types that those have.

use core::ffi::{c_int, c_long};

use crate::record::call::{Call, Row};

/// The registers of a call's arguments, in their order.
pub type Words = [usize; 6];

/// A row's own part of a call. A plain address, of one of two types: see [`super::real::Hook::treatment`].
#[derive(Clone, Copy)]
pub enum Treatment {
    /// Reports a call that came back.
    After(After),
    /// The same of a call before which the clock was read.
    Timed(After),
    /// Stands in for a call.
    Instead(Instead),
}

/// Reports a call that came back: the call, its words, its result.
pub type After = unsafe fn(Call, &Words, usize);
/// Stands in for a call: its row, its words, and the function that makes it.
pub type Instead = unsafe fn(Row, &Words, &Next) -> usize;

/// The next definition of a function, or a system call by number.
pub struct Next {
    address: usize,
    /// The number, where syscall(2) was called: `address` is then its next definition.
    number: Option<c_long>,
    words: Words,
}

impl Next {
    /// The function at `address`.
    pub fn of(address: usize, words: Words) -> Self {
        Self { address, number: None, words }
    }

    /// System call `number` by the syscall(2) at `address`, with `words` unless a treatment gives others.
    pub fn numbered(address: usize, number: c_long, words: Words) -> Self {
        Self { address, number: Some(number), words }
    }

    /// Calls it as a treatment asks. A system call gets the caller's own words: they may be wider than the
    /// function's types.
    ///
    /// # Safety
    /// The words are arguments that the function takes.
    #[inline(never)]
    pub unsafe fn call(&self, words: Words) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.call_with(if self.number.is_some() { self.words } else { words }) }
    }

    /// Calls it with exactly these words.
    ///
    /// # Safety
    /// As for [`Self::call`].
    #[inline(always)]
    pub unsafe fn call_with(&self, words: Words) -> usize {
        // SAFETY: the caller's promise; the address is the function's, which takes them in registers.
        unsafe {
            match self.number {
                None => enter(self.address, words),
                Some(number) => by_number(self.address, number, words) as usize,
            }
        }
    }
}

/// Calls the function at `address`.
///
/// # Safety
/// It takes at most six words, and they are right for it.
#[inline(always)]
pub unsafe fn enter(address: usize, [a, b, c, d, e, f]: Words) -> usize {
    type Function = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize) -> usize;
    // SAFETY: the caller's promise.
    unsafe { core::mem::transmute::<usize, Function>(address)(a, b, c, d, e, f) }
}

/// Calls the syscall(2) at `address`.
///
/// # Safety
/// The words are those of the system call.
#[inline(always)]
pub unsafe fn by_number(address: usize, number: c_long, [a, b, c, d, e, f]: Words) -> c_long {
    type Syscall = unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
    // SAFETY: the caller's promise.
    unsafe { core::mem::transmute::<usize, Syscall>(address)(number, a, b, c, d, e, f) }
}

/// An argument or a result that travels in one register.
pub trait Word {
    /// Out of a register, whose upper part may hold anything.
    fn from_word(word: usize) -> Self;
    /// Into a register.
    fn into_word(self) -> usize;
}

macro_rules! word {
    ($($integer:ty),*) => {$(
        impl Word for $integer {
            #[inline(always)]
            fn from_word(word: usize) -> Self { word as Self }
            #[inline(always)]
            fn into_word(self) -> usize { self as usize }
        }
    )*};
}
word!(c_int, u32, i64, u64, usize, isize);

impl Word for () {
    #[inline(always)]
    fn from_word(_: usize) -> Self {}
    #[inline(always)]
    fn into_word(self) -> usize {
        0
    }
}

impl<T> Word for *const T {
    #[inline(always)]
    fn from_word(word: usize) -> Self {
        word as Self
    }
    #[inline(always)]
    fn into_word(self) -> usize {
        self as usize
    }
}

impl<T> Word for *mut T {
    #[inline(always)]
    fn from_word(word: usize) -> Self {
        word as Self
    }
    #[inline(always)]
    fn into_word(self) -> usize {
        self as usize
    }
}

/// Words followed by zeroes.
#[inline(always)]
pub fn padded<const N: usize>(given: [usize; N]) -> Words {
    let mut words = Words::default();
    for (word, given) in words.iter_mut().zip(given) {
        *word = given;
    }
    words
}
