//! Loaded images, as the loader's link map describes them: where their symbols are.
//!
//! Used at start to find the loader and the vDSO's clock, at a function's first call to find the definition
//! after ours, and by [`super::got`] to find what else is bound to it. Nothing is allocated and no file read.
//! Images are trusted as far as the loader that mapped them trusted them; counts are checked all the same,
//! because a constructor that dies on an odd file kills its host.
//!
//! # Safety
//! Every pointer comes from the link map, a program header or a dynamic section of a mapped image (elf(5),
//! `struct link_map` of <link.h>), all of which stay mapped while the image does.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::{arch, sys};

/// `struct link_map`, its public beginning.
#[repr(C)]
pub struct LinkMap {
    /// Difference between the addresses in the file and in memory.
    pub base: usize,
    name: *const c_char,
    dynamic: *const Dynamic,
    next: *const LinkMap,
    _previous: *const LinkMap,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Dynamic {
    tag: i64,
    value: usize,
}

/// `struct r_debug`, its beginning.
#[repr(C)]
struct Debug {
    _version: i32,
    map: *const LinkMap,
}

#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    _other: u8,
    section: u16,
    value: usize,
    _size: u64,
}

#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: usize,
    _physical: u64,
    _file_size: u64,
    memory_size: usize,
    _align: u64,
}

#[repr(C)]
struct Relocation {
    place: usize,
    kind: u32,
    symbol: u32,
    addend: i64,
}

/// Size of a program header.
pub const HEADER_SIZE: usize = size_of::<ProgramHeader>();

const DT_PLTRELSZ: i64 = 2;
const DT_HASH: i64 = 4;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_DEBUG: i64 = 21;
const DT_JMPREL: i64 = 23;
const DT_VERSYM: i64 = 0x6fff_fff0;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
/// More entries than any dynamic section or program header table has.
const MANY: usize = 4096;

/// The parts of an image's dynamic section that look-ups and relocations need.
pub struct Image {
    base: usize,
    strings: usize,
    symbols: usize,
    versions: usize,
    gnu_hash: usize,
    hash: usize,
    debug: usize,
    /// Address and length in bytes of both tables of relocations: of data, and of calls.
    relocations: [(usize, usize); 2],
}

/// The start of the mapped file whose program headers are at `headers`, if they follow its ELF header as
/// linkers put them.
fn file_start(headers: usize) -> Option<usize> {
    let start = headers.checked_sub(64)?;
    // SAFETY: in the page of the headers, which are mapped.
    (start.is_multiple_of(4096) && unsafe { *(start as *const [u8; 4]) } == *b"\x7fELF").then_some(start)
}

impl Image {
    /// # Safety
    /// `dynamic` is the dynamic section of an image mapped at `base`.
    unsafe fn read(base: usize, dynamic: *const Dynamic) -> Option<Self> {
        if dynamic.is_null() {
            return None;
        }
        let relocations = [(0, 0); 2];
        let mut image =
            Self { base, strings: 0, symbols: 0, versions: 0, gnu_hash: 0, hash: 0, debug: 0, relocations };
        let [data, calls] = &mut image.relocations;
        for index in 0..MANY {
            // SAFETY: the section ends with a null tag, at which the loop stops.
            let entry = unsafe { dynamic.add(index).read() };
            // glibc relocates these addresses in memory, musl and the vDSO do not.
            let address = if entry.value < base { entry.value.wrapping_add(base) } else { entry.value };
            match entry.tag {
                0 => return Some(image),
                DT_STRTAB => image.strings = address,
                DT_SYMTAB => image.symbols = address,
                DT_VERSYM => image.versions = address,
                DT_GNU_HASH => image.gnu_hash = address,
                DT_HASH => image.hash = address,
                DT_DEBUG => image.debug = entry.value,
                DT_RELA => data.0 = address,
                DT_RELASZ => data.1 = entry.value,
                DT_JMPREL => calls.0 = address,
                DT_PLTRELSZ => calls.1 = entry.value,
                _ => {}
            }
        }
        None
    }

    /// The image whose program headers are at `headers`, `count` of them.
    ///
    /// # Safety
    /// They are the program headers of a mapped image; `base` is given where they say it in no `PT_PHDR`.
    pub unsafe fn of_headers(headers: usize, count: usize, base: Option<usize>) -> Option<Self> {
        let table = headers as *const ProgramHeader;
        let (mut base, mut dynamic, mut first) = (base, None, None);
        for index in 0..count.min(MANY) {
            // SAFETY: the caller promises `count` headers.
            let header = unsafe { &*table.add(index) };
            match header.kind {
                PT_PHDR => base = base.or(Some(headers.wrapping_sub(header.address))),
                PT_DYNAMIC => dynamic = Some(header.address),
                PT_LOAD if header.offset == 0 => first = Some(header.address),
                _ => {}
            }
        }
        // The loader, run as a program, lacks PT_PHDR; so may a program that is not position-independent.
        let base = base.or_else(|| Some(file_start(headers)?.wrapping_sub(first?))).unwrap_or(0);
        // SAFETY: the dynamic section of that image.
        unsafe { Self::read(base, base.wrapping_add(dynamic?) as *const Dynamic) }
    }

