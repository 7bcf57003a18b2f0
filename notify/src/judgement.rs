//! The filter's decision in plain Rust, which the filter is compared with.

use crate::abi::{Abi, Machine};
use crate::calls::{From, call};
use crate::level::Level;
use crate::region;
use crate::sites::Sites;

/// What a filter sees of a call: `struct seccomp_data` (linux/include/uapi/linux/seccomp.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The number of the call.
    pub nr: u32,
    /// The kernel's number of the convention; see [`Abi::audit_arch`].
    pub arch: u32,
    /// The address behind the instruction that made the call.
    pub instruction_pointer: u64,
    /// The arguments; of 32-bit conventions their upper halves are 0.
    pub args: [u64; 6],
}

impl Data {
    /// The word at an offset, as a program in classic BPF loads it on a little-endian machine; `None` for an
    /// offset that is no multiple of 4, or 64 and more.
    pub fn word(&self, offset: u32) -> Option<u32> {
        let half = |value: u64| if offset % 8 == 4 { (value >> 32) as u32 } else { value as u32 };
        match offset {
            _ if !offset.is_multiple_of(4) => None,
            0 => Some(self.nr),
            4 => Some(self.arch),
            8 | 12 => Some(half(self.instruction_pointer)),
            _ => self.args.get(((offset - 16) / 8) as usize).map(|arg| half(*arg)),
        }
    }
}

/// Whether a filter of this level, made with these sites, asks about the call.
pub fn asks(level: Level, machine: Machine, sites: &[&Sites], data: &Data) -> bool {
    let Some(call) = call(machine, data.arch, data.nr) else { return false };
    if call.level > level || !call.when_at(level).holds(&data.args) {
        return false;
    }
    let is_native = Abi::of(machine, data.arch, data.nr) == Some(machine.native());
    if !is_native || call.from == From::Anywhere {
        return true;
    }
    // Truncation: twelve bits.
    let page_offset = (data.instruction_pointer & 0xfff) as u16;
    let is_libcs = region::holds_libraries(machine, data.instruction_pointer)
        && sites
            .iter()
            .filter(|sites| sites.machine() == machine)
            .any(|sites| sites.makes(data.nr, page_offset));
    !is_libcs
}
