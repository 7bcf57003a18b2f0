//! The few things that only assembly can say, one file an architecture.
//!
//! Each file gives: `syscall6`, `thread_block` (the address of this thread's [`crate::process::Thread`]), the
//! hidden `mem*` functions that the compiler calls (there is no libc to take them from), and the stubs whose
//! frames must not be seen: `vfork`, the tail-jumping hooks and the unbounded `execl` family.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!(
    "the sensor knows Linux on x86_64 and aarch64: fixed-arity wrappers of variadic functions rely on it"
);
