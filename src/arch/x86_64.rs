//! x86_64: System V calling convention, Linux system calls.

use core::arch::asm;
#[cfg(not(test))]
use core::arch::global_asm;
#[cfg(not(test))]
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

/// Relocations that put a symbol's address into a word: R_X86_64_64, R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT
/// (x86-64 psABI, 4.4.1).
pub const ADDRESS_RELOCATIONS: [u32; 3] = [1, 6, 7];

/// Makes a system call; a negative result down to -4095 is an error number.
///
/// # Safety
/// As for the system call.
#[inline(always)]
pub unsafe fn syscall6(number: usize, a: [usize; 6]) -> isize {
    let [a0, a1, a2, a3, a4, a5] = a;
    let result: isize;
    // SAFETY: the kernel preserves everything but rax, rcx and r11 (x86-64 psABI, A.2.1).
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a0, in("rsi") a1, in("rdx") a2, in("r10") a3, in("r8") a4, in("r9") a5,
            lateout("rcx") _, lateout("r11") _,
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
    unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// The fewest bytes that the kernel puts onto a stack before a handler runs there: 128 bytes that are the
/// interrupted function's, the FXSAVE area, `struct rt_sigframe` (get_sigframe and setup_rt_frame in Linux's
/// arch/x86/kernel/signal*.c).
pub const SIGNAL_FRAME: usize = 128 + 512 + 440;

/// Adds to a word that only this thread and its signal handlers write: one instruction, which no signal
/// divides; without the lock it costs a fifth.
#[inline(always)]
pub fn add_alone(word: &AtomicU64, by: u64) {
    // SAFETY: the word is valid for as long as the reference; other processes only read it.
    unsafe { asm!("add qword ptr [{}], {}", in(reg) word.as_ptr(), in(reg) by, options(nostack)) };
}

/// As [`add_alone`]; gives the value before.
#[inline(always)]
pub fn take_alone(word: &AtomicU64, by: u64) -> u64 {
    let mut value = by;
    // SAFETY: as in `add_alone`.
    unsafe { asm!("xadd qword ptr [{}], {}", in(reg) word.as_ptr(), inout(reg) value, options(nostack)) };
    value
}

/// The address of this thread's block: initial-exec TLS, no call, no allocation. `None` where the
/// thread-local storage is not libc's, whose first word points to itself: a child may be given zeroes for it
/// (`CLONE_SETTLS`).
#[cfg(not(test))]
#[inline(always)]
pub fn thread_block() -> Option<NonNull<u8>> {
    let (storage, block): (usize, isize);
    // SAFETY: reads this module's TLS offset, which the loader put into the global offset table, and the
    // thread pointer, which the ABI keeps at fs:0.
    unsafe {
        asm!(
            "mov {0}, qword ptr fs:[0]",
            "mov {1}, qword ptr [rip + glassbox_thread@GOTTPOFF]",
            out(reg) storage,
            out(reg) block,
            options(nostack, pure, readonly, preserves_flags),
        );
    }
    // SAFETY: the block lies some bytes below the storage's first word, and nothing lies at 0.
    (storage != 0).then(|| unsafe { NonNull::new_unchecked(storage.wrapping_add_signed(block) as *mut u8) })
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
 mov rax, rdi
 cmp rdx, 16
 jb 3f
 cmp rdx, 256
 ja 5f
 movups xmm1, [rsi + rdx - 16]
 lea r8, [rdi + rdx - 16]
 jmp 7f
6: movups xmm0, [rsi]
 movups [rdi], xmm0
 add rsi, 16
 add rdi, 16
7: cmp rdi, r8
 jb 6b
 movups [r8], xmm1
 ret
5: mov rcx, rdx
 rep movsb
 ret
3: cmp rdx, 8
 jb 2f
 mov rcx, [rsi]
 mov r8, [rsi + rdx - 8]
 mov [rdi], rcx
 mov [rdi + rdx - 8], r8
 ret
2: cmp rdx, 4
 jb 1f
 mov ecx, [rsi]
 mov r8d, [rsi + rdx - 4]
 mov [rdi], ecx
 mov [rdi + rdx - 4], r8d
 ret
1: test rdx, rdx
 je 0f
 mov r10, rdx
 shr r10
 movzx ecx, byte ptr [rsi]
 movzx r9d, byte ptr [rsi + r10]
 movzx r8d, byte ptr [rsi + rdx - 1]
 mov [rdi], cl
 mov [rdi + r10], r9b
 mov [rdi + rdx - 1], r8b
0: ret

hidden_function memmove
 mov rcx, rdi
 sub rcx, rsi
 cmp rcx, rdx
 jae memcpy_forward
 mov rax, rdi
 mov rcx, rdx
 lea rdi, [rdi + rdx - 1]
 lea rsi, [rsi + rdx - 1]
 std
 rep movsb
 cld
 ret
memcpy_forward:
 mov rax, rdi
 mov rcx, rdx
 rep movsb
 ret

hidden_function memset
 mov r8, rdi
 mov eax, esi
 mov rcx, rdx
 rep stosb
 mov rax, r8
 ret

hidden_function memcmp
 xor eax, eax
 xor ecx, ecx
1: cmp rcx, rdx
 je 2f
 movzx eax, byte ptr [rdi + rcx]
 movzx r8d, byte ptr [rsi + rcx]
 inc rcx
 sub eax, r8d
 je 1b
2: ret
.globl bcmp
.hidden bcmp
.set bcmp, memcmp

hidden_function strlen
 xor eax, eax
3: cmp byte ptr [rdi + rax], 0
 je 4f
 inc rax
 jmp 3b
4: ret

hidden_function rust_eh_personality
 ud2
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
            "glassbox_join: jmp {join}",
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
                "push r11",
                ".cfi_adjust_cfa_offset 8",
                "push r9",
                ".cfi_adjust_cfa_offset 8",
                "push r8",
                ".cfi_adjust_cfa_offset 8",
                "push rcx",
                ".cfi_adjust_cfa_offset 8",
                "push rdx",
                ".cfi_adjust_cfa_offset 8",
                "push rsi",
                ".cfi_adjust_cfa_offset 8",
                "push rdi",
                ".cfi_adjust_cfa_offset 8",
                // Seven words and the return address: the stack is aligned.
                "mov rdi, rsp",
                "call {pass}",
                "add rsp, 56",
                ".cfi_adjust_cfa_offset -56",
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
                concat!("lea r11, [rip + glassbox_hook_", $symbol, " + ", $redirected, "]"),
                "jmp {passage}",
                ".cfi_endproc",
                passage = sym $crate::reach::hook::passage,
            )
        }
    };
}

