//! The instructions of a file's code, decoded where they are asked for.
//!
//! An instruction begins at each symbol, so the bytes from one symbol to the next, a *stretch*, can be
//! decoded alone. The scan needs a tenth of glibc 2.36: the stretches with a system call instruction, and
//! those that the way back leads to. Which jumps lead to an address is known without decoding them: any
//! bytes that look like a jump to it are remembered, and the stretch around them is decoded when the address
//! is asked for.
//!
//! Only where an instruction begins is kept, a bit for each byte; what it does is decoded again where it is
//! asked.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use super::elf::{Image, Part};
use super::far::Far;
use super::{MOST_SITES, Unscannable};

/// The most direct jumps and calls, and the most bytes that look like one. glibc 2.36 has 90 000; 16 bytes
/// at most are kept for each.
pub(super) const MOST_JUMPS: usize = 4_000_000;

/// The instructions of a machine.
pub(super) trait Code {
    /// The length of the system call instruction.
    const CALL_BYTES: u64;

    /// The register that holds the number at a system call instruction.
    const NUMBER: u8;

    /// The bytes on the stack that a call instruction adds.
    const RETURN_BYTES: i32;

    /// An instruction that has a byte of `calls`, `far_jumps` or `near_jumps` begins there, or so many bytes
    /// before at most.
    const MOST_PREFIXES: u64;

    /// The farthest byte of `near_jumps` from the address that the jump leads to.
    const NEAR: u64;

    /// The indices of bytes that system call instructions have, and other code seldom.
    fn calls(bytes: &[u8]) -> impl Iterator<Item = usize>;

    /// Gives the index of bytes that direct jumps and calls have, and other code seldom, and the address that
    /// they lead to, if it is a jump. Those of `near_jumps` are left out.
    fn far_jumps(bytes: &[u8], address: u64, visit: impl FnMut(usize, u64));

    /// The indices of bytes that jumps to `target` have which can lead near only, and other code seldom.
    fn near_jumps(bytes: &[u8], address: u64, target: u64) -> impl Iterator<Item = usize>;

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
    symbols: &'b [u64],
    open_entries: &'b [u64],
    /// Addresses at which stretches begin, ascending: of symbols and parts.
    stretches: Vec<u64>,
    /// Of each stretch, whether it is decoded.
    decoded: Bits,
    /// For each part, a bit for each byte: whether a decoded instruction begins there.
    starts: Vec<Bits>,
    /// Addresses of system call instructions, ascending.
    calls: Vec<u64>,
    /// Target and source of jumps and calls, ascending: those of the stretches with system calls.
    jumps: Vec<(u64, u64)>,
    /// The same of the stretches that were decoded later; none before those are sorted.
    late_jumps: Option<BTreeSet<(u64, u64)>>,
    /// Bytes that may be a jump or call.
    far: Far,
    code: PhantomData<C>,
}

#[derive(Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub fn of(count: usize) -> Bits {
        Bits(vec![0; count.div_ceil(64)])
    }

    pub fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    pub fn is_set(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }
}

