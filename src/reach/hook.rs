//! The macro that turns a row of `hooks/` into an exported function.
//!
//! A row gives the C prototype, the symbols, which arguments are told or kept (and how far), how the function
//! fails, which events it reports, and a way of standing in for it:
//!
//! * `after |call, ret| …`: the real function is called, then the expression runs with what came back.
//! * `instead |call, real| …`: the expression calls the real function itself and gives the result.
//! * `timed |call, ret| …`: as `after`, of a call before which the clock is read.
//! * `after_alone`, `timed_alone`, `instead_alone`: the same in code of the wrapper's own (the others share
//!   that of [`super::passage`]), for functions that programs call very often, or with more than six
//!   arguments.
//! * `own |row| …`: the expression replaces the function, and calls another one.
//! * `jump |row| …`: the expression runs, then the real function is jumped to, so that it sees its true
//!   caller.
//! * `answer |row, real| …`: like `jump`, but the expression may return a value instead.
//! * `list |row| …`: for the `execl` family, whose arguments arrive as an array, and the address of what
//!   follows them.
//! * `vfork |row, pid, began| …`: for vfork, which returns twice; `began` is the clock before it.
//!
//! Without a ring, `after` and `jump` only call the real function. Nothing with a destructor is alive while
//! the real function runs, and nothing is held: the thread may be cancelled there, or jump out.

use core::mem::MaybeUninit;

