//! aarch64: AAPCS64, Linux system calls.

use core::arch::asm;
#[cfg(not(test))]
use core::arch::global_asm;
#[cfg(not(test))]
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

/// Relocations that put a symbol's address into a word: R_AARCH64_ABS64, R_AARCH64_GLOB_DAT,
/// R_AARCH64_JUMP_SLOT (AAELF64, 5.7).
pub const ADDRESS_RELOCATIONS: [u32; 3] = [257, 1025, 1026];

/// Makes a system call; a negative result down to -4095 is an error number.
///
/// # Safety
/// As for the system call.
#[inline(always)]
pub unsafe fn syscall6(number: usize, a: [usize; 6]) -> isize {
    let [a0, a1, a2, a3, a4, a5] = a;
    let result: isize;
    // SAFETY: the kernel preserves every register but x0.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") a0 as isize => result,
            in("x1") a1, in("x2") a2, in("x3") a3, in("x4") a4, in("x5") a5,
            options(nostack),
        );
    }
    result
}

/// The stack pointer: the lowest address in use on this thread's stack.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// The fewest bytes that the kernel puts onto a stack before a handler runs there: `struct rt_sigframe`, of
/// which 4096 bytes are room for extensions (setup_sigframe_layout and sigframe_size in Linux's
/// arch/arm64/kernel/signal.c).
pub const SIGNAL_FRAME: usize = 128 + 464 + 4096;

/// Adds to a word that only this thread and its signal handlers write.
#[inline(always)]
pub fn add_alone(word: &AtomicU64, by: u64) {
    take_alone(word, by);
}

/// As [`add_alone`]; gives the value before.
#[inline(always)]
pub fn take_alone(word: &AtomicU64, by: u64) -> u64 {
    word.fetch_add(by, Ordering::Relaxed)
}

/// The address of this thread's block: initial-exec TLS, no call, no allocation.
#[cfg(not(test))]
#[inline(always)]
pub fn thread_block() -> Option<NonNull<u8>> {
    let address: *mut u8;
    // SAFETY: reads this module's TLS offset, which the loader put into the global offset table, and the
    // thread pointer register.
    unsafe {
        asm!(
            "mrs {1}, tpidr_el0",
            "adrp {0}, :gottprel:glassbox_thread",
            "ldr {0}, [{0}, :gottprel_lo12:glassbox_thread]",
            "add {0}, {0}, {1}",
            out(reg) address,
            out(reg) _,
            options(nostack, pure, readonly, preserves_flags),
        );
    }
    NonNull::new(address)
}

#[cfg(not(test))]
global_asm!(
    r#"
.section .tbss,"awT",@nobits
.balign 16
.globl glassbox_thread
.hidden glassbox_thread
.type glassbox_thread,@object
.size glassbox_thread, 64
glassbox_thread: .zero 64
.text

.macro hidden_function name
.globl \name
.hidden \name
.type \name,@function
.balign 16
\name:
.endm

hidden_function memcpy
 mov x3, x0
1: cmp x2, 16
 b.lo 2f
 ldp x4, x5, [x1], 16
 stp x4, x5, [x3], 16
 sub x2, x2, 16
 b 1b
2: cbz x2, 3f
 ldrb w4, [x1], 1
 strb w4, [x3], 1
 sub x2, x2, 1
 b 2b
3: ret

hidden_function memmove
 sub x3, x0, x1
 cmp x3, x2
 b.hs memcpy
1: cbz x2, 2f
 sub x2, x2, 1
 ldrb w4, [x1, x2]
 strb w4, [x0, x2]
 b 1b
2: ret

hidden_function memset
 mov x3, x0
1: cbz x2, 2f
 strb w1, [x3], 1
 sub x2, x2, 1
 b 1b
2: ret

hidden_function memcmp
 mov x3, x0
1: cbz x2, 2f
 ldrb w4, [x3], 1
 ldrb w5, [x1], 1
 sub x2, x2, 1
 subs w0, w4, w5
 b.eq 1b
 ret
2: mov w0, 0
 ret
.globl bcmp
.hidden bcmp
.set bcmp, memcmp

hidden_function strlen
 mov x1, x0
1: ldrb w2, [x1], 1
 cbnz w2, 1b
 sub x0, x1, x0
 sub x0, x0, 1
 ret

hidden_function rust_eh_personality
 udf 0
"#
);

/// Defines `glassbox_join`, which the linker can name and the loader cannot: goes on in `$join`.
#[macro_export]
macro_rules! entry_stub {
    ($join:path) => {
        core::arch::global_asm!(
            ".globl glassbox_join",
            ".hidden glassbox_join",
            ".type glassbox_join,@function",
            "glassbox_join: b {join}",
            join = sym $join,
        );
    };
}

/// Defines `$name`: lays the arguments that came in registers into a [`crate::reach::passage::Frame`] with
/// the entry that [`wrapper_stub`] names, and returns what `$pass(frame)` gives.
#[macro_export]
macro_rules! passage_stub {
    ($name:ident, $pass:path) => {
        /// Where the wrappers go on.
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                "stp x29, x30, [sp, -80]!",
                ".cfi_def_cfa_offset 80",
                ".cfi_offset x29, -80",
                ".cfi_offset x30, -72",
                "mov x29, sp",
                "stp x0, x1, [sp, 16]",
                "stp x2, x3, [sp, 32]",
                "stp x4, x5, [sp, 48]",
                "str x16, [sp, 64]",
                "add x0, sp, 16",
                "bl {pass}",
                "ldp x29, x30, [sp], 80",
                ".cfi_def_cfa_offset 0",
                ".cfi_restore x29",
                ".cfi_restore x30",
                "ret",
                ".cfi_endproc",
                pass = sym $pass,
            )
        }
    };
}