    /// The image whose ELF header is at `start`.
    ///
    /// # Safety
    /// A mapped ELF file of this machine's class starts there.
    pub unsafe fn at(start: usize) -> Option<Self> {
        // SAFETY: fields of Elf64_Ehdr: e_phoff at 32, e_phnum at 56; the caller promises the header.
        let (offset, count) = unsafe { (*((start + 32) as *const usize), *((start + 56) as *const u16)) };
        if start == 0 {
            return None;
        }
        // The first PT_LOAD of the loader and of the vDSO is at address 0, so the base is the start.
        // SAFETY: the program headers of the mapped file.
        unsafe { Self::of_headers(start.wrapping_add(offset), usize::from(count), Some(start)) }
    }

    /// The loader's `struct r_debug`, if this image is the program and the loader has filled its `DT_DEBUG`
    /// in.
    pub fn debug(&self) -> usize {
        self.debug
    }

    /// The image of an entry of the link map.
    ///
    /// # Safety
    /// `map` is a link map entry or null.
    pub unsafe fn of(map: *const LinkMap) -> Option<Self> {
        // SAFETY: the loader filled the entry in.
        unsafe { map.as_ref().and_then(|entry| Self::read(entry.base, entry.dynamic)) }
    }

    /// Difference between the addresses in the file and in memory.
    pub fn base(&self) -> usize {
        self.base
    }

    /// The address of a defined symbol, the default version of it; an IFUNC is resolved.
    pub fn symbol(&self, name: &CStr) -> Option<usize> {
        self.look_up(name, |index| self.is_default(index)).map(|index| self.address(index))
    }

    fn address(&self, index: u32) -> usize {
        let symbol = self.entry(index);
        let address = self.base.wrapping_add(symbol.value);
        if symbol.info & 0xf != STT_GNU_IFUNC {
            return address;
        }
        // SAFETY: an IFUNC symbol's value is its resolver, which takes nothing here and gives the address
        // (glibc's x86 resolvers read cpu features themselves).
        unsafe { core::mem::transmute::<usize, extern "C" fn() -> usize>(address)() }
    }

