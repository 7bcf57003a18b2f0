//! The next definition of a hooked function: found in the link map at the first call, then one load.
//!
//! Not in the constructor, because a process calls few of the functions that are hooked, and start-up is paid by every
//! exec; and because another library's constructor may call one before ours has run.

use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::elf;
use crate::got;
use crate::init;
use crate::state;

/// Where the next definition of one symbol is. It does not hold the symbol's name, which would be a relocation, and a page
/// written, in every process.
pub struct Real(AtomicUsize);

impl Real {
    /// Not looked for yet.
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// The address, or `None` when no image after the sensor defines the symbol. `name` is the same in every call.
    #[inline(always)]
    pub fn get(&self, name: &'static CStr) -> Option<usize> {
        // Relaxed: the code at the address was there before the process began.
        match self.0.load(Ordering::Relaxed) {
            0 => self.find(name),
            address => Some(address),
        }
    }

    /// Makes it `address`.
    pub fn set(&self, address: usize) {
        self.0.store(address, Ordering::Relaxed);
    }

    #[cold]
    fn find(&self, name: &CStr) -> Option<usize> {
        init::find_maps();
        let own = state::OWN_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
        let behind = state::BEHIND_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
        // SAFETY: entries of the link map, or null. An image that is unloaded at this moment stands behind libc in the map,
        // and the symbols asked for are libc's, so the walk ends before it.
        let found = unsafe { elf::find_symbol(behind, own, name) }.map(got::original);
        // One that is missing may come with a library that is loaded later.
        self.0.store(found.unwrap_or(0), Ordering::Relaxed);
        found
    }
}

/// A symbol of the first image behind the sensor that defines `landmark`.
pub fn in_image_of(landmark: &CStr, name: &CStr) -> Option<usize> {
    let mut map = state::BEHIND_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
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

/// A symbol looked up from the program on, as the program itself would bind it.
pub fn global(name: &CStr) -> Option<usize> {
    init::find_maps();
    let first = state::FIRST_MAP.load(Ordering::Acquire) as *const elf::LinkMap;
    // SAFETY: the link map's first entry, or null.
    unsafe { elf::find_symbol(first, core::ptr::null(), name) }
}
