//! The numbers and strings of a frame's body. Each read gives `None` at the end of the body, or for a number
//! that is too large.

/// The rest of a frame's body.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    /// A LEB128 number.
    #[inline]
    pub fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A zigzag number.
    pub fn signed(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// A number of 32 bits.
    pub fn small(&mut self) -> Option<u32> {
        self.unsigned()?.try_into().ok()
    }

    /// A number of things that follow, or the place of one.
    pub fn count(&mut self) -> Option<usize> {
        self.unsigned()?.try_into().ok()
    }

    /// A length, and as many bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}
