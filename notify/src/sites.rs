//! The system call instructions of a libc, and the calls that each makes.
//!
//! The kernel maps a file at a whole page, so the lowest twelve bits of an instruction's address are the same
//! in each process. The page offsets of libc's own instructions, by the number of the call, are the
//! *fingerprint* by which a filter tells libc's calls from others (`instruction_pointer` of `struct
//! seccomp_data` is the address behind the instruction). An instruction of another module lies at one of them
//! by chance: for a call with 6 sites, in 6 of 4096 cases.
//!
//! [`elf`] finds the code, [`listing`] decodes as much of it as is asked for, and [`trace`] looks backward
//! from each system call instruction for the values that the number's register can have there.

mod aarch64;
mod elf;
mod far;
mod listing;
mod trace;
mod x86_64;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::abi::Machine;
use listing::{Code, Listing};

/// The longest file that is scanned, in bytes. A libc has 2 MB, a static program with its libc up to 50.
const MOST_BYTES: usize = 64 << 20;

/// The most system call instructions in a file. glibc 2.36 has 480.
const MOST_SITES: usize = 100_000;

/// Numbers of system calls are below this on all machines; a register with another value holds no number.
const NUMBERS: u64 = 1024;

/// The system call instructions of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sites {
    /// The machine that the file's code is for.
    pub machine: Machine,
    /// The file's build id (`NT_GNU_BUILD_ID`), by which a scan can be kept; `None` if it has none.
    pub build_id: Option<Vec<u8>>,
    by_number: BTreeMap<u32, BTreeSet<u16>>,
    all: Vec<u64>,
    unresolved: usize,
}

impl Sites {
    /// Scans an ELF file: a libc or a loader. Any bytes may be given.
    ///
    /// It takes 3 ms for glibc in an optimised build, and memory of an eighth of the file and 16 bytes for
    /// each byte that may begin a jump. A number counts for an instruction if some path through the code
    /// leads from where the number is set to the instruction. An instruction whose number comes from outside,
    /// as in libc's `syscall`, counts for none.
    pub fn of_elf(bytes: &[u8]) -> Result<Sites, Unscannable> {
        if bytes.len() > MOST_BYTES {
            return Err(Unscannable::TooLong { bytes: bytes.len() });
        }
        let image = elf::Image::parse(bytes)?;
        match image.machine {
            Machine::X86_64 => Sites::of_image::<x86_64::Decoded>(image),
            Machine::Aarch64 => Sites::of_image::<aarch64::Decoded>(image),
        }
    }

    fn of_image<C: Code>(image: elf::Image) -> Result<Sites, Unscannable> {
        let mut listing = Listing::<C>::new(&image)?;
        let mut sites = Sites {
            machine: image.machine,
            build_id: image.build_id.map(<[u8]>::to_vec),
            by_number: BTreeMap::new(),
            all: Vec::new(),
            unresolved: 0,
        };
        let mut steps_left = trace::MOST_STEPS_IN_FILE;
        for site in listing.calls().to_vec() {
            let behind = site.wrapping_add(C::CALL_BYTES);
            sites.all.push(behind);
            let numbers = trace::numbers(&mut listing, site, &mut steps_left)?;
            sites.unresolved += usize::from(numbers.is_empty());
            for number in numbers {
                // Truncation: twelve bits.
                sites.by_number.entry(number).or_default().insert((behind & 0xfff) as u16);
            }
        }
        Ok(sites)
    }

    /// The machine that the file's code is for.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// Whether an instruction that ends at this page offset makes the call with this number.
    pub fn makes(&self, number: u32, page_offset: u16) -> bool {
        self.by_number.get(&number).is_some_and(|offsets| offsets.contains(&page_offset))
    }

    /// The page offsets, 0 to 4095, behind the instructions that make the call with this number, ascending.
    pub fn page_offsets(&self, number: u32) -> impl Iterator<Item = u16> {
        self.by_number.get(&number).into_iter().flatten().copied()
    }

    /// The numbers that have at least one site, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.by_number.keys().copied()
    }

    /// The addresses behind all system call instructions, as the file's headers count addresses, ascending.
    pub fn addresses(&self) -> &[u64] {
        &self.all
    }

    /// How many system call instructions have no number that the code shows. Their calls are asked about.
    pub fn unresolved(&self) -> usize {
        self.unresolved
    }

    /// Sites as given, for tests of what is made from them.
    #[cfg(test)]
    pub(crate) fn made(machine: Machine, by_number: impl IntoIterator<Item = (u32, Vec<u16>)>) -> Sites {
        let by_number =
            by_number.into_iter().map(|(number, all)| (number, all.into_iter().collect())).collect();
        Sites { machine, build_id: None, by_number, all: Vec::new(), unresolved: 0 }
    }
}

/// A file whose system call instructions cannot be found. Callers put the file's path before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unscannable {
    /// It is longer than any libc.
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Its headers cannot be read.
    NotElf(String),
    /// It is for a machine that filters are not made for.
    OtherMachine {
        /// The machine's number in ELF (`e_machine`).
        number: u16,
    },
    /// It has no executable part.
    NoCode,
    /// It has more system call instructions than any libc.
    TooManySites,
    /// It has more jumps than any libc.
    TooManyJumps,
}

impl fmt::Display for Unscannable {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(f, "{bytes} bytes are more than the {MOST_BYTES} of a libc")?,
            Self::NotElf(why) => write!(f, "not a readable 64-bit ELF file ({why})")?,
            Self::OtherMachine { number } => {
                write!(f, "its code is for machine {number}, neither x86_64 (62) nor aarch64 (183)")?;
            }
            Self::NoCode => f.write_str("it has no executable part")?,
            Self::TooManySites => write!(f, "it has more than {MOST_SITES} system call instructions")?,
            Self::TooManyJumps => write!(f, "it has more than {} jumps", listing::MOST_JUMPS)?,
        }
        f.write_str("; give the libc and the loader that the program uses (ldd shows them)")
    }
}

impl std::error::Error for Unscannable {}

#[cfg(test)]
mod tests;
