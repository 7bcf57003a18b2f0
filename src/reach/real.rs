//! Each exported symbol: its twin, and the next definition that its wrapper calls. That is found in the link
//! map at the first call, and is one load from then on.
//!
//! Not in the constructor, because a process calls few of the functions that are hooked, and start-up is paid
//! by every exec; and because another library's constructor may call one before ours has run.

use core::ffi::{CStr, c_char};
use core::num::NonZero;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::reach::elf;
use crate::reach::maps::{self, BEHIND_MAP, Beginning, FIRST_MAP, OWN_MAP};
use crate::reach::words::{After, Instead, Treatment};
use crate::record::call::Row;

/// The address of the next definition of one symbol. The value does not hold the symbol's name, which would
/// be a relocation, and a page written, in every process.
pub struct Real(AtomicUsize);

impl Real {
    /// Not looked for yet.
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// The address, or `None` when no image after the sensor defines the symbol. `name` is the same in every
    /// call.
    #[inline(always)]
    pub fn get(&self, name: &'static CStr) -> Option<usize> {
        // Relaxed: the code at the address was there before the process began.
        NonZero::new(self.0.load(Ordering::Relaxed)).or_else(|| self.find(name)).map(NonZero::get)
    }

    /// As [`Self::get`], in one register: for each wrapper. The sensor begins in the first one.
    #[inline(always)]
    pub fn address<B: Beginning>(&self, name: &'static CStr) -> Option<NonZero<usize>> {
        NonZero::new(self.0.load(Ordering::Relaxed)).or_else(|| self.find_first::<B>(name))
    }

    pub fn set(&self, address: usize) {
        self.0.store(address, Ordering::Relaxed);
    }

    #[cold]
    #[inline(never)]
    fn find_first<B: Beginning>(&self, name: &CStr) -> Option<NonZero<usize>> {
        maps::begin::<B>();
        self.find(name)
    }

    #[cold]
    fn find(&self, name: &CStr) -> Option<NonZero<usize>> {
        maps::find_maps();
        let own = OWN_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
        let behind = BEHIND_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
        // SAFETY: entries of the link map, or null. An image that is unloaded at this moment stands behind
        // libc in the map, and the symbols asked for are libc's, so the walk ends before it.
        let found = unsafe { elf::find_symbol(behind, own, name) }.map(original);
        // One that is missing may come with a library that is loaded later.
        self.0.store(found.unwrap_or(0), Ordering::Relaxed);
        found.and_then(NonZero::new)
    }
}

/// A symbol of the first image behind the sensor that defines `landmark`.
pub fn in_image_of(landmark: &CStr, name: &CStr) -> Option<usize> {
    let mut map = BEHIND_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
    while !map.is_null() {
        // SAFETY: an entry of the link map.
        if let Some(image) = unsafe { elf::Image::of(map) }
            && image.symbol(landmark).is_some()
        {
            return image.symbol(name);
        }
        // SAFETY: as above.
        map = unsafe { elf::next_map(map) };
    }
    None
}

/// Whether this process's libc is glibc. Programs and libraries for musl may have its landmark, too
/// (gcompat).
#[cold]
pub fn is_glibc() -> bool {
    in_image_of(c"gnu_get_libc_version", c"posix_spawn").is_some()
}

/// A symbol looked up from the program on, as the program itself would bind it.
pub fn global(name: &CStr) -> Option<usize> {
    maps::find_maps();
    let first = FIRST_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
    // SAFETY: the link map's first entry, or null.
    unsafe { elf::find_symbol(first, core::ptr::null(), name) }
}

/// One exported symbol: its row, and the distances from each other field to what it names. Absolute addresses
/// would have to be relocated, and a page written, in every process.
#[repr(C)]
pub struct Hook {
    twin: i32,
    real: i32,
    name: i32,
    /// 0 where the row has code of its own.
    treatment: i32,
    row: u16,
    /// The number of its [`crate::record::fail::Failing`], and [`Hook::TIMED`].
    failing: u8,
    /// The bits of [`Hook::nested`], and [`Hook::INSTEAD`].
    how: u8,
}

impl Hook {
    #[inline(always)]
    fn at(field: &i32) -> usize {
        (&raw const *field as usize).wrapping_add_signed(*field as isize)
    }

    /// The function that slots and definitions are pointed to.
    pub fn twin(&self) -> usize {
        Self::at(&self.twin)
    }

