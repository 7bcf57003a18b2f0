//! The loader's list of images, and the sensor's place in it.
//!
//! Found once: by the constructor, or in the first wrapped call before it. From here [`super::real`]
//! looks up the next definitions.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::reach::elf::{self, Image};
use crate::record::probe::Probe;
use crate::sys;

/// The link map entry of the sensor itself, for finding the next definitions; 0 until known.
pub static OWN_MAP: AtomicUsize = AtomicUsize::new(0);
/// The entry at which the next definitions begin: the one behind ours, or, where the sensor came late and
/// stands last, the one behind the program's; 0 until known.
pub static BEHIND_MAP: AtomicUsize = AtomicUsize::new(0);
/// The first entry of the link map; 0 until known.
pub static FIRST_MAP: AtomicUsize = AtomicUsize::new(0);

/// The kernel's auxiliary vector for this image (getauxval(3)).
pub struct Auxiliary {
    words: [usize; 128],
    len: usize,
}

impl Auxiliary {
    /// The first description that leads to the loader's list of images, and where the list begins: the
    /// kernel's, or that of /proc, where emulators put the one that they made, or the one that the loader was
    /// given.
    ///
    /// The last is the only one where /proc is not mounted and the kernel is older than Linux 6.4, and the
    /// only one that is right where something else than the kernel loaded the program (proot).
    fn find() -> Option<(Self, Maps)> {
        let is_usual = |found: &Self| found.is_of_this_stack();
        let usual = Self::from(sys::auxiliary_vector).filter(is_usual).and_then(Self::with_maps);
        let file = || Self::from(sys::auxiliary_file).and_then(Self::with_maps);
        usual.or_else(file).or_else(Self::find_on_stack)
    }

    fn from(source: impl FnOnce(&mut [usize]) -> sys::Result<usize>) -> Option<Self> {
        let mut auxiliary = Self { words: [0; 128], len: 0 };
        auxiliary.len = source(&mut auxiliary.words).ok()?;
        Some(auxiliary)
    }

    fn with_maps(self) -> Option<(Self, Maps)> {
        let maps = Maps::of(&self)?;
        Some((self, maps))
    }

    /// Whether it describes this program, which then runs on the stack that it points to.
    ///
    /// Under valgrind the kernel's describes valgrind, whose program lies elsewhere and whose vDSO is gone.
    fn is_of_this_stack(&self) -> bool {
        let here = (&raw const *self) as usize;
        let name = self.get(libc::AT_EXECFN).unwrap_or(0);
        // Between the two are arguments and environment, at most 6 MiB (execve(2)), and what was called so
        // far.
        name.checked_sub(here).is_some_and(|distance| distance < MOST_STACK)
    }

    /// Looks from here up the stack, which ends with the vector that the loader was given, but for strings.
    /// Copies of others, which lead nowhere, may come first.
    #[cold]
    #[inline(never)]
    fn find_on_stack() -> Option<(Self, Maps)> {
        let here = 0usize;
        let mut from = (&raw const here) as usize;
        let end = from.saturating_add(MOST_STACK);
        while let Some(place) = headers_entry(from, end) {
            from = place + size_of::<[usize; 2]>();
            if let Some(found) = Self::around(place).with_maps() {
                return Some(found);
            }
        }
        None
    }

    /// The vector on the stack whose entry `AT_PHDR` is at `place`.
    fn around(place: usize) -> Self {
        let mut probe = Probe::new();
        let mut word = |address: usize| probe.pointer(address as *const _).map_or(0, |word| word as usize);
        let mut first = place;
        // Before it stand the environment and its null, so what looks like an entry's tag there is a pointer,
        // or null.
        while (1..=HIGHEST_TAG).contains(&word(first - 16)) {
            first -= 16;
        }
        let mut found = Self { words: [0; 128], len: 0 };
        for (index, kept) in found.words.iter_mut().enumerate() {
            *kept = word(first + index * size_of::<usize>());
        }
        found.len = found.words.len();
        found
    }

    /// The entry of this kind (`AT_…`).
    pub fn get(&self, key: u64) -> Option<usize> {
        let words = self.words.get(..self.len)?;
        let (pairs, _) = words.as_chunks::<2>();
        let mut known = pairs.iter().take_while(|[tag, _]| *tag != libc::AT_NULL as usize);
        known.find(|[tag, _]| *tag == key as usize).map(|[_, value]| *value)
    }
}

/// No stack between a constructor and the strings at the stack's end is larger.
const MOST_STACK: usize = 16 << 20;
/// Tags beyond the kernel's highest (AT_MINSIGSTKSZ, 51) are no tags.
const HIGHEST_TAG: usize = 127;