    /// Calls `visit` with the place of the value of each definition of a function, in all of its versions: a
    /// word to which the loader adds the base. An IFUNC, whose value is another function, is left out.
    pub fn each_definition(&self, name: &CStr, mut visit: impl FnMut(&'static AtomicUsize)) {
        self.look_up(name, |index| {
            let symbol = self.entry(index);
            if symbol.info & 0xf == STT_FUNC {
                // SAFETY: a word of the mapped symbol table, aligned, which only whole words are read of.
                visit(unsafe { &*(&raw const symbol.value).cast() });
            }
            false
        });
    }

    /// Calls `visit` with each word that holds a symbol's address by relocation, and the symbol's name.
    pub fn each_slot(&self, mut visit: impl FnMut(usize, &CStr)) {
        for (table, len_bytes) in self.relocations {
            for index in 0..len_bytes / size_of::<Relocation>() {
                // SAFETY: the table is as long as the dynamic section says.
                let relocation = unsafe { &*(table as *const Relocation).add(index) };
                let is_address =
                    arch::ADDRESS_RELOCATIONS.contains(&relocation.kind) && relocation.addend == 0;
                if is_address && relocation.symbol != 0 && self.strings != 0 && self.symbols != 0 {
                    let name = self.name_of(self.entry(relocation.symbol));
                    visit(self.base.wrapping_add(relocation.place), name);
                }
            }
        }
    }

    /// An upper bound of the symbol table's end: the first section that linkers put behind it.
    fn constants_end(&self) -> usize {
        let [data, calls] = self.relocations;
        [self.strings, data.0, calls.0]
            .into_iter()
            .filter(|address| *address > self.symbols)
            .max()
            .unwrap_or(self.symbols)
    }

    fn entry(&self, index: u32) -> &Symbol {
        // SAFETY: `index` comes from the image's own hash table, which numbers its symbol table.
        unsafe { &*(self.symbols as *const Symbol).add(index as usize) }
    }

    fn name_of(&self, symbol: &Symbol) -> &CStr {
        // SAFETY: names are offsets into the image's string table, each ended by a NUL.
        unsafe { CStr::from_ptr((self.strings + symbol.name as usize) as *const c_char) }
    }

    fn is_definition(&self, index: u32, name: &CStr) -> bool {
        let symbol = self.entry(index);
        symbol.section != 0 && self.name_of(symbol) == name
    }

    /// Whether a look-up without a version finds this one: the top bit marks a version that only old binaries
    /// ask for (symbol@VERSION, not symbol@@VERSION).
    fn is_default(&self, index: u32) -> bool {
        // SAFETY: the version table has an entry for each symbol.
        self.versions == 0 || unsafe { *(self.versions as *const u16).add(index as usize) } & 0x8000 == 0
    }

    /// The first definition of `name` that is accepted.
    fn look_up(&self, name: &CStr, accept: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.strings == 0 || self.symbols == 0 {
            return None;
        }
        if self.gnu_hash != 0 { self.by_gnu_hash(name, accept) } else { self.by_hash(name, accept) }
    }

    fn by_gnu_hash(&self, name: &CStr, mut accept: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut hash: u32 = 5381;
        for byte in name.to_bytes() {
            hash = hash.wrapping_mul(33).wrapping_add(u32::from(*byte));
        }
        let table = self.gnu_hash as *const u32;
        // SAFETY: header, filter, buckets and chains of a GNU hash section, laid out so; the filter's word
        // and the bucket are chosen modulo their counts, and a chain ends at an odd value.
        unsafe {
            let (buckets, first) = (*table, *table.add(1));
            let (filter_words, shift) = (*table.add(2), *table.add(3));
            if buckets == 0 || filter_words == 0 {
                return None;
            }
            let filter = table.add(4).cast::<u64>();
            let word = *filter.add((hash / 64 % filter_words) as usize);
            let mask = 1u64 << (hash % 64) | 1u64 << (hash.checked_shr(shift).unwrap_or(0) % 64);
            if word & mask != mask {
                return None;
            }
            let bucket = filter.add(filter_words as usize).cast::<u32>();
            let chain = bucket.add(buckets as usize);
            let mut index = *bucket.add((hash % buckets) as usize);
            if index < first {
                return None;
            }
            loop {
                let found = *chain.add((index - first) as usize);
                if (found | 1) == (hash | 1) && self.is_definition(index, name) && accept(index) {
                    return Some(index);
                }
                if found & 1 == 1 {
                    return None;
                }
                index = index.checked_add(1)?;
            }
        }
    }

    fn by_hash(&self, name: &CStr, mut accept: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.hash == 0 {
            return None;
        }
        let mut hash: u32 = 0;
        for byte in name.to_bytes() {
            hash = (hash << 4).wrapping_add(u32::from(*byte));
            let top = hash & 0xf000_0000;
            hash = (hash ^ top >> 24) & !top;
        }
        let table = self.hash as *const u32;
        // SAFETY: the SysV hash section: two counts, then the buckets, then a chain entry for each symbol.
        unsafe {
            let (buckets, count) = (*table, *table.add(1));
            if buckets == 0 {
                return None;
            }
            let chain = table.add(2 + buckets as usize);
            let mut index = *table.add(2 + (hash % buckets) as usize);
            for _ in 0..count {
                if index == 0 || index >= count {
                    return None;
                }
                if self.is_definition(index, name) && accept(index) {
                    return Some(index);
                }
                index = *chain.add(index as usize);
            }
        }
        None
    }
}

const STT_FUNC: u8 = 2;
const STT_GNU_IFUNC: u8 = 10;

/// An image's program headers, as dl_iterate_phdr(3) shows them: what of it is protected, and how.
#[derive(Clone, Copy)]
pub struct Layout<'a> {
    base: usize,
    headers: &'a [ProgramHeader],
}

/// Pages that the loader protected, and the protection that they get back.
pub struct Protected {
    pages: Range<usize>,
    protection: c_int,
}

impl<'a> Layout<'a> {
    /// The layout of an image mapped at `base`.
    ///
    /// # Safety
    /// `headers` are its program headers, `count` of them, for as long as the layout is used.
    pub unsafe fn new(base: usize, headers: *const c_void, count: usize) -> Self {
        // SAFETY: the caller's promise.
        Self { base, headers: unsafe { core::slice::from_raw_parts(headers.cast(), count.min(MANY)) } }
    }

    pub fn image(&self) -> Option<Image> {
        // SAFETY: of a mapped image.
        unsafe { Image::of_headers(self.headers.as_ptr() as usize, self.headers.len(), Some(self.base)) }
    }

    fn addresses(&self, header: &ProgramHeader) -> Range<usize> {
        let start = self.base.wrapping_add(header.address);
        start..start.saturating_add(header.memory_size)
    }

    fn segment_of(&self, address: usize) -> Option<&ProgramHeader> {
        self.headers.iter().find(|header| header.kind == PT_LOAD && self.addresses(header).contains(&address))
    }

    /// Whether the segment of `address` can be written, but for what was protected after relocation.
    pub fn is_writable(&self, address: usize) -> bool {
        self.segment_of(address).is_some_and(|segment| segment.flags & PF_W != 0)
    }

