//! The filter: a program in classic BPF that asks about the calls of the table, but for those that libc's own
//! instructions make.
//!
//! It looks first at the convention, then at the number, and at nothing else before it has found that the
//! number is listed. The kernel runs a new filter once for each number with these two words alone
//! (`seccomp_cache_prepare` in kernel/seccomp.c, since 5.11), and never again for the numbers that it allows
//! so.

use std::collections::BTreeMap;
use std::fmt;

use crate::abi::Machine;
use crate::block::{self, Block, Instruction};
use crate::calls::{self, CALLS, Call, From, When, numbers};
use crate::level::Level;
use crate::region;
use crate::sites::Sites;

/// The most instructions that the kernel takes: `BPF_MAXINSNS`.
pub const MOST_INSTRUCTIONS: usize = 4096;

/// `SECCOMP_RET_USER_NOTIF`: the supervisor is told, and the call waits.
pub const NOTIFY: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_ALLOW`: the call is made.
pub const ALLOW: u32 = 0x7fff_0000;

/// Offsets in `struct seccomp_data` on a little-endian machine.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ADDRESS_LOW: u32 = 8;
const ADDRESS_HIGH: u32 = 12;

fn low_of(argument: u8) -> u32 {
    16 + 8 * u32::from(argument)
}

fn high_of(argument: u8) -> u32 {
    low_of(argument) + 4
}

/// A filter, ready for seccomp(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    instructions: Vec<Instruction>,
}

/// The filter has more instructions than the kernel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// How many it would have.
    pub instructions: usize,
    /// The libcs whose sites it tells apart.
    pub libcs: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let TooLong { instructions, libcs } = self;
        write!(
            f,
            "the seccomp filter for {libcs} libcs has {instructions} instructions, and the kernel takes \
             {MOST_INSTRUCTIONS}: leave out libcs that the program does not load, or give a lower level"
        )
    }
}

impl std::error::Error for TooLong {}

impl Filter {
    /// Makes the filter of a level for programs that load these libcs and loaders, and the sensor, which
    /// makes system calls of its own.
    ///
    /// Sites of another machine count for nothing. Without sites, all calls of the level are asked about. The
    /// filter of [`Level::Off`] allows everything.
    pub fn new(level: Level, machine: Machine, sites: &[&Sites]) -> Result<Filter, TooLong> {
        Self::make(level, machine, sites, sites)
    }

    /// The same, that asks about the calls too which libc makes for itself: of those rows
    /// ([`From::LibcByChoice`]) the sensors' sites alone count.
    pub fn telling_libc(
        level: Level,
        machine: Machine,
        sensors: &[&Sites],
        libcs: &[&Sites],
    ) -> Result<Filter, TooLong> {
        let all: Vec<&Sites> = sensors.iter().chain(libcs).copied().collect();
        Self::make(level, machine, &all, sensors)
    }

    fn make(
        level: Level,
        machine: Machine,
        sites: &[&Sites],
        by_choice: &[&Sites],
    ) -> Result<Filter, TooLong> {
        let own = own_of(machine, sites);
        let own_by_choice = own_of(machine, by_choice);
        // By the kernel's number of the convention, the action for each number. x32 shares that of x86_64.
        let mut tables: BTreeMap<u32, BTreeMap<u32, Block>> = BTreeMap::new();
        for abi in [machine.native()].iter().chain(machine.foreign()) {
            let table = tables.entry(abi.audit_arch()).or_default();
            for call in CALLS.iter().filter(|call| call.level <= level) {
                for number in numbers(call, *abi) {
                    let offsets = match call.from {
                        _ if *abi != machine.native() => Vec::new(),
                        From::Anywhere => Vec::new(),
                        From::OutsideLibc => offsets(&own, number),
                        From::LibcByChoice => offsets(&own_by_choice, number),
                    };
                    table.insert(number, action(call, level, machine, &offsets));
                }
            }
        }

        let native = machine.native().audit_arch();
        let mut whole = Block::give(ALLOW);
        let of_others = tables.iter().filter(|(arch, _)| **arch != native);
        for (arch, table) in of_others.chain(tables.get_key_value(&native)) {
            whole = Block::choose(block::IF_EQUAL, *arch, by_number(table), whole);
        }
        let instructions = Block::load(ARCH, whole).into_instructions();
        if instructions.len() > MOST_INSTRUCTIONS {
            return Err(TooLong { instructions: instructions.len(), libcs: own.len() });
        }
        Ok(Filter { instructions })
    }

    /// The program, 1 to [`MOST_INSTRUCTIONS`] instructions.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }
}

/// Those of a machine.
fn own_of<'s>(machine: Machine, sites: &[&'s Sites]) -> Vec<&'s Sites> {
    sites.iter().copied().filter(|sites| sites.machine() == machine).collect()
}

/// The page offsets of all sites for a number, in ascending order.
fn offsets(sites: &[&Sites], number: u32) -> Vec<u32> {
    let mut all: Vec<u32> =
        sites.iter().flat_map(|sites| sites.page_offsets(number)).map(u32::from).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Finds the action for the loaded number; numbers without one are allowed.
fn by_number(table: &BTreeMap<u32, Block>) -> Block {
    let allow = Block::give(ALLOW);
    let mut starts: Vec<(u32, &Block)> = vec![(0, &allow)];
    let mut next = 0;
    for (number, action) in table {
        if *number > next {
            push(&mut starts, next, &allow);
        }
        push(&mut starts, *number, action);
        // No convention has a number that is the greatest of 32 bits.
        next = number.saturating_add(1);
    }
    push(&mut starts, next, &allow);
    match Block::search(&starts) {
        Some(search) if search != allow => Block::load(NUMBER, search),
        _ => allow,
    }
}

/// Adds a start, unless the action is that of the numbers before it.
fn push<'b>(starts: &mut Vec<(u32, &'b Block)>, from: u32, action: &'b Block) {
    match starts.last_mut() {
        Some((_, last)) if *last == action => {}
        Some((start, last)) if *start == from => *last = action,
        _ => starts.push((from, action)),
    }
}

/// The action for a call once its number is known. Libc makes it at these page offsets.
fn action(call: &Call, level: Level, machine: Machine, offsets: &[u32]) -> Block {
    let ask = Block::give(NOTIFY);
    let ask = match offsets {
        [] => ask,
        _ => {
            let is_site = Block::one_of(offsets, Block::give(ALLOW), Block::give(NOTIFY));
            let low = Block::load(ADDRESS_LOW, Block::mask(0xfff, is_site));
            Block::load(ADDRESS_HIGH, Block::by_bounds(region::bounds(machine), low, NOTIFY))
        }
    };
    let allow = Block::give(ALLOW);
    let any_bit = |argument, bits, ask, allow| {
        Block::load(low_of(argument), Block::choose(block::IF_ANY_BIT, bits, ask, allow))
    };
    match call.when_at(level) {
        When::Always => ask,
        When::OpenWrites(flags) => any_bit(flags, calls::WRITING, ask, allow),
        When::Executable(prot) => any_bit(prot, calls::PROT_EXEC, ask, allow),
        When::NamespaceFlags(flags) => any_bit(flags, calls::NAMESPACES, ask, allow),
        When::HasAddress(pointer) => {
            // Zero in both halves: the upper one is looked at first, and seldom decides.
            let low = any_bit(pointer, u32::MAX, ask.clone(), allow);
            Block::load(high_of(pointer), Block::choose(block::IF_EQUAL, 0, low, ask))
        }
        When::NoneOf(index, values) => Block::load(low_of(index), Block::one_of(values, allow, ask)),
        When::OneOf(index, values) => Block::load(low_of(index), Block::one_of(values, ask, allow)),
    }
}

#[cfg(test)]
mod tests;
