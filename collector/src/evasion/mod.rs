//! Evasion evidence: a hooked program got past the hooks, or took them away (`sensor.evasion`, ADR 39).
//!
//! Two sources. The supervisor of `run --notify` says from which mapping a listed call was made, where that
//! is neither libc nor the sensor. And a thread looks at hooked processes now and then, whether or not the
//! kernel asks about calls: at the sensor's mapping and code, at the slots that lead to it, at the ring, and
//! at the program that runs. Nothing is believed that the process itself says, and nothing that it has mapped
//! makes a look cost more than its bounds.
//!
//! | file | |
//! |---|---|
//! | `maps` | the lines of /proc/PID/maps |
//! | `modules` | whether the code that made a call is known to make calls of its own |
//! | `text`, `slots` | the sensor's code, and the slots of a module, by their files on disk |
//! | `look` | one look at a process |
//! | `watch` | the thread that looks |
//! | `elf` | headers of a module in a process's memory |

pub mod elf;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
pub mod look;
pub mod maps;
pub mod modules;
pub mod slots;
pub mod text;
pub mod watch;

/// Which evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A listed call was made by code that is neither libc's nor the sensor's.
    RawCall,
    /// A program was started without the sensor, though the hook of its exec had put it into the environment.
    PreloadLost,
    /// The process runs another program, and no hook told of an exec.
    ExecUnseen,
    /// The sensor's code is not what its file has.
    HookChanged,
    /// A slot of a module leads to libc instead of the sensor.
    SlotChanged,
    /// The sensor's code is not mapped any more as it was, or may be written.
    MappingChanged,
    /// The shared memory that the sensor writes into is gone, and the sensor does not know.
    RingGone,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RawCall,
        Self::PreloadLost,
        Self::ExecUnseen,
        Self::HookChanged,
        Self::SlotChanged,
        Self::MappingChanged,
        Self::RingGone,
    ];

    /// The `reason` of `sensor.evasion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::RawCall => "raw_call",
            Self::PreloadLost => "preload_lost",
            Self::ExecUnseen => "exec_unseen",
            Self::HookChanged => "hook_changed",
            Self::SlotChanged => "slot_changed",
            Self::MappingChanged => "mapping_changed",
            Self::RingGone => "ring_gone",
        }
    }
}

/// How many reasons there are.
const REASONS: usize = Reason::ALL.len();

/// Where something was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub addr: u64,
    /// The mapping that holds it: range, rights, offset and name, as /proc/PID/maps shows them. Empty where
    /// there is none any more.
    pub mapping: Vec<u8>,
    /// The file of the mapping; empty where it has none.
    pub module: Vec<u8>,
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Which.
    pub reason: Reason,
    /// The call that was made, or the function whose slot was changed; empty where there is none.
    pub call: &'static str,
    /// Where.
    pub place: Place,
}

/// What was told of a program image, and how often it was found since.
#[derive(Debug, Default)]
pub struct Told {
    /// A program that the sensor is not in has taken the image's place: nothing more is held against it.
    pub is_over: bool,
    further: [u64; REASONS],
    is_told: [bool; REASONS],
}

impl Told {
    /// Notes one more. True for the first of its reason, which is to be told.
    pub fn note(&mut self, reason: Reason) -> bool {
        let index = reason as usize;
        let (Some(is_told), Some(further)) = (self.is_told.get_mut(index), self.further.get_mut(index))
        else {
            return false;
        };
        let is_first = !std::mem::replace(is_told, true);
        *further = if is_first { 0 } else { further.saturating_add(1) };
        is_first
    }

    /// Whether this was told.
    pub fn has(&self, reason: Reason) -> bool {
        self.is_told.get(reason as usize).is_some_and(|is_told| *is_told)
    }

    /// Takes the counts of what came after the first of each reason.
    pub fn take_further(&mut self) -> impl Iterator<Item = (Reason, u64)> + use<> {
        let further = std::mem::take(&mut self.further);
        Reason::ALL.into_iter().zip(further).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_reason_is_told_and_the_further_ones_are_counted() {
        let mut told = Told::default();

        let firsts = [Reason::RawCall, Reason::RawCall, Reason::SlotChanged, Reason::RawCall];
        let firsts = firsts.map(|reason| told.note(reason));
        let further: Vec<_> = told.take_further().collect();

        assert_eq!([true, false, true, false], firsts);
        assert_eq!(vec![(Reason::RawCall, 2)], further);
        assert!(told.has(Reason::RawCall) && !told.has(Reason::RingGone));
        assert_eq!(0, told.take_further().count());
    }
}
