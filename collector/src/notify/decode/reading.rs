//! Strings and structures out of the memory of a process that waits, page by page and bounded.

use crate::notify::memory::Memory;

/// The most that is read for one call, bytes: 256 pages. An argument vector is the only thing that comes
/// near.
pub const MOST_READ: usize = 1 << 20;
/// Read at once: pages are mapped whole, and no machine has smaller ones.
const PAGE: u64 = 4096;
/// Read at first: most paths and addresses lie in it, and a page takes a fifth longer.
const FEW: u64 = 512;
/// Pages that are kept for the time of one call: arguments often lie side by side.
const MOST_PAGES: usize = 8;

/// A string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// All of it.
    Whole(Vec<u8>),
    /// As much as may be copied.
    Cut(Vec<u8>),
    /// It cannot be read up to its end.
    Unreadable,
}

/// Memory in pages, each of which is read once.
pub struct Pages<'m> {
    memory: &'m mut dyn Memory,
    kept: Vec<Page>,
    next: usize,
    left: usize,
}

/// A page, or the part of one that is read first.
struct Page {
    address: u64,
    len: u64,
    /// As far as it could be read.
    bytes: Vec<u8>,
}

impl<'m> Pages<'m> {
    /// Nothing is read yet.
    pub fn new(memory: &'m mut dyn Memory) -> Self {
        Self { memory, kept: Vec::new(), next: 0, left: MOST_READ }
    }

    /// Whether no more may be read.
    fn is_used_up(&self) -> bool {
        self.left < PAGE as usize
    }

    /// The bytes from `address` to the end of what is read at once; none where they cannot be read.
    fn rest_of_page(&mut self, address: u64) -> &[u8] {
        let has = |page: &Page| address.wrapping_sub(page.address) < page.len;
        let index = match self.kept.iter().position(has) {
            Some(index) => index,
            None if self.is_used_up() => return &[],
            None => self.read(address),
        };
        let Some(page) = self.kept.get(index) else { return &[] };
        page.bytes.get((address - page.address) as usize..).unwrap_or_default()
    }

    /// Reads the page of an address in the place of the one that was read first; gives its place.
    fn read(&mut self, address: u64) -> usize {
        let len = if self.kept.is_empty() { FEW } else { PAGE };
        let address = address & !(len - 1);
        self.left -= len as usize;
        let mut bytes = vec![0; len as usize];
        let read = self.memory.read(address, &mut bytes);
        bytes.truncate(read);
        let page = Page { address, len, bytes };
        if self.kept.len() < MOST_PAGES {
            self.kept.push(page);
            return self.kept.len() - 1;
        }
        let index = self.next % MOST_PAGES;
        self.next += 1;
        if let Some(place) = self.kept.get_mut(index) {
            *place = page;
        }
        index
    }

    /// The `len` bytes at `address`; `None` where not all of them can be read.
    pub fn bytes(&mut self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let at = address.checked_add(bytes.len() as u64)?;
            let rest = self.rest_of_page(at);
            let part = rest.get(..(len - bytes.len()).min(rest.len()))?;
            if part.is_empty() {
                return None;
            }
            bytes.extend_from_slice(part);
        }
        Some(bytes)
    }

    /// A structure of `N` bytes.
    pub fn array<const N: usize>(&mut self, address: u64) -> Option<[u8; N]> {
        self.bytes(address, N)?.try_into().ok()
    }

    /// The string at `address`, at most `cap` bytes of it.
    pub fn text(&mut self, address: u64, cap: usize) -> Text {
        let mut text = Vec::new();
        loop {
            let Some(at) = address.checked_add(text.len() as u64) else { return Text::Unreadable };
            let is_full = text.len() >= cap;
            let rest = self.rest_of_page(at);
            let end = rest.iter().position(|byte| *byte == 0);
            match end {
                Some(0) => return Text::Whole(text),
                _ if is_full => return Text::Cut(text),
                _ if rest.is_empty() => break,
                _ => {}
            }
            let len = end.unwrap_or(rest.len()).min(cap - text.len());
            text.extend_from_slice(rest.get(..len).unwrap_or_default());
        }
        if self.is_used_up() { Text::Cut(text) } else { Text::Unreadable }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fake;
    use super::*;

    #[test]
    fn string_over_several_pages_is_read_whole_and_each_part_once() {
        let mut long = vec![b'x'; 9000];
        long.push(0);
        let mut memory = Fake::default().at(0x1000 - 4, &long);

        let mut pages = Pages::new(&mut memory);
        let read = [pages.text(0x1000 - 4, 20_000), pages.text(0x1000 - 4, 20_000)];

        assert_eq!(
            [const { 9000 }; 2],
            read.map(|text| matches!(text, Text::Whole(text) if text.len() == 9000) as usize * 9000)
        );
        assert_eq!(4, memory.reads);
    }

    #[test]
    fn bound_is_on_the_string_and_its_nul_does_not_count() {
        let mut memory = Fake::default().at(0x1000, b"abcdef\0");
        let mut pages = Pages::new(&mut memory);

        assert_eq!(Text::Whole(b"abcdef".to_vec()), pages.text(0x1000, 6));
        assert_eq!(Text::Cut(b"abcde".to_vec()), pages.text(0x1000, 5));
        assert_eq!(Text::Whole(Vec::new()), pages.text(0x1006, 6));
    }

    #[test]
    fn string_that_runs_into_a_hole_is_unreadable_and_one_that_ends_before_it_is_not() {
        let mut memory = Fake::default().at(0x1ffc, b"abcd").at(0x4ffc, b"abc\0");
        let mut pages = Pages::new(&mut memory);

        assert_eq!(Text::Unreadable, pages.text(0x1ffc, 100));
        assert_eq!(Text::Whole(b"abc".to_vec()), pages.text(0x4ffc, 100));
        assert_eq!(Text::Unreadable, pages.text(0, 100));
        assert_eq!(Text::Unreadable, pages.text(u64::MAX, 100));
        assert_eq!((None, Some(*b"cd")), (pages.array::<3>(0x1ffe), pages.array::<2>(0x1ffe)));
    }

    #[test]
    fn no_more_is_read_than_the_bound() {
        let mut memory = Fake { filler: Some(b'x'), ..Fake::default() };
        let mut pages = Pages::new(&mut memory);

        let text = pages.text(0x1000, usize::MAX);

        // The first page is read in two parts.
        assert_eq!(Text::Cut(vec![b'x'; MOST_READ - 4096]), text);
        assert_eq!(MOST_READ / 4096, memory.reads);
    }
}