impl<'b, C: Code> Listing<'b, C> {
    /// Finds the system call instructions of a file.
    pub fn new(image: &'b Image) -> Result<Listing<'b, C>, Unscannable> {
        let mut listing = Listing::undecoded(image);
        for part in &image.parts {
            for index in C::calls(part.bytes) {
                listing.decode_around(*part, index)?;
            }
        }
        if listing.calls.is_empty() {
            return Ok(listing);
        }
        listing.calls.sort_unstable();
        listing.jumps.sort_unstable();
        listing.jumps.dedup();
        listing.late_jumps = Some(BTreeSet::new());
        listing.far = Far::of::<C>(&image.parts)?;
        Ok(listing)
    }

    fn undecoded(image: &'b Image) -> Listing<'b, C> {
        let parts = image.parts.iter().map(|part| part.address);
        let mut stretches: Vec<u64> = image.symbols.iter().copied().chain(parts).collect();
        stretches.sort_unstable();
        stretches.dedup();
        Listing {
            parts: &image.parts,
            symbols: &image.symbols,
            open_entries: &image.open_entries,
            decoded: Bits::of(stretches.len()),
            starts: image.parts.iter().map(|part| Bits::of(part.bytes.len())).collect(),
            stretches,
            calls: Vec::new(),
            jumps: Vec::new(),
            late_jumps: None,
            far: Far::default(),
            code: PhantomData,
        }
    }

    /// Decodes all instructions that may have the byte at this index of a part.
    fn decode_around(&mut self, part: Part<'b>, index: usize) -> Result<(), Unscannable> {
        let last = part.address + index as u64;
        let first = last.saturating_sub(C::MOST_PREFIXES).max(part.address);
        for stretch in self.stretch(first)..=self.stretch(last) {
            self.decode(stretch)?;
        }
        Ok(())
    }

    /// The index of the stretch that an address of a part is in.
    fn stretch(&self, address: u64) -> usize {
        self.stretches.partition_point(|begin| *begin <= address).saturating_sub(1)
    }

    fn decode(&mut self, stretch: usize) -> Result<(), Unscannable> {
        if self.decoded.is_set(stretch) {
            return Ok(());
        }
        self.decoded.set(stretch);
        let Some(begin) = self.stretches.get(stretch).copied() else { return Ok(()) };
        let Some(at) = Part::holding(self.parts, begin) else { return Ok(()) };
        let (Some(part), Some(starts)) = (self.parts.get(at), self.starts.get_mut(at)) else { return Ok(()) };
        let (calls, jumps, late_jumps) = (&mut self.calls, &mut self.jumps, &mut self.late_jumps);
        let end = self.stretches.get(stretch + 1).copied().unwrap_or(u64::MAX);
        let first = (begin - part.address) as usize;
        let mut result = Ok(());
        C::sweep(part.bytes.get(first..).unwrap_or_default(), begin, |index, step| {
            let address = begin + index as u64;
            starts.set(first + index);
            match step.flow {
                Flow::Jump(target) | Flow::Branch(target) | Flow::Call(Some(target)) => {
                    match late_jumps {
                        Some(late) => drop(late.insert((target, address))),
                        None => jumps.push((target, address)),
                    }
                    if jumps.len() + late_jumps.as_ref().map_or(0, BTreeSet::len) > MOST_JUMPS {
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
            // The next stretch begins with an instruction, also if data before it were taken for a longer
            // one.
            (next < end).then_some((next - begin) as usize)
        });
        result
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
    pub fn before(&mut self, address: u64) -> Result<Option<(u64, Step)>, Unscannable> {
        let Some(last) = address.checked_sub(1) else { return Ok(None) };
        let Some(at) = Part::holding(self.parts, last) else { return Ok(None) };
        // The stretch of that byte begins with an instruction, so none before it needs to be looked at.
        self.decode(self.stretch(last))?;
        Ok(self.starting_before(at, last).filter(|(at, step)| at + u64::from(step.bytes) == address))
    }

    /// The instruction that begins at this address of a part, or before it.
    fn starting_before(&self, at: usize, last: u64) -> Option<(u64, Step)> {
        /// The longest instruction (Intel's manual, volume 2, section 2.3.11).
        const LONGEST: usize = 15;
        let (part, starts) = (self.parts.get(at)?, self.starts.get(at)?);
        let end = part.index(last)?;
        let start = (end.saturating_sub(LONGEST - 1)..=end).rev().find(|index| starts.is_set(*index))?;
        let at = part.address + start as u64;
        Some((at, C::step(part.bytes.get(start..)?, at)))
    }

    /// The addresses of the direct jumps and calls to this address, ascending.
    pub fn sources(&mut self, target: u64) -> Result<Vec<u64>, Unscannable> {
        for place in self.places(target) {
            self.decode_at(place)?;
        }
        let first = self.jumps.partition_point(|(to, _)| *to < target);
        let rest = self.jumps.get(first..).unwrap_or_default();
        let early = rest.iter().take_while(|(to, _)| *to == target);
        let late = self.late_jumps.iter().flat_map(|late| late.range((target, 0)..=(target, u64::MAX)));
        let mut sources: Vec<u64> = early.chain(late).map(|(_, from)| *from).collect();
        sources.sort_unstable();
        Ok(sources)
    }

    /// The addresses of bytes that may be of a jump or call to this address.
    fn places(&mut self, target: u64) -> Vec<u64> {
        let mut places: Vec<u64> = self.far.places(self.parts, target).collect();
        for part in self.parts {
            let first = target.saturating_sub(C::NEAR).max(part.address);
            let end = target.saturating_add(C::NEAR).min(part.end());
            // Jumps of what is decoded are known.
            for stretch in self.stretch(first)..=self.stretch(end) {
                if self.decoded.is_set(stretch) {
                    continue;
                }
                let begin_of = |stretch: usize| self.stretches.get(stretch).copied();
                let first = first.max(begin_of(stretch).unwrap_or(0));
                // With what the next ones have of its last instruction: prefixes, the jump and its distance.
                let beyond = |next: u64| next.saturating_add(C::MOST_PREFIXES + 1);
                let end = end.min(begin_of(stretch + 1).map_or(u64::MAX, beyond));
                let index = |address: u64| usize::try_from(address.checked_sub(part.address)?).ok();
                let range = index(first).zip(index(end)).map(|(first, end)| first..end);
                let Some(bytes) = range.and_then(|range| part.bytes.get(range)) else { continue };
                places.extend(C::near_jumps(bytes, first, target).map(|index| first + index as u64));
            }
        }
        places
    }

    fn decode_at(&mut self, place: u64) -> Result<(), Unscannable> {
        let part = Part::holding(self.parts, place).and_then(|at| self.parts.get(at).copied());
        match part.and_then(|part| Some((part, part.index(place)?))) {
            Some((part, index)) => self.decode_around(part, index),
            None => Ok(()),
        }
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

#[cfg(test)]
impl<'b, C: Code> Listing<'b, C> {
    /// All instructions of a file, decoded one behind the other, which a listing by parts is compared with.
    pub fn whole(image: &'b Image) -> Listing<'b, C> {
        let mut listing = Listing::undecoded(image);
        for (part, starts) in image.parts.iter().zip(&mut listing.starts) {
            let mut index = 0;
            while let Some(rest) = part.bytes.get(index..).filter(|rest| !rest.is_empty()) {
                let address = part.address + index as u64;
                let step = C::step(rest, address);
                starts.set(index);
                match step.flow {
                    Flow::Jump(target) | Flow::Branch(target) | Flow::Call(Some(target)) => {
                        listing.jumps.push((target, address));
                    }
                    Flow::SystemCall => listing.calls.push(address),
                    Flow::Next | Flow::Call(None) | Flow::Stop => {}
                }
                let next = address + u64::from(step.bytes);
                let behind = image.symbols.partition_point(|symbol| *symbol <= address);
                let symbol = image.symbols.get(behind).filter(|symbol| **symbol < next);
                index = (symbol.copied().unwrap_or(next) - part.address) as usize;
            }
        }
        listing.jumps.sort_unstable();
        (0..listing.stretches.len()).for_each(|stretch| listing.decoded.set(stretch));
        listing
    }

    /// How many instructions are decoded.
    pub fn decoded(&self) -> usize {
        self.starts.iter().flat_map(|bits| &bits.0).map(|word| word.count_ones() as usize).sum()
    }
    /// The jumps and calls among all instructions, as target and source, at whose bytes `self` would not
    /// look.
    pub fn overlooked(&mut self, whole: &Listing<C>) -> Vec<(u64, u64)> {
        let parts = self.parts;
        let mut is_found = |target: u64, source: u64| {
            let bytes = source..=source + C::MOST_PREFIXES;
            let is_known = self.jumps.binary_search(&(target, source)).is_ok();
            is_known || self.places(target).iter().any(|place| bytes.contains(place))
        };
        let within = |target: u64| Part::holding(parts, target).is_some();
        let jumps = whole.jumps.iter().copied();
        jumps.filter(|(target, source)| within(*target) && !is_found(*target, *source)).collect()
    }
}
