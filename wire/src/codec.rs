//! Bytes of records: as bincode 2.0.1 lays them out with fixed-size integers, little endian.
//!
//! Integers take their own size, a byte string its length as u64 and then its bytes, an option one byte and
//! then its value; structs are their fields in order. See `docs/wire-format.md`. Decoding is bincode's.
//! Encoding is [`Encode`], which the sensor has in every hooked call (ADR 14); `tests/golden.rs` holds the
//! two together.
//!
//! bincode is no longer maintained (RUSTSEC-2025-0141). A replacement changes this file and the derives in
//! `events`, `fields`, `record` and `hello`; the golden bytes show whether the format stayed.

use bincode::BorrowDecode;
use bincode::config::{Configuration, Fixint, LittleEndian};

const CONFIG: Configuration<LittleEndian, Fixint> = bincode::config::standard().with_fixed_int_encoding();

/// The destination of encoded bytes.
pub trait Sink {
    /// Appends `bytes`, or returns false and leaves the sink as it is.
    fn put(&mut self, bytes: &[u8]) -> bool;
}

/// A value that can be written.
pub trait Encode {
    /// Appends the value to `sink`. False when it did not fit; the sink then holds a part of it.
    fn encode(&self, sink: &mut impl Sink) -> bool;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            #[inline(always)]
            fn encode(&self, sink: &mut impl Sink) -> bool { sink.put(&self.to_le_bytes()) }
        }
    )*};
}
integers!(u8, u16, u32, u64, i32, i64);

impl Encode for bool {
    #[inline(always)]
    fn encode(&self, sink: &mut impl Sink) -> bool {
        u8::from(*self).encode(sink)
    }
}

impl<T: Encode> Encode for Option<T> {
    #[inline(always)]
    fn encode(&self, sink: &mut impl Sink) -> bool {
        match self {
            Some(value) => true.encode(sink) && value.encode(sink),
            None => false.encode(sink),
        }
    }
}

impl Encode for &[u8] {
    #[inline(always)]
    fn encode(&self, sink: &mut impl Sink) -> bool {
        (self.len() as u64).encode(sink) && sink.put(self)
    }
}

impl<T: Encode, const N: usize> Encode for [T; N] {
    #[inline(always)]
    fn encode(&self, sink: &mut impl Sink) -> bool {
        self.iter().all(|value| value.encode(sink))
    }
}

/// Writes a struct by its fields, in their order.
#[macro_export]
macro_rules! encode_by_fields {
    ($($name:ident $(<$parameter:tt>)? { $($field:tt),* })*) => {$(
        impl $(<$parameter>)? $crate::codec::Encode for $name $(<$parameter>)? {
            #[inline(always)]
            fn encode(&self, sink: &mut impl $crate::codec::Sink) -> bool {
                let _ = &sink; // an event may send no field
                true $(&& $crate::codec::Encode::encode(&self.$field, sink))*
            }
        }
    )*};
}

/// Bytes that do not decode to the value asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Decodes a value from the front of `bytes`, and gives what is left.
///
/// Never panics, for any bytes; strings borrow from `bytes`.
pub fn decode<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), Malformed> {
    let (value, used) = bincode::borrow_decode_from_slice(bytes, CONFIG).map_err(|_| Malformed)?;
    Ok((value, bytes.get(used..).ok_or(Malformed)?))
}

/// A sink over a slice, for messages and tests.
pub struct SliceSink<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> SliceSink<'b> {
    /// An empty sink that holds at most `buffer.len()` bytes.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Sink for SliceSink<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) -> bool {
        let Some(end) = self.len.checked_add(bytes.len()) else { return false };
        let Some(place) = self.buffer.get_mut(self.len..end) else { return false };
        place.copy_from_slice(bytes);
        self.len = end;
        true
    }
}
