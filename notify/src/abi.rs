//! The machines that filters are made for, and the conventions by which programs on them make system calls.

/// A machine that a filter is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// 64-bit x86. Its kernels may also take calls of i386 and x32.
    X86_64,
    /// 64-bit ARM, little-endian. Its kernels may also take calls of 32-bit ARM.
    Aarch64,
}

impl Machine {
    /// The machine that this program was compiled for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Machine = Machine::X86_64;
    /// The machine that this program was compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Machine = Machine::Aarch64;

    /// The convention of the machine's own programs.
    pub const fn native(self) -> Abi {
        match self {
            Self::X86_64 => Abi::X86_64,
            Self::Aarch64 => Abi::Aarch64,
        }
    }

    /// The conventions of other programs that a kernel of this machine may run.
    pub const fn foreign(self) -> &'static [Abi] {
        match self {
            Self::X86_64 => &[Abi::X32, Abi::I386],
            Self::Aarch64 => &[Abi::Arm],
        }
    }
}

/// A convention for system calls: its numbers, and the width of pointers.
///
/// The `arch` that the kernel gives with a call (seccomp(2), `struct seccomp_data`) names it, but for x32,
/// which has that of x86_64 and bit 30 in the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abi {
    /// 64-bit x86.
    X86_64,
    /// 64-bit x86 with 32-bit pointers. Most kernels are built without it.
    X32,
    /// 32-bit x86; 64-bit programs reach it by `int 0x80`.
    I386,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI).
    Arm,
}

/// The bit that x32 has in its numbers (linux/arch/x86/include/uapi/asm/unistd.h).
pub(crate) const X32_BIT: u32 = 0x4000_0000;

impl Abi {
    /// The kernel's number for it: `AUDIT_ARCH_…` (linux/include/uapi/linux/audit.h).
    pub const fn audit_arch(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The convention of a notified call by its `arch` and `nr`; `None` if no kernel of this machine gives
    /// such.
    ///
    /// Kernels before 5.4 take x32's own numbers, 512 to 547, also without bit 30 (seccomp(2)).
    pub fn of(machine: Machine, arch: u32, number: u32) -> Option<Abi> {
        let is_x32 = number & X32_BIT != 0 || (512..=547).contains(&number);
        let mut known = [machine.native()].into_iter().chain(machine.foreign().iter().copied());
        known.find(|abi| {
            abi.audit_arch() == arch && (arch != Self::X32.audit_arch() || (*abi == Self::X32) == is_x32)
        })
    }

    /// The bytes of a pointer, and of a word of the structures that calls are given: 4 or 8.
    pub const fn pointer_bytes(self) -> usize {
        match self {
            Self::X86_64 | Self::Aarch64 => 8,
            Self::X32 | Self::I386 | Self::Arm => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_of_the_convention_that_arch_and_number_say() {
        let of = |arch, number| Abi::of(Machine::X86_64, arch, number);

        assert_eq!(Some(Abi::X86_64), of(0xc000_003e, 59));
        assert_eq!(Some(Abi::X32), of(0xc000_003e, 0x4000_0000 | 520));
        assert_eq!(Some(Abi::X32), of(0xc000_003e, 520));
        assert_eq!(Some(Abi::I386), of(0x4000_0003, 11));
        assert_eq!(None, of(0xc000_00b7, 221));
        assert_eq!(Some(Abi::Aarch64), Abi::of(Machine::Aarch64, 0xc000_00b7, 221));
        assert_eq!(Some(Abi::Arm), Abi::of(Machine::Aarch64, 0x4000_0028, 11));
        assert_eq!(None, Abi::of(Machine::Aarch64, 0xc000_003e, 59));
    }
}