/// Defines `$name`, the function of `$symbol`: names its entry of the table, plus `$redirected`, in a
/// register that no argument takes.
#[macro_export]
macro_rules! wrapper_stub {
    ($(#[$meta:meta])* $name:ident, $symbol:literal, $redirected:literal) => {
        $(#[$meta])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                concat!("adrp x16, glassbox_hook_", $symbol),
                concat!("add x16, x16, :lo12:glassbox_hook_", $symbol),
                concat!("add x16, x16, ", $redirected),
                "b {passage}",
                ".cfi_endproc",
                passage = sym $crate::reach::hook::passage,
            )
        }
    };
}

/// Defines `$name`, vfork(2): made here as clone(CLONE_VM | CLONE_VFORK | SIGCHLD), because the child returns
/// first; the return address is in a register, which the kernel preserves, and nothing is pushed then. Both
/// continue in `$returned(result, begun)`, which returns to the caller; `begun` is what `$begin()`
/// gave before.
#[macro_export]
macro_rules! vfork_stub {
    ($(#[$meta:meta])* $name:ident, $begin:ident, $returned:ident) => {
        $(#[$meta])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "stp x29, x30, [sp, -16]!",
                "bl {begin}",
                "ldp x29, x30, [sp], 16",
                // The kernel preserves it.
                "mov x9, x0",
                "mov x0, 0x4111",
                "mov x1, 0",
                "mov x2, 0",
                "mov x3, 0",
                "mov x4, 0",
                "mov x8, 220",
                "svc 0",
                "mov x1, x9",
                "b {returned}",
                begin = sym $begin,
                returned = sym $returned,
            )
        }
    };
}

/// Defines `$name`: calls `$record` with the arguments it got, then goes where the
/// [`crate::reach::hook::Onward`] that it returned says: to an address, with every argument and the return
/// address as they came, or back with an answer. For functions that look at their caller.
#[macro_export]
macro_rules! jump_stub {
    ($(#[$meta:meta])* $name:ident, $record:ident) => {
        $(#[$meta])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "stp x29, x30, [sp, -80]!",
                "mov x29, sp",
                "stp x0, x1, [sp, 16]",
                "stp x2, x3, [sp, 32]",
                "stp x4, x5, [sp, 48]",
                "stp x6, x7, [sp, 64]",
                "bl {record}",
                "mov x16, x0",
                "mov x17, x1",
                "ldp x0, x1, [sp, 16]",
                "ldp x2, x3, [sp, 32]",
                "ldp x4, x5, [sp, 48]",
                "ldp x6, x7, [sp, 64]",
                "ldp x29, x30, [sp], 80",
                "cbz x16, 2f",
                "br x16",
                "2:",
                "mov x0, x17",
                "ret",
                record = sym $record,
            )
        }
    };
}

/// Defines `$name`, an `int f(const char *, const char *arg, ..., NULL)`: lays the argument list out as an
/// array on its own stack, however long it is, and calls `$body(path, argv, rest)`, where `rest` is the
/// address of what follows the terminating null (execle's environment).
#[macro_export]
macro_rules! list_stub {
    ($(#[$meta:meta])* $name:ident, $body:ident) => {
        $(#[$meta])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                ".cfi_startproc",
                // The register arguments x1–x7 in order at sp+16; what the caller pushed follows at sp+72 (+8
                // unused).
                "stp x29, x30, [sp, -80]!",
                ".cfi_def_cfa_offset 80",
                ".cfi_offset x29, -80",
                ".cfi_offset x30, -72",
                "mov x29, sp",
                ".cfi_def_cfa_register x29",
                "stp x1, x2, [x29, 16]",
                "stp x3, x4, [x29, 32]",
                "stp x5, x6, [x29, 48]",
                "str x7, [x29, 64]",
                "add x12, x29, 16",  // the registers
                "add x13, x29, 80",  // the stack, as if the registers had stood before it
                "sub x13, x13, 56",
                "mov x9, 0",
                "2:",
                "cmp x9, 7",
                "csel x14, x12, x13, lo",
                "ldr x10, [x14, x9, lsl 3]",
                "add x9, x9, 1",
                "cbnz x10, 2b",
                "lsl x11, x9, 3",
                "add x11, x11, 15",
                "and x11, x11, -16",
                "sub sp, sp, x11",
                "mov x15, sp",
                "mov x11, 0",
                "3:",
                "cmp x11, 7",
                "csel x14, x12, x13, lo",
                "ldr x10, [x14, x11, lsl 3]",
                "str x10, [x15, x11, lsl 3]",
                "add x11, x11, 1",
                "cmp x11, x9",
                "b.lo 3b",
                "mov x1, x15",
                "cmp x9, 7",
                "csel x14, x12, x13, lo",
                "add x2, x14, x9, lsl 3",
                "bl {body}",
                "mov sp, x29",
                "ldp x29, x30, [sp], 80",
                ".cfi_def_cfa sp, 0",
                "ret",
                ".cfi_endproc",
                body = sym $body,
            )
        }
    };
}