    /// The pages that were protected after relocation (`PT_GNU_RELRO`): whole pages only, as the loaders do
    /// it.
    pub fn after_relocation(&self) -> Protected {
        let header = self.headers.iter().find(|header| header.kind == PT_GNU_RELRO);
        let pages = header.map_or(0..0, |header| self.addresses(header));
        Protected { pages: page_of(pages.start)..page_of(pages.end), protection: libc::PROT_READ }
    }

    /// The pages of these words of the symbol table of `image`, which is this image; `None` where they may
    /// hold code.
    pub fn symbol_pages(&self, image: &Image, words: Range<usize>) -> Option<Protected> {
        let pages = page_of(words.start)..page_of(words.end + page_len() - 1);
        let segment = self.segment_of(words.start)?;
        // Some linkers put constants and code into one segment, code last. Pages that were made writable are
        // not made executable again: SELinux and PR_SET_MDWE would refuse it, and these pages need not be.
        let holds_code = segment.flags & PF_X != 0 && pages.end > image.constants_end();
        let write = if segment.flags & PF_W != 0 { libc::PROT_WRITE } else { 0 };
        (!holds_code).then_some(Protected { pages, protection: libc::PROT_READ | write })
    }
}

impl Protected {
    /// Whether this address is among them.
    pub fn contains(&self, address: usize) -> bool {
        self.pages.contains(&address)
    }

    /// Makes them writable; false if the kernel refuses.
    pub fn open(&self) -> bool {
        self.protect(libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Protects them again.
    pub fn close(&self) {
        // Closing succeeds where opening did: only the split of a mapping can fail, and that is done.
        self.protect(self.protection);
    }

    fn protect(&self, protection: c_int) -> bool {
        // SAFETY: data of an image that is mapped; no code relies on a write to it failing.
        unsafe { sys::protect(self.pages.start, self.pages.len(), protection) }.is_ok()
    }
}

static PAGE_LEN: AtomicUsize = AtomicUsize::new(0);

/// Takes the length of this machine's pages (`AT_PAGESZ`): 4096 bytes, on aarch64 perhaps 16 or 64 KiB.
pub fn use_pages_of(len: Option<usize>) {
    PAGE_LEN.store(len.filter(|len| len.is_power_of_two()).unwrap_or(0), Ordering::Relaxed);
}

/// Bytes of a page.
pub fn page_len() -> usize {
    match PAGE_LEN.load(Ordering::Relaxed) {
        0 => 4096,
        len => len,
    }
}

fn page_of(address: usize) -> usize {
    address & !(page_len() - 1)
}

/// The first entry of the link map of the base namespace.
///
/// # Safety
/// `debug` is the address of the loader's `struct r_debug`, or 0.
pub unsafe fn first_map(debug: usize) -> *const LinkMap {
    if debug == 0 {
        return core::ptr::null();
    }
    // SAFETY: the caller's promise.
    unsafe { (*(debug as *const Debug)).map }
}

/// The entry of the image whose dynamic section is at `dynamic`.
///
/// # Safety
/// `map` is a link map entry or null.
pub unsafe fn find_map(map: *const LinkMap, dynamic: usize) -> *const LinkMap {
    let mut map = map;
    // SAFETY: entries are linked to the next, the last to null.
    while let Some(entry) = unsafe { map.as_ref() } {
        if entry.dynamic as usize == dynamic {
            return map;
        }
        map = entry.next;
    }
    core::ptr::null()
}

/// The first definition of `name` in `map` and the images after it, `but` one.
///
/// # Safety
/// `map` is a link map entry or null; no image is unloaded meanwhile.
pub unsafe fn find_symbol(map: *const LinkMap, but: *const LinkMap, name: &CStr) -> Option<usize> {
    let mut map = map;
    // SAFETY: entries are linked to the next, the last to null.
    while let Some(entry) = unsafe { map.as_ref() } {
        // SAFETY: an entry of the link map.
        let image = if map == but { None } else { unsafe { Image::of(map) } };
        if let Some(address) = image.and_then(|image| image.symbol(name)) {
            return Some(address);
        }
        map = entry.next;
    }
    None
}

/// The entry after `map`.
///
/// # Safety
/// `map` is a link map entry.
pub unsafe fn next_map(map: *const LinkMap) -> *const LinkMap {
    // SAFETY: the caller's promise.
    unsafe { (*map).next }
}

/// The file name of an image, as the loader was asked for it.
///
/// # Safety
/// `map` is a link map entry.
pub unsafe fn name_of<'m>(map: *const LinkMap) -> &'m CStr {
    // SAFETY: the loader keeps the name as long as the entry.
    unsafe { if (*map).name.is_null() { c"" } else { CStr::from_ptr((*map).name) } }
}
