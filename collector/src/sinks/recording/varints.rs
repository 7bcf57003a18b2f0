//! Numbers and strings as a frame's body has them; `input` reads them back.

/// Appends a LEB128 number.
#[inline]
pub fn unsigned(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a zigzag number.
#[inline]
pub fn signed(number: i64, out: &mut Vec<u8>) {
    unsigned((number << 1 ^ number >> 63).cast_unsigned(), out);
}

/// Appends a length, and as many bytes.
#[inline]
pub fn bytes(text: &[u8], out: &mut Vec<u8>) {
    unsigned(text.len() as u64, out);
    out.extend_from_slice(text);
}