/// Defines `$name`, vfork(2): made here, because the child returns first, through the frame that the parent
/// returns through later; the return address waits in a register that the kernel preserves. Both then
/// continue in `$returned(result, begun)`, which returns to the caller; `begun` is what `$begin()`
/// gave before.
#[macro_export]
macro_rules! vfork_stub {
    ($(#[$meta:meta])* $name:ident, $begin:ident, $returned:ident) => {
        $(#[$meta])*
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                // The stack was aligned before the call that pushed the return address.
                "sub rsp, 8",
                "call {begin}",
                "add rsp, 8",
                "mov rsi, rax",
                "pop rdi",
                "mov eax, 58",
                "syscall",
                "push rdi",
                "mov rdi, rax",
                "jmp {returned}",
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
                "push rdi",
                "push rsi",
                "push rdx",
                "push rcx",
                "push r8",
                "push r9",
                "sub rsp, 8",
                "call {record}",
                "mov r11, rdx",
                "add rsp, 8",
                "pop r9",
                "pop r8",
                "pop rcx",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "test rax, rax",
                "jz 2f",
                "jmp rax",
                "2:",
                "mov rax, r11",
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
                "push rbp",
                ".cfi_def_cfa_offset 16",
                ".cfi_offset rbp, -16",
                "mov rbp, rsp",
                ".cfi_def_cfa_register rbp",
                // The register arguments, in order, below rbp: rsi rdx rcx r8 r9 at rbp-40 upwards.
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                // Count until the null: r10 = index of the null.
                "xor r10d, r10d",
                "2:",
                "cmp r10, 5",
                "jae 3f",
                "mov rax, [rbp + r10 * 8 - 40]",
                "jmp 4f",
                "3:",
                "mov rax, [rbp + r10 * 8 - 24]",
                "4:",
                "inc r10",
                "test rax, rax",
                "jnz 2b",
                // Room for r10 pointers, the null included, aligned.
                "lea rax, [r10 * 8 + 15]",
                "and rax, -16",
                "sub rsp, rax",
                "and rsp, -16",
                "xor r11d, r11d",
                "5:",
                "cmp r11, 5",
                "jae 6f",
                "mov rax, [rbp + r11 * 8 - 40]",
                "jmp 7f",
                "6:",
                "mov rax, [rbp + r11 * 8 - 24]",
                "7:",
                "mov [rsp + r11 * 8], rax",
                "inc r11",
                "cmp r11, r10",
                "jb 5b",
                // rdi still holds the path.
                "mov rsi, rsp",
                "lea rdx, [rbp + r10 * 8 - 24]",
                "cmp r10, 5",
                "lea rax, [rbp + r10 * 8 - 40]",
                "cmovb rdx, rax",
                "call {body}",
                "leave",
                ".cfi_def_cfa rsp, 8",
                "ret",
                ".cfi_endproc",
                body = sym $body,
            )
        }
    };
}
