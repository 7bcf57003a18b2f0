//! The hook table as data: which symbols are wrapped, how each function fails, and what it reports.
//!
//! Made from the same files as the sensor's wrappers, so it cannot differ from them. The collector reads the
//! name of a call here, `glassbox hooks` and `docs/hooks.md` show it, and `cargo xtask check-so` compares it
//! with what the linked sensor exports.

#![no_std]

#[path = "../table.rs"]
mod table;

pub use table::CALLS as FINGERPRINT;

/// One row: a C function.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The number that records carry.
    pub id: u16,
    /// The C function.
    pub name: &'static str,
    /// The `call` of its events.
    pub call: &'static str,
    /// The prototype, Rust notation; empty for a system call that has no libc function.
    pub prototype: &'static str,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// Those that its events tell, or that are kept for later ones; with how far, where that is not all of
    /// it.
    pub told: &'static [(&'static str, &'static str)],
    /// The symbols exported; each calls its own next definition.
    pub symbols: &'static [&'static str],
    /// The way in which it reports failure.
    pub fails: &'static str,
    /// The events it reports (`wire::events::Kind`, by name); none for a row that is only counted, or changes
    /// the collector's picture only.
    pub events: &'static [wire::events::Kind],
    /// The way in which the wrapper stands in for it: `after`, `timed`, `instead`, `after_alone`,
    /// `timed_alone`, `instead_alone`, `own`, `jump`, `answer`, `list`, `vfork`.
    pub phase: &'static str,
    /// Its documentation, line by line.
    pub doc: &'static [&'static str],
}

/// One file of `hooks/`.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The file's name, without its ending.
    pub name: &'static str,
    /// Its rows.
    pub rows: &'static [Row],
}

/// Every family, in the order of the table.
pub const FAMILIES: &[Family] = table::FAMILIES;

/// Every row.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    FAMILIES.iter().flat_map(|family| family.rows)
}

/// Every exported symbol.
pub fn symbols() -> impl Iterator<Item = &'static str> {
    rows().flat_map(|row| row.symbols).copied()
}

/// The `call` of events with this row's number; `None` for 0 and numbers that this table does not have.
pub fn name(id: u16) -> Option<&'static str> {
    let family = FAMILIES.get(usize::from(id >> 8).checked_sub(1)?)?;
    family.rows.get(usize::from(id & 0xff).checked_sub(1)?).map(|row| row.call)
}

/// Declares the families; the sensor has a macro of the same name.
#[macro_export]
#[doc(hidden)]
macro_rules! families {
    ($($family:ident),*) => {
        $(mod $family;)*
        /// Every family.
        pub const FAMILIES: &[$crate::Family] = &[$($family::FAMILY),*];
        /// Hash of every row's name, in order.
        pub const CALLS: u64 = wire::schema::hash_names(&[$($family::NAMES),*]);
    };
}

/// Reads a family as data; the sensor has a macro of the same name.
#[macro_export]
#[doc(hidden)]
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
     $(numbers $($rest:tt)*)?
    ) => {
        #[allow(non_camel_case_types, dead_code, clippy::upper_case_acronyms)]
        enum Name { $($name,)* $($($extra,)*)? }

        pub const NAMES: &[&str] = &[$(stringify!($name),)* $($(stringify!($extra),)*)?];

        pub const FAMILY: $crate::Family = $crate::Family {
            name: stringify!($family),
            rows: &[
                $($crate::Row {
                    id: $number << 8 | (Name::$name as u16 + 1),
                    name: stringify!($name),
                    call: $crate::canonical(stringify!($name), &[$(stringify!($alias))?]),
                    prototype: stringify!(fn $name($($argument: $type),*) -> $ret),
                    arguments: &[$(stringify!($argument)),*],
                    told: &[$((stringify!($told), $crate::one(&[$($how)?]))),*],
                    symbols: &[$($symbol),*],
                    fails: stringify!($fails),
                    events: &[$(wire::events::Kind::$kind),*],
                    phase: stringify!($phase),
                    doc: &[$($doc),+],
                },)*
                $($($crate::Row {
                    id: $number << 8 | (Name::$extra as u16 + 1),
                    name: stringify!($extra),
                    call: stringify!($extra),
                    prototype: "",
                    arguments: &[],
                    told: &[($extra_told, "")],
                    symbols: &[],
                    fails: "MinusOne",
                    events: &[],
                    phase: "instead",
                    doc: &[" By syscall(2) only."],
                },)*)?
            ],
        };
    };
}

/// The only string of a list, or none.
pub const fn one(list: &[&'static str]) -> &'static str {
    match list {
        [one, ..] => one,
        [] => "",
    }
}

/// The name that events show: the alias where a row gives one.
const fn canonical(name: &'static str, alias: &[&'static str]) -> &'static str {
    match alias {
        [alias, ..] => alias,
        [] => name,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_symbol_stands_in_two_rows() {
        let mut seen = HashSet::new();

        assert_eq!(None, symbols().find(|symbol| !seen.insert(*symbol)));
    }

    #[test]
    fn a_rows_number_leads_back_to_its_name() {
        for row in rows() {
            assert_eq!(Some(row.call), name(row.id), "{}", row.name);
        }
        assert_eq!(None, name(0));
        assert_eq!(None, name(u16::MAX));
    }

    #[test]
    fn what_a_row_tells_is_an_argument_of_its_function() {
        for row in rows().filter(|row| !row.prototype.is_empty()) {
            let stranger = row.told.iter().find(|(name, _)| !row.arguments.contains(name));

            assert_eq!(None, stranger, "{}", row.name);
        }
    }

    #[test]
    fn every_row_is_documented_with_its_man_page() {
        for row in rows().filter(|row| !row.prototype.is_empty()) {
            let first = row.doc.first().copied().unwrap_or_default();

            assert!(first.contains('('), "{}: {first}", row.name);
        }
    }
}