    pub fn name(&self) -> &'static CStr {
        // SAFETY: `hook_entry!` put the distance to a string there.
        unsafe { CStr::from_ptr(Self::at(&self.name) as *const c_char) }
    }

    /// In `how`: the treatment stands in for the call.
    pub const INSTEAD: u8 = 0x80;
    /// In `failing`: the clock is read before the call.
    pub const TIMED: u8 = 0x80;

    pub fn row(&self) -> u16 {
        self.row
    }

    /// The row, called by the symbol.
    #[inline(always)]
    pub fn called(&self) -> Row {
        Row::numbered(self.row)
    }

    /// The number of its [`crate::record::fail::Failing`].
    #[inline(always)]
    pub fn failing(&self) -> u8 {
        self.failing & !Self::TIMED
    }

    /// See [`crate::reach::inline::nested_kinds`].
    #[inline(always)]
    pub fn nested(&self) -> u8 {
        self.how & !Self::INSTEAD
    }

    /// The row's own part of a call. Only for an entry whose row has one.
    #[inline(always)]
    pub fn treatment(&self) -> Treatment {
        let address = Self::at(&self.treatment);
        // SAFETY: `hook_entry!` put the distance to a function of this type there, and says which type.
        unsafe {
            match (self.how & Self::INSTEAD, self.failing & Self::TIMED) {
                (0, 0) => Treatment::After(core::mem::transmute::<usize, After>(address)),
                (0, _) => Treatment::Timed(core::mem::transmute::<usize, After>(address)),
                _ => Treatment::Instead(core::mem::transmute::<usize, Instead>(address)),
            }
        }
    }

    /// The definition that the wrapper calls, as [`Real::address`]: the sensor begins in the first call.
    #[inline(always)]
    pub fn next<B: Beginning>(&self) -> Option<NonZero<usize>> {
        let real = self.real_cell();
        NonZero::new(real.0.load(Ordering::Relaxed)).or_else(|| real.find_first::<B>(self.name()))
    }

    /// The definition that the wrapper calls.
    pub fn real(&self) -> Option<usize> {
        self.real_cell().get(self.name())
    }

    /// Makes the wrapper call what is at `address`, which does the same.
    pub fn lead_to(&self, address: usize) {
        self.real_cell().set(address);
    }

    #[inline(always)]
    fn real_cell(&self) -> &'static Real {
        // SAFETY: `hook_entry!` put the distance to a static there.
        unsafe { &*(Self::at(&self.real) as *const Real) }
    }
}

/// Enters a wrapper into the table: a section that the linker collects, and keeps though nothing names its
/// parts ("R"). The wrapper's stub, which may lie in another object, names its entry `glassbox_hook_SYMBOL`.
#[macro_export]
macro_rules! hook_entry {
    ($symbol:literal, $twin:path, $real:path, $row:expr) => {
        $crate::hook_entry! { $symbol, $twin, $real, $row, 0, 0, ".long 0" }
    };
    ($symbol:literal, $twin:path, $real:path, $row:expr, $failing:expr, $how:expr, $treatment:path) => {
        $crate::hook_entry! { $symbol, $twin, $real, $row, $failing, $how, ".long {treatment} - .", treatment = sym $treatment, }
    };
    ($symbol:literal, $twin:path, $real:path, $row:expr, $failing:expr, $how:expr, $distance:literal $(, $name:ident = sym $treatment:path,)?) => {
        core::arch::global_asm!(
            ".pushsection glassbox_names,\"aMS\",@progbits,1",
            concat!("7: .asciz \"", $symbol, "\""),
            ".popsection",
            ".pushsection glassbox_hooks,\"aR\",@progbits",
            ".balign 4",
            concat!(".globl glassbox_hook_", $symbol),
            concat!(".hidden glassbox_hook_", $symbol),
            concat!("glassbox_hook_", $symbol, ":"),
            ".long {twin} - .",
            ".long {real} - .",
            ".long 7b - .",
            $distance,
            ".short {row}",
            ".byte {failing}",
            ".byte {how}",
            ".popsection",
            twin = sym $twin,
            real = sym $real,
            $($name = sym $treatment,)?
            row = const $row.number(),
            failing = const $failing,
            how = const $how,
        );
    };
}

// The linker's names for the section's ends stay within the sensor.
core::arch::global_asm!(".hidden __start_glassbox_hooks", ".hidden __stop_glassbox_hooks");

/// Every exported symbol.
pub fn hooks() -> &'static [Hook] {
    unsafe extern "C" {
        #[link_name = "__start_glassbox_hooks"]
        static START: [Hook; 0];
        #[link_name = "__stop_glassbox_hooks"]
        static STOP: [Hook; 0];
    }
    let (start, stop) = (&raw const START as usize, &raw const STOP as usize);
    // SAFETY: the linker sets both symbols around the section, which holds nothing but what `hook_entry!`
    // puts there.
    unsafe { core::slice::from_raw_parts(start as *const Hook, (stop - start) / size_of::<Hook>()) }
}

/// The definition that a look-up in the link map found: where it was pointed to us, the one from before.
pub fn original(address: usize) -> usize {
    let hook = hooks().iter().find(|hook| hook.twin() == address);
    hook.and_then(Hook::real).unwrap_or(address)
}
