//! Bytes of records: bincode 2.0.1 with fixed-size integers, little endian, behind this one module.
//!
//! bincode is no longer maintained (RUSTSEC-2025-0141). Whoever replaces it changes this file and the derives in
//! `events`, `fields`, `record` and `hello`; the golden bytes in `tests/golden.rs` say whether the format stayed.
//! Integers take their own size, a byte string its length as u64 and then its bytes, an option one byte and then
//! its value. See `docs/wire-format.md`.

use bincode::config::{Configuration, Fixint, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::{BorrowDecode, Encode};

const CONFIG: Configuration<LittleEndian, Fixint> = bincode::config::standard().with_fixed_int_encoding();

/// Where encoded bytes go; `put` says whether they fitted.
pub trait Sink {
    /// Appends `bytes`, or returns false and leaves the sink as it is.
    fn put(&mut self, bytes: &[u8]) -> bool;
}

struct Adapter<'s, S>(&'s mut S);

impl<S: Sink> Writer for Adapter<'_, S> {
    #[inline(always)]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if self.0.put(bytes) { Ok(()) } else { Err(EncodeError::UnexpectedEnd) }
    }
}

/// Appends `value` to `sink`. False when it did not fit; the sink then holds a part of it.
#[inline(always)]
pub fn encode(value: &impl Encode, sink: &mut impl Sink) -> bool {
    bincode::encode_into_writer(value, Adapter(sink), CONFIG).is_ok()
}

/// Bytes that do not decode to the value asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Decodes a value from the front of `bytes`, and gives what is left.
///
/// Never panics, whatever the bytes are; strings borrow from `bytes`.
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
