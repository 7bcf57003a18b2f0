//! A bound on what is read of a file whose headers may name all of it.

use std::cell::Cell;

use object::read::ReadRef;

/// A file of which no more than a bound is read.
#[derive(Clone, Copy)]
pub struct Bounded<'d, R> {
    /// The file.
    pub data: R,
    /// Bytes that may still be read of it.
    pub left: &'d Cell<u64>,
}

impl<'d, R: ReadRef<'d>> Bounded<'d, R> {
    fn pay(self, size: u64) -> Result<(), ()> {
        self.left.set(self.left.get().checked_sub(size).ok_or(())?);
        Ok(())
    }
}

impl<'d, R: ReadRef<'d>> ReadRef<'d> for Bounded<'d, R> {
    fn len(self) -> Result<u64, ()> {
        self.data.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'d [u8], ()> {
        self.pay(size)?;
        self.data.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: std::ops::Range<u64>, delimiter: u8) -> Result<&'d [u8], ()> {
        // The cache reads a piece of this length at most (`ReadCache`, `MAX_SIZE`).
        self.pay(range.end.saturating_sub(range.start).min(4096))?;
        self.data.read_bytes_at_until(range, delimiter)
    }
}
