//! Loaded images, as the loader's link map describes them: where their symbols are.
//!
//! Used at start to find the loader and the vDSO's clock, and at a function's first call to find the definition after
//! ours. Nothing is allocated and no file read. Images are trusted as far as the loader that mapped them trusted
//! them; counts are checked all the same, because a constructor that dies on an odd file kills its host.
//!
//! # Safety
//! Every pointer comes from the link map, a program header or a dynamic section of a mapped image (elf(5),
//! `struct link_map` of <link.h>), all of which stay mapped while the image does.

use core::ffi::{CStr, c_char};

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
    _flags: u32,
    _offset: u64,
    address: usize,
    _physical: u64,
    _file_size: u64,
    _memory_size: u64,
    _align: u64,
}

const DT_HASH: i64 = 4;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_DEBUG: i64 = 21;
const DT_VERSYM: i64 = 0x6fff_fff0;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;
/// More entries than any dynamic section or program header table has.
const MANY: usize = 4096;

/// What an image's dynamic section says that a look-up needs.
pub struct Image {
    base: usize,
    strings: usize,
    symbols: usize,
    versions: usize,
    gnu_hash: usize,
    hash: usize,
    debug: usize,
}

impl Image {
    /// # Safety
    /// `dynamic` is the dynamic section of an image mapped at `base`.
    unsafe fn read(base: usize, dynamic: *const Dynamic) -> Option<Self> {
        if dynamic.is_null() {
            return None;
        }
        let mut image = Self { base, strings: 0, symbols: 0, versions: 0, gnu_hash: 0, hash: 0, debug: 0 };
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
        let (mut base, mut dynamic) = (base, None);
        for index in 0..count.min(MANY) {
            // SAFETY: the caller promises `count` headers.
            let header = unsafe { &*table.add(index) };
            match header.kind {
                PT_PHDR => base = base.or(Some(headers.wrapping_sub(header.address))),
                PT_DYNAMIC => dynamic = Some(header.address),
                _ => {}
            }
        }
        // A program that is not position-independent may lack PT_PHDR; its addresses are absolute.
        let base = base.unwrap_or(0);
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

    /// The loader's `struct r_debug`, if this image is the program and the loader has filled its `DT_DEBUG` in.
    pub fn debug(&self) -> usize {
        self.debug
    }

    /// The address of a defined symbol, the default version of it; an IFUNC is resolved.
    pub fn symbol(&self, name: &CStr) -> Option<usize> {
        if self.strings == 0 || self.symbols == 0 {
            return None;
        }
        let index = if self.gnu_hash != 0 { self.by_gnu_hash(name) } else { self.by_hash(name) }?;
        let symbol = self.entry(index);
        let address = self.base.wrapping_add(symbol.value);
        if symbol.info & 0xf != STT_GNU_IFUNC {
            return Some(address);
        }
        // SAFETY: an IFUNC symbol's value is its resolver, which takes nothing here and gives the address
        // (glibc's x86 resolvers read cpu features themselves).
        Some(unsafe { core::mem::transmute::<usize, extern "C" fn() -> usize>(address)() })
    }

    fn entry(&self, index: u32) -> &Symbol {
        // SAFETY: `index` comes from the image's own hash table, which numbers its symbol table.
        unsafe { &*(self.symbols as *const Symbol).add(index as usize) }
    }

    fn is_wanted(&self, index: u32, name: &CStr) -> bool {
        let symbol = self.entry(index);
        if symbol.section == 0 {
            return false;
        }
        // SAFETY: names are offsets into the image's string table, each ended by a NUL.
        let found = unsafe { CStr::from_ptr((self.strings + symbol.name as usize) as *const c_char) };
        if found != name {
            return false;
        }
        // The top bit of a version marks one that only old binaries ask for (symbol@VERSION, not symbol@@VERSION).
        // SAFETY: the version table has an entry for each symbol.
        self.versions == 0 || unsafe { *(self.versions as *const u16).add(index as usize) } & 0x8000 == 0
    }

    fn by_gnu_hash(&self, name: &CStr) -> Option<u32> {
        let mut hash: u32 = 5381;
        for byte in name.to_bytes() {
            hash = hash.wrapping_mul(33).wrapping_add(u32::from(*byte));
        }
        let table = self.gnu_hash as *const u32;
        // SAFETY: header, filter, buckets and chains of a GNU hash section, laid out so; the filter's word and the bucket
        // are chosen modulo their counts, and a chain ends at an odd value.
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
                if (found | 1) == (hash | 1) && self.is_wanted(index, name) {
                    return Some(index);
                }
                if found & 1 == 1 {
                    return None;
                }
                index = index.checked_add(1)?;
            }
        }
    }

    fn by_hash(&self, name: &CStr) -> Option<u32> {
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
                if self.is_wanted(index, name) {
                    return Some(index);
                }
                index = *chain.add(index as usize);
            }
        }
        None
    }
}

const STT_GNU_IFUNC: u8 = 10;

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

/// The first definition of `name` in `map` and the images after it.
///
/// # Safety
/// `map` is a link map entry or null; no image is unloaded meanwhile.
pub unsafe fn find_symbol(map: *const LinkMap, name: &CStr) -> Option<usize> {
    let mut map = map;
    // SAFETY: entries are linked to the next, the last to null.
    while let Some(entry) = unsafe { map.as_ref() } {
        // SAFETY: the loader filled the entry in.
        let image = unsafe { Image::read(entry.base, entry.dynamic) };
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
