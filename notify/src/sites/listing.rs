//! All instructions of a file's code, decoded one behind the other.
//!
//! Only where an instruction begins is kept, a bit for each byte; what it does is decoded again where it is
//! asked.

use std::marker::PhantomData;

use super::elf::{Image, Part};
use super::{MOST_SITES, Unscannable};

/// The most direct jumps and calls. glibc 2.36 has 90 000; 16 bytes are kept for each.
pub(super) const MOST_JUMPS: usize = 4_000_000;

/// The instructions of a machine.
pub(super) trait Code {
    /// The length of the system call instruction.
    const CALL_BYTES: u64;

    /// The register that holds the number at a system call instruction.
    const NUMBER: u8;

    /// The bytes on the stack that a call instruction adds.
    const RETURN_BYTES: i32;

    /// Whether code may have a system call instruction; false saves decoding it.
    fn may_call(bytes: &[u8]) -> bool;

    /// Decodes the instruction at the beginning of `bytes`. The length is 1 at least.
    fn step(bytes: &[u8], address: u64) -> Step;

    /// Decodes all instructions of `bytes`. `visit` is given each one's index, and gives that of the next
    /// one, which is greater, or nothing to stop.
    fn sweep(bytes: &[u8], address: u64, mut visit: impl FnMut(usize, Step) -> Option<usize>) {
        let mut index = 0;
        while let Some(rest) = bytes.get(index..).filter(|rest| !rest.is_empty()) {
            match visit(index, Self::step(rest, address + index as u64)) {
                Some(next) => index = next,
                None => return,
            }
        }
    }

    /// Where the value in a place comes from, if the instruction at the beginning of `bytes` ran last.
    fn origin(bytes: &[u8], address: u64, place: Place) -> Origin;

    /// Whether the called function leaves this register as it was, by the convention of calls.
    fn survives_calls(register: u8) -> bool;
}

/// An instruction, as far as the order of instructions goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Its length in bytes.
    pub bytes: u8,
    /// The instructions that can run next.
    pub flow: Flow,
}

/// The instructions that can run next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next one.
    Next,
    /// The one at an address.
    Jump(u64),
    /// Either.
    Branch(u64),
    /// A function's, then the next one; the function is unknown if its address is.
    Call(Option<u64>),
    /// The kernel's, then the next one.
    SystemCall,
    /// None that the code shows: a return, a jump to a computed address, a trap.
    Stop,
}

/// A place that holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A register, all of it or its lower half.
    Register(u8),
    /// The stack, so many bytes above the stack pointer.
    Stack(i32),
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The instruction sets it.
    Value(u64),
    /// It was there before, perhaps in another place.
    Place(Place),
    /// It was in one of two places before.
    Either(Place, Place),
    /// It was in the same place before, but for its lowest byte, which is set.
    LowestByte(u8),
    /// The instruction computes or reads it.
    Unknown,
}

/// The instructions of a file, and the direct jumps and calls among them.
pub(super) struct Listing<'b, C> {
    parts: &'b [Part<'b>],
    /// For each part, a bit for each byte: whether an instruction begins there.
    starts: Vec<Bits>,
    symbols: &'b [u64],
    open_entries: &'b [u64],
    /// Addresses of system call instructions, ascending.
    calls: Vec<u64>,
    /// Target and source of each jump and call, ascending.
    jumps: Vec<(u64, u64)>,
    code: PhantomData<C>,
}

struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    fn is_set(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }
}

impl<'b, C: Code> Listing<'b, C> {
    /// Decodes the code of a file.
    pub fn new(image: &'b Image) -> Result<Listing<'b, C>, Unscannable> {
        let mut listing = Listing {
            parts: &image.parts,
            starts: Vec::new(),
            symbols: &image.symbols,
            open_entries: &image.open_entries,
            calls: Vec::new(),
            jumps: Vec::new(),
            code: PhantomData,
        };
        if image.parts.iter().any(|part| C::may_call(part.bytes)) {
            for part in &image.parts {
                listing.decode(*part)?;
            }
        }
        listing.jumps.sort_unstable();
        Ok(listing)
    }

    fn decode(&mut self, part: Part<'b>) -> Result<(), Unscannable> {
        let mut starts = Bits(vec![0; part.bytes.len().div_ceil(64)]);
        let first = self.symbols.partition_point(|symbol| *symbol < part.address);
        let mut symbols = self.symbols.get(first..).unwrap_or_default().iter().copied().peekable();
        let (calls, jumps) = (&mut self.calls, &mut self.jumps);
        let mut result = Ok(());
        C::sweep(part.bytes, part.address, |index, step| {
            let address = part.address + index as u64;
            starts.set(index);
            match step.flow {
                Flow::Jump(target) | Flow::Branch(target) | Flow::Call(Some(target)) => {
                    jumps.push((target, address));
                    if jumps.len() > MOST_JUMPS {
                        result = Err(Unscannable::TooManyJumps);
                        return None;
                    }
                }
                Flow::SystemCall => {
                    calls.push(address);
                    if calls.len() > MOST_SITES {
                        result = Err(Unscannable::TooManySites);
                        return None;
                    }
                }
                Flow::Next | Flow::Call(None) | Flow::Stop => {}
            }
            let next = address + u64::from(step.bytes.max(1));
            // An instruction begins at each symbol, also if data before it were taken for a longer one.
            while symbols.next_if(|symbol| *symbol <= address).is_some() {}
            let next = symbols.peek().copied().filter(|symbol| *symbol < next).unwrap_or(next);
            Some((next - part.address) as usize)
        });
        result?;
        self.starts.push(starts);
        Ok(())
    }

    /// Addresses of system call instructions, ascending.
    pub fn calls(&self) -> &[u64] {
        &self.calls
    }

    /// The bytes from an address to the end of its part.
    pub fn at(&self, address: u64) -> Option<&'b [u8]> {
        let part = self.parts.get(Part::holding(self.parts, address)?)?;
        part.bytes.get(part.index(address)?..)
    }

    /// The instruction that ends where the one at this address begins.
    pub fn before(&self, address: u64) -> Option<(u64, Step)> {
        /// The longest instruction (Intel's manual, volume 2, section 2.3.11).
        const LONGEST: usize = 15;
        let last = address.checked_sub(1)?;
        let at = Part::holding(self.parts, last)?;
        let (part, starts) = (self.parts.get(at)?, self.starts.get(at)?);
        let end = part.index(last)?;
        let start = (end.saturating_sub(LONGEST - 1)..=end).rev().find(|index| starts.is_set(*index))?;
        let at = part.address + start as u64;
        let step = C::step(part.bytes.get(start..)?, at);
        (at + u64::from(step.bytes) == address).then_some((at, step))
    }

    /// The addresses of the direct jumps and calls to this address.
    pub fn sources(&self, target: u64) -> impl Iterator<Item = u64> {
        let first = self.jumps.partition_point(|(to, _)| *to < target);
        let rest = self.jumps.get(first..).unwrap_or_default();
        rest.iter().take_while(move |(to, _)| *to == target).map(|(_, from)| *from)
    }

    /// Whether a symbol names this address.
    pub fn is_named(&self, address: u64) -> bool {
        self.symbols.binary_search(&address).is_ok()
    }

    /// Whether callers outside of the file are expected to give the number here.
    pub fn is_open_entry(&self, address: u64) -> bool {
        self.open_entries.binary_search(&address).is_ok()
    }
}