/// The first place in `from..end` of an auxiliary vector's entry `AT_PHDR`, recognised by the entries that
/// follow it in the kernel's order (`create_elf_tables`). `None` where the memory ends before.
fn headers_entry(from: usize, end: usize) -> Option<usize> {
    const WORD: usize = size_of::<usize>();
    let (mut probe, mut last) = (Probe::new(), [0; 7]);
    for place in (from.next_multiple_of(WORD)..end).step_by(WORD) {
        last.rotate_left(1);
        last[6] = probe.pointer(place as *const _)? as usize;
        let [tag, _, size_tag, size, count_tag, _, base_tag] = last;
        let tags = [tag, size_tag, count_tag, base_tag].map(|tag| tag as u64);
        if tags == [libc::AT_PHDR, libc::AT_PHENT, libc::AT_PHNUM, libc::AT_BASE] && size == elf::HEADER_SIZE
        {
            return Some(place - 6 * WORD);
        }
    }
    None
}

/// The sensor's beginning in a wrapped call that comes before its constructor. This file is needed for it, so
/// the wrappers name it (`src/reach/hook.rs`).
pub trait Beginning {
    /// Begins, where that is possible already.
    fn early(auxiliary: &Auxiliary);
}

/// Finds the link map in the first wrapped call, and lets the sensor begin.
#[inline(always)]
pub fn begin<B: Beginning>() {
    if !IS_LOOKED_FOR.load(Ordering::Relaxed) {
        begin_now::<B>();
    }
}

#[cold]
#[inline(never)]
fn begin_now<B: Beginning>() {
    if let Some(auxiliary) = find_anew() {
        B::early(&auxiliary);
    }
}

/// Finds the link map, if that is not done.
#[cold]
pub fn find_maps() {
    if !IS_LOOKED_FOR.load(Ordering::Relaxed) {
        let _ = find_anew();
    }
}

/// Finds the link map, also if it was looked for before, and gives the auxiliary vector.
pub fn find_anew() -> Option<Auxiliary> {
    IS_LOOKED_FOR.store(true, Ordering::Relaxed);
    let (auxiliary, maps) = Auxiliary::find()?;
    maps.keep();
    Some(auxiliary)
}

static IS_LOOKED_FOR: AtomicBool = AtomicBool::new(false);
static IS_LATE: AtomicBool = AtomicBool::new(false);

/// Whether the sensor was loaded into a program that ran already, so that no caller is bound to it by name.
pub fn is_late() -> bool {
    IS_LATE.load(Ordering::Relaxed)
}

/// Entries of the link map: the program's, and the sensor's own.
struct Maps {
    first: *const elf::LinkMap,
    own: *const elf::LinkMap,
}

impl Maps {
    /// Only the base namespace is armed: in another (dlmopen, an auditor) we are not in this list.
    fn of(auxiliary: &Auxiliary) -> Option<Self> {
        elf::use_pages_of(auxiliary.get(libc::AT_PAGESZ));
        let headers = auxiliary.get(libc::AT_PHDR).unwrap_or(0);
        let count = auxiliary.get(libc::AT_PHNUM).unwrap_or(0);
        // SAFETY: the kernel's word for where the program's headers are mapped.
        let program = unsafe { Image::of_headers(headers, count, None) };
        let debug = match program.as_ref().map_or(0, Image::debug) {
            // Run as `ld.so program`, the headers are the loader's own, and it names its structure itself.
            0 => loader_debug(auxiliary.get(libc::AT_BASE).unwrap_or(0), program),
            debug => debug,
        };
        // SAFETY: the loader's `struct r_debug`, or 0.
        let first = unsafe { elf::first_map(debug) };
        // SAFETY: the first entry or null.
        let own = unsafe { elf::find_map(first, own_dynamic()) };
        (!own.is_null()).then_some(Self { first, own })
    }

    fn keep(&self) {
        if OWN_MAP.load(Ordering::Relaxed) != 0 {
            return;
        }
        // SAFETY: entries of the link map; ours is not the first, which is the program.
        let (after_own, after_program) = unsafe { (elf::next_map(self.own), elf::next_map(self.first)) };
        // The loader, if not libc, follows all preloaded libraries. A library that was loaded later stands
        // last.
        IS_LATE.store(after_own.is_null(), Ordering::Relaxed);
        let behind = if after_own.is_null() { after_program } else { after_own };
        BEHIND_MAP.store(behind as usize, Ordering::Release);
        OWN_MAP.store(self.own as usize, Ordering::Release);
        FIRST_MAP.store(self.first as usize, Ordering::Release);
    }
}

fn loader_debug(base: usize, program: Option<Image>) -> usize {
    // SAFETY: the kernel's word for where the loader is mapped.
    let loader = if base == 0 { program } else { unsafe { Image::at(base) } };
    let Some(loader) = loader else { return 0 };
    // musl names a pointer to it.
    // SAFETY: a variable of the mapped loader.
    let musl = || loader.symbol(c"_dl_debug_addr").map(|place| unsafe { *(place as *const usize) });
    loader.symbol(c"_r_debug").or_else(musl).unwrap_or(0)
}

#[cfg(not(test))]
fn own_dynamic() -> usize {
    unsafe extern "C" {
        #[link_name = "_DYNAMIC"]
        static DYNAMIC: [u8; 0];
    }
    (&raw const DYNAMIC) as usize
}

#[cfg(test)]
fn own_dynamic() -> usize {
    0
}
