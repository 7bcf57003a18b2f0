//! The way of a call through the sensor, in one piece of code for most rows: the real function is looked up
//! and called with the words that the caller passed, and then the row's own function, its *treatment*,
//! reports.
//!
//! A row's wrapper and its twin are two instructions each (`arch`): they say which entry of the table was
//! called, and go on in one stub, which lays the six registers of arguments into a [`Frame`] and calls
//! [`pass`]. An integer or a pointer takes one register, whatever its width (x86-64 psABI, 3.2.3; AAPCS64,
//! 6.8.2), and a called function does not look at the registers of arguments that it does not have. So a row
//! with up to six arguments of these types needs no code of its own for the call itself. Rows of other
//! functions, and of those that programs call very often, have `after_alone` or `instead_alone`.
//!
//! # Safety
//! See [`super::words`].

use crate::process;
use crate::reach::maps::Beginning;
use crate::reach::marks;
use crate::reach::real::Hook;
use crate::reach::words::{Next, Treatment, Words, enter};
use crate::record::call::Call;
use crate::record::fail::Failing;

/// A call as the stub of `arch` lays it out.
#[repr(C)]
pub struct Frame {
    words: Words,
    /// The address of the [`Hook`]; one more where the caller came by its twin.
    hook: usize,
}

/// Makes the call and lets its row treat it; gives the result.
///
/// # Safety
/// The stub of `arch` made the frame, of a call to the wrapper or the twin of the entry that it names.
pub unsafe extern "C" fn pass<B: Beginning>(frame: &Frame) -> usize {
    let Frame { words, hook } = frame;
    // SAFETY: the caller's promise: the entry's address, or one more.
    let called = unsafe { &*((hook & !1) as *const Hook) };
    let failing = Failing::of(called.failing());
    let Some(address) = called.next::<B>() else { return failing.missing() };
    let row = if hook & 1 == 0 { called.called() } else { called.called().redirected() };
    let outer = marks::begin_call(row, called.nested());
    // SAFETY: the address was looked up under the entry's symbol, and the words are the application's. The
    // treatment is that of the symbol's row.
    unsafe {
        let (after, began_ns) = match called.treatment() {
            Treatment::After(after) => (after, 0),
            Treatment::Timed(after) => (after, process::begin_ns()),
            Treatment::Instead(instead) => {
                let result = instead(row, words, &Next::of(address.get(), *words));
                marks::end_call(outer, called.nested());
                return result;
            }
        };
        let result = enter(address.get(), *words);
        marks::end_call(outer, called.nested());
        if process::ring().is_some() {
            after(Call { row, outcome: failing.outcome(result), began_ns }, words, result);
        }
        result
    }
}
