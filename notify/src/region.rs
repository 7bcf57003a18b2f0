//! Where libraries are mapped: only there, an instruction can be libc's.
//!
//! The page offset alone would also match the program's own code, of which a static program has much. The
//! kernel puts a program that is linked at a fixed address near the beginning of the address space
//! (0x40_0000), and one that can be anywhere at two thirds of it (`ELF_ET_DYN_BASE` in
//! arch/x86/include/asm/elf.h and arch/arm64/include/asm/elf.h) plus a random number. The loader, and after
//! it every library, go below `mmap_base`, which is the end of the address space less the stack's limit, less
//! a random number (arch/x86/mm/mmap.c; mm/util.c for arm64). The greatest random number is an eighth of the
//! address space (`ARCH_MMAP_RND_BITS_MAX` in arch/x86/Kconfig and arch/arm64/Kconfig), which some
//! distributions set (vm.mmap_rnd_bits=32). So programs end below 0.792 of the address space, libraries begin
//! above 0.875 of it, and four fifths lie between.
//!
//! A static program that can be anywhere has no loader, and goes where libraries go; so does code that a
//! program makes at run time. Of their instructions the page offset alone decides. Where the stack has no
//! limit, libraries go to the first third of the address space (the legacy layout), and libc's calls are
//! asked about like all others.

use crate::abi::Machine;

/// A bound of the upper half of an address, and whether libraries lie from there on; the greatest is the
/// first.
pub(crate) type Bound = (u32, bool);

/// The bounds of a machine.
pub(crate) fn bounds(machine: Machine) -> &'static [Bound] {
    match machine {
        // 47 bits (linux/Documentation/arch/x86/x86_64/mm.rst); with five levels of page tables too, unless a
        // program asks for more by address.
        Machine::X86_64 => &[(0x6667, true)],
        // 48, 47, 42 or 39 bits (`ARM64_VA_BITS` in arch/arm64/Kconfig): the kernel's configuration decides,
        // and a filter cannot ask. In each of these spaces, the parts of the others hold no program.
        Machine::Aarch64 => &[
            (0xcccd, true),
            (0x8000, false),
            (0x6667, true),
            (0x0400, false),
            (0x0334, true),
            (0x0080, false),
            (0x0067, true),
        ],
    }
}

/// Whether a library can be mapped at this address.
pub(crate) fn holds_libraries(machine: Machine, address: u64) -> bool {
    // Truncation: the upper half.
    let upper = (address >> 32) as u32;
    bounds(machine).iter().find(|(from, _)| upper >= *from).is_some_and(|(_, holds)| *holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first address of programs that can be anywhere, the last of those with the greatest random number
    /// and a length of 1 GB, and the first of libraries with the greatest random number and a stack of 1 GB,
    /// whose own random number is at most 16 GB.
    fn space(bits: u32) -> (u64, u64, u64) {
        let size = 1_u64 << bits;
        let gigabyte = 1 << 30;
        (size / 3 * 2, size / 3 * 2 + size / 8 + gigabyte, size - size / 8 - 17 * gigabyte)
    }

    #[test]
    fn programs_lie_outside_and_libraries_within_whatever_the_random_numbers() {
        for (machine, sizes) in [(Machine::X86_64, vec![47]), (Machine::Aarch64, vec![39, 42, 47, 48])] {
            for bits in sizes {
                let (program, end, library) = space(bits);

                assert!(!holds_libraries(machine, 0x40_0000), "{bits}");
                assert!(!holds_libraries(machine, program), "{bits}");
                assert!(!holds_libraries(machine, end), "{bits}");
                // A stack's random number of 16 GB is more than the smallest space has between.
                let library = if bits == 39 { (1 << 39) - (1 << 36) - (1 << 30) } else { library };
                assert!(holds_libraries(machine, library), "{bits}: {library:#x}");
                assert!(holds_libraries(machine, (1 << bits) - (1 << 30)), "{bits}");
            }
        }
    }

    #[test]
    fn addresses_that_were_seen_are_placed_right() {
        // 200 runs on x86_64 with 28 random bits; a program and its libc with 32 (google/sanitizers#1614).
        for (address, is_library) in [
            (0x5556_0000_0000, false),
            (0x5653_ffff_ffff, false),
            (0x7efd_0000_0000, true),
            (0x7ffb_ffff_ffff, true),
            (0x6412_707d_8410, false),
            (0x79c8_3e83_a000, true),
        ] {
            assert_eq!(is_library, holds_libraries(Machine::X86_64, address), "{address:#x}");
        }
    }
}
