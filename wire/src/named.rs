//! Enums whose variants are numbers on the wire, and mostly names in the output.

/// Declares an enum once: its numbers, its names, and the functions that give a name and read a number.
///
/// ```text
/// pub enum Via: u8 { Symbol = 0 "symbol", Got = 1 "got", }
/// fn name -> &'static str;
/// fn from_byte(u8);
/// ```
macro_rules! named {
    ($(#[$doc:meta])* $vis:vis enum $type:ident: $repr:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal $name:literal,)*
    }
    $(#[$name_doc:meta])* fn $name_of:ident -> &'static str;
    $($read:tt)*) => {
        $crate::named::named! {
            $(#[$doc])* $vis enum $type: $repr { $($(#[$variant_doc])* $variant = $number,)* }
            $($read)*
        }
        impl $type {
            $(#[$name_doc])*
            $vis fn $name_of(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
    ($(#[$doc:meta])* $vis:vis enum $type:ident: $repr:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)*
    }
    $(#[$read_doc:meta])* fn $read:ident($int:ty);) => {
        $crate::named::named! {
            $(#[$doc])* $vis enum $type: $repr { $($(#[$variant_doc])* $variant = $number,)* }
        }
        impl $type {
            $(#[$read_doc])*
            #[inline(always)]
            $vis fn $read(number: $int) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
    ($(#[$doc:meta])* $vis:vis enum $type:ident: $repr:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr($repr)]
        $vis enum $type { $($(#[$variant_doc])* $variant = $number,)* }

        #[allow(dead_code)] // not each type is gone through
        impl $type {
            /// Every one, in order.
            $vis const ALL: [Self; [$($number as $repr),*].len()] = [$(Self::$variant),*];
        }
    };
}
pub(crate) use named;
