//! The macro that turns a row of `hooks/` into an exported function.
//!
//! A row gives the C prototype, the symbols, how the function fails, which events it reports, and a way of standing in
//! for it:
//!
//! * `after |call, ret| …`: the real function is called, then the expression runs with what came back.
//! * `instead |call, real| …`: the expression calls the real function itself and gives the result.
//! * `jump |row| …`: the expression runs, then the real function is jumped to, so that it sees its true caller.
//! * `list |row| …`: for the `execl` family, whose arguments arrive as an array, and the address of what follows them.
//! * `vfork |row, pid| …`: for vfork, which returns twice.
//!
//! Where there is no ring, `after` and `jump` only call on. Nothing with a destructor is alive while the real function
//! runs, and nothing is held: the thread may be cancelled there, or jump out.

use crate::fail::Outcome;

/// The row that a wrapper was made from: its number in the table.
#[derive(Clone, Copy)]
pub struct Row(pub u16);

/// A call that came back.
#[derive(Clone, Copy)]
pub struct Call {
    /// Which function.
    pub row: Row,
    /// How it ended.
    pub outcome: Outcome,
}

/// Declares hooks; see the module's documentation, and `hooks/file.rs` for examples.
#[macro_export]
macro_rules! hooks {
    (family $family:ident = $number:literal;
     $(
        $(#[doc = $doc:literal])+
        unsafe fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $ret:ty;
        symbols: $($symbol:literal),* $(as $alias:ident)?;
        fails: $fails:ident;
        event: $($kind:ident),*;
        $phase:ident |$($bound:ident),+| $body:expr;
     )*
     $(names: $($extra:ident),* $(,)?;)?
     $(numbers: [$($number_name:ident => $row:path),* $(,)?]
       x86_64: [$($old_number:ident => $old_row:path),* $(,)?];)?
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
            pub const fn row(self) -> $crate::hook::Row {
                $crate::hook::Row($number << 8 | (self as u16 + 1))
            }
        }

        $(
            const _: &[wire::events::Kind] = &[$(wire::events::Kind::$kind),*];
            $crate::row! {
                ($($symbol),*)
                { $phase, Name::$name.row(), $fails, ($($argument: $type),*) -> $ret, |$($bound),+| $body }
            }
        )*

        $(
            /// The row that a system call's number belongs to.
            fn row_of(number: c_long) -> Option<$crate::hook::Row> {
                match number {
                    $(libc::$number_name => Some($row.row()),)*
                    // Numbers that aarch64 never had.
                    $(#[cfg(target_arch = "x86_64")] libc::$old_number => Some($old_row.row()),)*
                    _ => None,
                }
            }
        )?
    };
}

/// Declares the families; the crate `hook-table` has a macro of the same name.
#[macro_export]
macro_rules! families {
    ($($family:ident),*) => {
        $(mod $family;)*
        /// Hash of every row's name, in order.
        pub const CALLS: u64 = wire::schema::hash_names(&[$($family::NAMES),*]);
    };
}

/// One row: a wrapper for each symbol.
#[macro_export]
macro_rules! row {
    (($($symbol:literal),*) $rest:tt) => { $( const _: () = { $crate::wrapper! { $symbol, $rest } }; )* };
}

/// One exported function.
#[macro_export]
macro_rules! wrapper {
    ($symbol:literal, { after, $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident, $result:ident| $body:expr }) => {
        static REAL: $crate::real::Real = $crate::real::Real::new();
        #[cfg_attr(not(test), unsafe(export_name = $symbol))]
        unsafe extern "C" fn wrapper($($argument: $type),*) -> $ret {
            let Some(address) = REAL.get($crate::c_name!($symbol)) else {
                return <$crate::fail::$fails as $crate::fail::Fails<$ret>>::missing();
            };
            // SAFETY: the address was looked up under this very symbol, whose C prototype this is.
            let $result = unsafe {
                core::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $ret>(address)($($argument),*)
            };
            if $crate::state::ring().is_some() {
                let outcome = <$crate::fail::$fails as $crate::fail::Fails<$ret>>::outcome(&$result);
                let $call = $crate::hook::Call { row: $row, outcome };
                #[allow(unused_unsafe)] // rows of plain numbers call nothing unsafe
                // SAFETY: the arguments are the application's, valid for the call that it made: what the kernel or
                // libc could read, `capture` may. Each function in the row says what it reads.
                unsafe { $body };
            }
            $result
        }
    };
    ($symbol:literal, { instead, $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident, $real:ident| $body:expr }) => {
        static REAL: $crate::real::Real = $crate::real::Real::new();
        #[cfg_attr(not(test), unsafe(export_name = $symbol))]
        unsafe extern "C" fn wrapper($($argument: $type),*) -> $ret {
            let Some(address) = REAL.get($crate::c_name!($symbol)) else {
                return <$crate::fail::$fails as $crate::fail::Fails<$ret>>::missing();
            };
            // SAFETY: the address was looked up under this very symbol, whose C prototype this is.
            let $real = unsafe {
                core::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $ret>(address)
            };
            let $call = $row;
            #[allow(unused_unsafe)] // as for `after`
            // SAFETY: as for `after`; the expression calls the real function with the application's arguments.
            unsafe { $body }
        }
    };
    ($symbol:literal, { jump, $row:expr, $fails:ident, ($($argument:ident: $type:ty),*) -> $ret:ty, |$call:ident| $body:expr }) => {
        static REAL: $crate::real::Real = $crate::real::Real::new();
        unsafe extern "C" fn missing($(_: $type),*) -> $ret {
            <$crate::fail::$fails as $crate::fail::Fails<$ret>>::missing()
        }
        unsafe extern "C" fn record($($argument: $type),*) -> usize {
            let Some(address) = REAL.get($crate::c_name!($symbol)) else { return missing as *const () as usize };
            if $crate::state::ring().is_some() {
                let $call = $row;
                #[allow(unused_unsafe)] // rows of plain numbers call nothing unsafe
                // SAFETY: as for `after`.
                unsafe { $body };
            }
            address
        }
        $crate::jump_stub! {
            #[cfg_attr(not(test), unsafe(export_name = $symbol))]
            wrapper, record
        }
    };
    ($symbol:literal, { list, $row:expr, $fails:ident, ($path:ident: $path_type:ty, $list:ident: $list_type:ty, $rest:ident: $rest_type:ty) -> $ret:ty,
     |$call:ident| $body:expr }) => {
        unsafe extern "C" fn with_array($path: $path_type, $list: $list_type, $rest: $rest_type) -> $ret {
            let $call = $row;
            #[allow(unused_unsafe)] // as for `after`
            // SAFETY: as for `after`; the array is the stub's, on its frame.
            unsafe { $body }
        }
        $crate::list_stub! {
            #[cfg_attr(not(test), unsafe(export_name = $symbol))]
            wrapper, with_array
        }
    };
    ($symbol:literal, { vfork, $row:expr, $fails:ident, () -> $ret:ty, |$call:ident, $pid:ident| $body:expr }) => {
        unsafe extern "C" fn returned($pid: isize) -> $ret {
            let $call = $row;
            #[allow(unused_unsafe)] // as for `after`
            // SAFETY: the stub made the call and passes on what it returned.
            unsafe { $body }
        }
        $crate::vfork_stub! {
            #[cfg_attr(not(test), unsafe(export_name = $symbol))]
            wrapper, returned
        }
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