/// Declares hooks; see the module's documentation, and `hooks/file.rs` for examples.
#[macro_export]
macro_rules! hooks {
    (family $family:ident = $number:literal;
     $(
        $(#[doc = $doc:literal])+
        unsafe fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $ret:ty;
        symbols: $($symbol:literal),* $(as $alias:ident)?;
        told: $($told:ident $($how:literal)?),*;
        fails: $fails:ident;
        event: $($kind:ident),*;
        $phase:ident |$($bound:ident),+| $body:expr;
     )*
     $(names: $($extra:ident $extra_told:literal),* $(,)?;)?
     $(numbers $($numbers:tt)*)?
    ) => {
        #[allow(unused_imports)]
        use $crate::prelude::*;

        /// The rows' names, for the fingerprint.
        pub const NAMES: &[&str] = &[$(stringify!($name),)* $($(stringify!($extra),)*)?];

        /// The rows of this file, numbered in their order.
        #[allow(non_camel_case_types, dead_code, clippy::upper_case_acronyms)] // named after the C functions
        #[derive(Clone, Copy)]
        #[repr(u8)]
        pub enum Name { $($name,)* $($($extra,)*)? }

        #[allow(dead_code)] // for the rows that other files report under
        impl Name {
            /// The row's number in the whole table.
            pub const fn row(self) -> $crate::record::call::Row {
                $crate::record::call::Row::new($number, self as u16 + 1)
            }
        }

        $(
            const _: &[wire::events::Kind] = &[$(wire::events::Kind::$kind),*];
            $crate::row! {
                $name ($($symbol),*) ($($kind),*)
                { $phase, Name::$name.row(), $fails, ($($argument: $type),*) -> $ret, |$($bound),+| $body }
            }
        )*

        $($crate::numbers! { $($numbers)* })?
    };
}

/// Declares which system call is which row: a call that syscall(2) makes by number is treated and reported as
/// that row.
///
/// `SYS_openat => file::openat;` means the row's own treatment: the first of the call's six words are the
/// row's arguments. `{ … }` is an expression of its own, for a number that no libc function stands for alone,
/// or whose row is treated in its wrapper alone. Only the machine named at the end, if any, has the number.
///
/// The words in bars: the row, the call that came back, its result, the call itself, and its arguments.
#[macro_export]
macro_rules! numbers {
    (|$row:ident, $call:ident, $ret:ident, $real:ident, $words:ident, $places:tt|
     after { $($after:ident => $after_family:ident::$after_row:ident $($after_how:block)? $(only $after_machine:literal)?;)* }
     timed { $($timed:ident => $timed_family:ident::$timed_row:ident $($timed_how:block)? $(only $timed_machine:literal)?;)* }
     instead { $($instead:ident => $family:ident::$name:ident $($how:block)? $(only $machine:literal)?;)* }
    ) => {
        /// The row that a system call's number belongs to.
        pub fn row_of(number: c_long) -> Option<$crate::record::call::Row> {
            match number {
                $($(#[cfg(target_arch = $after_machine)])?
                $crate::calls::syscalls::number::$after => Some($crate::table::$after_family::Name::$after_row.row()),)*
                $($(#[cfg(target_arch = $timed_machine)])?
                $crate::calls::syscalls::number::$timed => Some($crate::table::$timed_family::Name::$timed_row.row()),)*
                $($(#[cfg(target_arch = $machine)])?
                $crate::calls::syscalls::number::$instead => Some($crate::table::$family::Name::$name.row()),)*
                _ => None,
            }
        }

        /// The way in which a system call by number is treated; `None` for one without a row.
        fn treatment_of(number: c_long) -> Option<$crate::reach::words::Treatment> {
            match number {
                $($(#[cfg(target_arch = $after_machine)])?
                $crate::calls::syscalls::number::$after =>
                    Some($crate::reach::words::Treatment::After(
                        $crate::by_row! { after $after_family::$after_row $($after_how)?, $call, $ret, $places })),)*
                $($(#[cfg(target_arch = $timed_machine)])?
                $crate::calls::syscalls::number::$timed =>
                    Some($crate::reach::words::Treatment::Timed(
                        $crate::by_row! { after $timed_family::$timed_row $($timed_how)?, $call, $ret, $places })),)*
                $($(#[cfg(target_arch = $machine)])?
                $crate::calls::syscalls::number::$instead =>
                    Some($crate::by_row! { instead $family::$name $($how)?, $row, $real, $words, $places }),)*
                _ => None,
            }
        }

        /// Every number of this machine, with its row.
        #[cfg(test)]
        pub const NUMBERS: &[(c_long, $crate::record::call::Row)] = &[
            $($(#[cfg(target_arch = $after_machine)])?
            ($crate::calls::syscalls::number::$after, $crate::table::$after_family::Name::$after_row.row()),)*
            $($(#[cfg(target_arch = $timed_machine)])?
            ($crate::calls::syscalls::number::$timed, $crate::table::$timed_family::Name::$timed_row.row()),)*
            $($(#[cfg(target_arch = $machine)])?
            ($crate::calls::syscalls::number::$instead, $crate::table::$family::Name::$name.row()),)*
        ];
    };
}

/// The treatment of one system call: its row's, or one that `numbers!` was given. Of `after` the function.
#[macro_export]
macro_rules! by_row {
    (after $family:ident::$name:ident, $call:ident, $ret:ident, $places:tt) => {
        $crate::table::$family::$name::treat
    };
    (after $family:ident::$name:ident $body:block, $call:ident, $ret:ident, [$($place:ident),*]) => {{
        /// # Safety
        /// The words are those of the system call.
        #[allow(unused_variables)] // not each place is an argument
        unsafe fn treat($call: $crate::record::call::Call, words: &$crate::reach::words::Words, ret: usize) {
            let [$($place),*] = *words;
            let $ret = ret as c_long;
            #[allow(unused_unsafe)] // few of them are safe
            // SAFETY: the caller's promise: the call is treated as the function of the same name is.
            unsafe { $body };
        }
        treat
    }};
    (instead $family:ident::$name:ident, $row:ident, $real:ident, $words:ident, $places:tt) => {
        $crate::reach::words::Treatment::Instead($crate::table::$family::$name::treat)
    };
    (instead $family:ident::$name:ident $body:block, $row:ident, $real:ident, $words:ident, [$($place:ident),*]) => {{
        /// # Safety
        /// The words are those of the system call.
        #[allow(unused_variables)] // as above
        unsafe fn treat(
            $row: $crate::record::call::Row,
            words: &$crate::reach::words::Words,
            next: &$crate::reach::words::Next,
        ) -> usize {
            let $words = *words;
            let [$($place),*] = $words;
            // SAFETY: the caller's promise.
            let $real = |words: $crate::reach::words::Words| unsafe { next.call_with(words) } as c_long;
            #[allow(unused_unsafe)] // as above
            // SAFETY: as above.
            let result: c_long = unsafe { $body };
            result as usize
        }
        $crate::reach::words::Treatment::Instead(treat)
    }};
}

crate::passage_stub! { passage, crate::reach::passage::pass::<crate::start::init::Early> }

/// Declares the families; the crate `hook-table` has a macro of the same name.
#[macro_export]
macro_rules! families {
    ($($family:ident),*) => {
        $(pub mod $family;)*
        /// Hash of every row's name, in order.
        pub const CALLS: u64 = wire::schema::hash_names(&[$($family::NAMES),*]);
    };
}

/// One row: a wrapper for each symbol, in a module of its own, which holds the next symbol's. After the
/// symbols come the events.
#[macro_export]
macro_rules! row {
    ($module:ident () $events:tt $rest:tt) => {};
    (also ($symbol:literal $(, $more:literal)*) $events:tt $rest:tt) => {
        /// The wrapper of a further symbol.
        pub mod also {
            #[allow(unused_imports)]
            use super::*;
            $crate::further_wrapper! { $symbol, $events, $rest }
            $crate::row! { also ($($more),*) $events $rest }
        }
    };
    ($module:ident ($symbol:literal $(, $more:literal)*) $events:tt $rest:tt) => {
        /// The wrapper of one symbol.
        #[allow(non_snake_case)] // named after the C function
        pub mod $module {
            #[allow(unused_imports)]
            use super::*;
            $crate::wrapper! { $symbol, $events, $rest }
            $crate::row! { also ($($more),*) $events $rest }
        }
    };
}

/// The wrapper of a symbol whose row has another one: with the treatment of the first, where that is not in
/// the wrapper's own code.
#[macro_export]
macro_rules! further_wrapper {
    ($symbol:literal, $events:tt, { after, $row:expr, $fails:ident, $arguments:tt -> $ret:ty, |$($bound:ident),+| $body:expr }) => {
        $crate::passing! { $symbol, $events, $row, <$fails as Fails<$ret>>::FAILING.number(), 0 }
    };
    ($symbol:literal, $events:tt, { timed, $row:expr, $fails:ident, $arguments:tt -> $ret:ty, |$($bound:ident),+| $body:expr }) => {
        $crate::passing! { $symbol, $events, $row, <$fails as Fails<$ret>>::FAILING.number() | $crate::reach::real::Hook::TIMED, 0 }
    };
    ($symbol:literal, $events:tt, { instead, $row:expr, $fails:ident, $arguments:tt -> $ret:ty, |$($bound:ident),+| $body:expr }) => {
        $crate::passing! { $symbol, $events, $row, <$fails as Fails<$ret>>::FAILING.number(), $crate::reach::real::Hook::INSTEAD }
    };
    ($symbol:literal, $events:tt, $rest:tt) => {
        $crate::wrapper! { $symbol, $events, $rest }
    };
}

/// A wrapper without code of its own, and its twin: their stubs go on in [`crate::reach::passage`], which
/// calls `treat`. A row without events has no twin, since no record says which was called.
#[macro_export]
macro_rules! passing {
    ($symbol:literal, (), $row:expr, $failing:expr, $instead:expr) => {
        pub static REAL: $crate::reach::real::Real = $crate::reach::real::Real::new();
        $crate::wrapper_stub! { #[cfg_attr(not(test), unsafe(export_name = $symbol))] wrapper, $symbol, "0" }
        $crate::hook_entry! { $symbol, wrapper, REAL, $row, $failing, $instead, treat }
    };
    ($symbol:literal, $events:tt, $row:expr, $failing:expr, $instead:expr) => {
        pub static REAL: $crate::reach::real::Real = $crate::reach::real::Real::new();
        $crate::wrapper_stub! { #[cfg_attr(not(test), unsafe(export_name = $symbol))] wrapper, $symbol, "0" }
        $crate::wrapper_stub! { twin, $symbol, "1" }
        $crate::hook_entry! { $symbol, twin, REAL, $row, $failing, $instead | $crate::nested_kinds! { $symbol $events }, treat }
    };
}

/// The treatment of a row: reports a call that came back.
#[macro_export]
macro_rules! reporting {
    (($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident, $result:ident| $body:expr) => {
        /// Reports a call that came back, by a symbol or by number.
        ///
        /// # Safety
        /// The words are the arguments of a call that was made.
        #[allow(unused_variables, unused_unsafe)] // few rows use all, or are safe
        #[allow(clippy::unused_unit, clippy::let_unit_value)] // as the C function has them
        pub unsafe fn treat($call: $crate::record::call::Call, words: &$crate::reach::words::Words, result: usize) {
            let [$($argument,)* ..] = *words;
            $(let $argument: $type = $crate::reach::words::Word::from_word($argument);)*
            let $result: $ret = $crate::reach::words::Word::from_word(result);
            // SAFETY: `capture` may read the memory that the kernel or libc could read in that call. Each
            // function in the row says what it reads.
            unsafe { $body };
        }
    };
}

/// A function that reports the call that came back, in code of its own.
#[macro_export]
macro_rules! alone {
    ($symbol:literal, $events:tt, $began:expr, { $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident, $result:ident| $body:expr }) => {
        pub static REAL: $crate::reach::real::Real = $crate::reach::real::Real::new();
        const KINDS: u8 = $crate::nested_kinds! { $symbol $events };
        $crate::twins! { $symbol, $events, $row, ($($argument: $type),*) -> $ret, |row| {
            let Some(address) = REAL.address::<$crate::start::init::Early>($crate::c_name!($symbol)) else {
                return <$fails as Fails<$ret>>::missing();
            };
            let outer = $crate::reach::marks::begin_call(row, KINDS);
            let began_ns: u64 = $began;
            // SAFETY: the address was looked up under this very symbol, whose C prototype this is.
            let $result = unsafe {
                core::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $ret>(address.get())($($argument),*)
            };
            $crate::reach::marks::end_call(outer, KINDS);
            if $crate::process::ring().is_some() {
                let outcome = <$fails as Fails<$ret>>::outcome($result);
                let $call = $crate::record::call::Call { row, outcome, began_ns };
                #[allow(unused_unsafe)] // some rows are safe
                // SAFETY: as for `after`.
                unsafe { $body };
            }
            $result
        } }
    };
}

/// One exported function, and its twin for callers that [`crate::reach::got`] leads here.
#[macro_export]
macro_rules! wrapper {
    ($symbol:literal, $events:tt, { after, $row:expr, $fails:ident, $arguments:tt -> $ret:ty, |$call:ident, $result:ident| $body:expr }) => {
        $crate::passing! { $symbol, $events, $row, <$fails as Fails<$ret>>::FAILING.number(), 0 }
        $crate::reporting! { $arguments -> $ret, |$call, $result| $body }
    };
    ($symbol:literal, $events:tt, { timed, $row:expr, $fails:ident, $arguments:tt -> $ret:ty, |$call:ident, $result:ident| $body:expr }) => {
        $crate::passing! { $symbol, $events, $row, <$fails as Fails<$ret>>::FAILING.number() | $crate::reach::real::Hook::TIMED, 0 }
        $crate::reporting! { $arguments -> $ret, |$call, $result| $body }
    };
    ($symbol:literal, $events:tt, { instead, $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident, $real:ident| $body:expr }) => {
        $crate::passing! { $symbol, $events, $row, <$fails as Fails<$ret>>::FAILING.number(), $crate::reach::real::Hook::INSTEAD }

        /// Stands in for a call, by a symbol or by number.
        ///
        /// # Safety
        /// The words are the arguments of a call, which `next` makes.
        #[allow(unused_unsafe)] // some rows are safe
        #[allow(clippy::unused_unit, clippy::let_unit_value)] // as the C function has them
        pub unsafe fn treat(
            $call: $crate::record::call::Row,
            words: &$crate::reach::words::Words,
            next: &$crate::reach::words::Next,
        ) -> usize {
            let [$($argument,)* ..] = *words;
            $(let $argument: $type = $crate::reach::words::Word::from_word($argument);)*
            let $real = |$($argument: $type),*| -> $ret {
                let words = $crate::reach::words::padded([$($crate::reach::words::Word::into_word($argument)),*]);
                // SAFETY: the arguments are the application's, valid for the call that it made, or a row's
                // own in their place.
                $crate::reach::words::Word::from_word(unsafe { next.call(words) })
            };
            // SAFETY: as for `after`.
            let result: $ret = unsafe { $body };
            $crate::reach::words::Word::into_word(result)
        }
    };
    ($symbol:literal, $events:tt, { after_alone, $row:expr, $fails:ident, $arguments:tt -> $ret:ty, |$call:ident, $result:ident| $body:expr }) => {
        $crate::alone! { $symbol, $events, 0, { $row, $fails, $arguments -> $ret, |$call, $result| $body } }
    };
    ($symbol:literal, $events:tt, { timed_alone, $row:expr, $fails:ident, $arguments:tt -> $ret:ty, |$call:ident, $result:ident| $body:expr }) => {
        $crate::alone! { $symbol, $events, $crate::process::begin_ns(), { $row, $fails, $arguments -> $ret, |$call, $result| $body } }
    };
    ($symbol:literal, $events:tt, { instead_alone, $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident, $real:ident| $body:expr }) => {
        pub static REAL: $crate::reach::real::Real = $crate::reach::real::Real::new();
        const KINDS: u8 = $crate::nested_kinds! { $symbol $events };
        $crate::twins! { $symbol, $events, $row, ($($argument: $type),*) -> $ret, |$call| {
            let Some(address) = REAL.address::<$crate::start::init::Early>($crate::c_name!($symbol)) else {
                return <$fails as Fails<$ret>>::missing();
            };
            // SAFETY: the address was looked up under this very symbol, whose C prototype this is.
            let $real = unsafe {
                core::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $ret>(address.get())
            };
            let outer = $crate::reach::marks::begin_call($call, KINDS);
            #[allow(unused_unsafe)] // some rows are safe
            // SAFETY: the arguments are the application's, valid for the call that it made.
            let result = unsafe { $body };
            $crate::reach::marks::end_call(outer, KINDS);
            result
        } }
    };
    ($symbol:literal, $events:tt, { own, $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident| $body:expr }) => {
        pub static REAL: $crate::reach::real::Real = $crate::reach::real::Real::new();
        const KINDS: u8 = $crate::nested_kinds! { $symbol $events };
        $crate::twins! { $symbol, $events, $row, ($($argument: $type),*) -> $ret, |$call| {
            $crate::reach::maps::begin::<$crate::start::init::Early>();
            let outer = $crate::reach::marks::begin_call($call, KINDS);
            #[allow(unused_unsafe)] // as for `after`
            // SAFETY: as for `after`.
            let result = unsafe { $body };
            $crate::reach::marks::end_call(outer, KINDS);
            result
        } }
    };
    ($symbol:literal, $events:tt, { jump, $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident| $body:expr }) => {
        $crate::wrapper! { $symbol, $events, { answer, $row, $fails, ($($argument: $type),*) -> $ret, |$call, _real| { if $crate::process::ring().is_some() { $body; } None } } }
    };
    ($symbol:literal, $events:tt, { answer, $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident, $real:ident| $body:expr }) => {
        pub static REAL: $crate::reach::real::Real = $crate::reach::real::Real::new();
        #[inline(always)]
        unsafe fn body($call: $crate::record::call::Row, $($argument: $type),*) -> $crate::reach::hook::Onward<$ret> {
            let Some(address) = REAL.address::<$crate::start::init::Early>($crate::c_name!($symbol)) else {
                return $crate::reach::hook::Onward::done(<$fails as Fails<$ret>>::missing());
            };
            // SAFETY: the address was looked up under this very symbol, whose C prototype this is.
            let $real = unsafe {
                core::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $ret>(address.get())
            };
            #[allow(unused_unsafe)] // rows of plain numbers call nothing unsafe
            // SAFETY: as for `after`.
            let answer: Option<$ret> = unsafe { $body };
            if let Some(answer) = answer {
                return $crate::reach::hook::Onward::done(answer);
            }
            $crate::reach::hook::Onward::to(address.get())
        }
        unsafe extern "C" fn record($($argument: $type),*) -> $crate::reach::hook::Onward<$ret> {
            // SAFETY: the stub passes on the call's arguments.
            unsafe { body($row, $($argument),*) }
        }
        unsafe extern "C" fn record_redirected($($argument: $type),*) -> $crate::reach::hook::Onward<$ret> {
            // SAFETY: the stub passes on the call's arguments.
            unsafe { body($row.redirected(), $($argument),*) }
        }
        $crate::jump_stub! {
            #[cfg_attr(not(test), unsafe(export_name = $symbol))]
            wrapper, record
        }
        $crate::jump_stub! { twin, record_redirected }
        $crate::hook_entry! { $symbol, twin, REAL, $row }
    };
    ($symbol:literal, $events:tt, { list, $row:expr, $fails:ident, ($path:ident: $path_type:ty, $list:ident: $list_type:ty, $rest:ident: $rest_type:ty) -> $ret:ty,
     |$call:ident| $body:expr }) => {
        pub static REAL: $crate::reach::real::Real = $crate::reach::real::Real::new();
        const KINDS: u8 = $crate::nested_kinds! { $symbol $events };
        #[inline(always)]
        unsafe fn body($call: $crate::record::call::Row, $path: $path_type, $list: $list_type, $rest: $rest_type) -> $ret {
            $crate::reach::maps::begin::<$crate::start::init::Early>();
            let outer = $crate::reach::marks::begin_call($call, KINDS);
            #[allow(unused_unsafe)] // as for `after`
            // SAFETY: as for `after`; the array is the stub's, on its frame.
            let result = unsafe { $body };
            $crate::reach::marks::end_call(outer, KINDS);
            result
        }
        unsafe extern "C" fn with_array($path: $path_type, $list: $list_type, $rest: $rest_type) -> $ret {
            // SAFETY: the stub passes on the call's arguments.
            unsafe { body($row, $path, $list, $rest) }
        }
        unsafe extern "C" fn with_array_redirected($path: $path_type, $list: $list_type, $rest: $rest_type) -> $ret {
            // SAFETY: the stub passes on the call's arguments.
            unsafe { body($row.redirected(), $path, $list, $rest) }
        }
        $crate::list_stub! {
            #[cfg_attr(not(test), unsafe(export_name = $symbol))]
            wrapper, with_array
        }
        $crate::list_stub! { twin, with_array_redirected }
        $crate::hook_entry! { $symbol, twin, REAL, $row }
    };
    ($symbol:literal, $events:tt, { vfork, $row:expr, $fails:ident, () -> $ret:ty, |$call:ident, $pid:ident, $began:ident| $body:expr }) => {
        pub static REAL: $crate::reach::real::Real = $crate::reach::real::Real::new();
        #[inline(always)]
        unsafe fn body($call: $crate::record::call::Row, $pid: isize, $began: u64) -> $ret {
            #[allow(unused_unsafe)] // as for `after`
            // SAFETY: the stub made the call and passes on what it returned.
            unsafe { $body }
        }
        extern "C" fn begins() -> u64 {
            $crate::process::begin_ns()
        }
        unsafe extern "C" fn returned(pid: isize, began_ns: u64) -> $ret {
            // SAFETY: as above.
            unsafe { body($row, pid, began_ns) }
        }
        unsafe extern "C" fn returned_redirected(pid: isize, began_ns: u64) -> $ret {
            // SAFETY: as above.
            unsafe { body($row.redirected(), pid, began_ns) }
        }
        $crate::vfork_stub! {
            #[cfg_attr(not(test), unsafe(export_name = $symbol))]
            wrapper, begins, returned
        }
        $crate::vfork_stub! { twin, begins, returned_redirected }
        $crate::hook_entry! { $symbol, twin, REAL, $row }
    };
}

/// The exported function and its twin, which go on in one body. A row without events has only one of them,
/// since no record says which was called.
#[macro_export]
macro_rules! twins {
    ($symbol:literal, (), $row:expr, ($($argument:ident: $type:ty),*) -> $ret:ty, |$called:ident| $body:block) => {
        #[cfg_attr(not(test), unsafe(export_name = $symbol))]
        unsafe extern "C" fn wrapper($($argument: $type),*) -> $ret {
            let $called = $row;
            $body
        }
        $crate::hook_entry! { $symbol, wrapper, REAL, $row }
    };
    ($symbol:literal, $events:tt, $row:expr, ($($argument:ident: $type:ty),*) -> $ret:ty, |$called:ident| $body:block) => {
        // The row comes last, so that the arguments stay in their registers and both twins are a move and a
        // jump.
        #[inline(never)]
        unsafe extern "C" fn body($($argument: $type,)* $called: $crate::record::call::Row) -> $ret $body
        #[cfg_attr(not(test), unsafe(export_name = $symbol))]
        unsafe extern "C" fn wrapper($($argument: $type),*) -> $ret {
            // SAFETY: the arguments are the caller's.
            unsafe { body($($argument,)* $row) }
        }
        unsafe extern "C" fn twin($($argument: $type),*) -> $ret {
            // SAFETY: the arguments are the caller's.
            unsafe { body($($argument,)* $row.redirected()) }
        }
        $crate::hook_entry! { $symbol, twin, REAL, $row }
    };
}

/// The way on of a call that looks at its caller: to the real function, or back with an answer. In the two
/// registers that the stubs of `arch` read.
#[repr(C)]
pub struct Onward<R> {
    address: usize,
    value: MaybeUninit<R>,
}

impl<R> Onward<R> {
    /// To the function at `address`, with everything as it came.
    pub fn to(address: usize) -> Self {
        Self { address, value: MaybeUninit::zeroed() }
    }

    /// Back to the caller.
    pub fn done(value: R) -> Self {
        Self { address: 0, value: MaybeUninit::new(value) }
    }
}

/// See [`crate::reach::inline::nested_kinds`].
#[macro_export]
macro_rules! nested_kinds {
    ($symbol:literal ($($kind:ident),*)) => {
        $crate::reach::inline::nested_kinds($crate::c_name!($symbol), &[$(wire::events::Kind::$kind),*])
    };
}

/// A symbol's name as a C string.
#[macro_export]
macro_rules! c_name {
    ($symbol:literal) => {{
        const NAME: &core::ffi::CStr =
            match core::ffi::CStr::from_bytes_with_nul(concat!($symbol, "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => c"",
            };
        NAME
    }};
}
