//! The lines of /proc/PID/maps (proc_pid_maps(5)).

use std::fs::File;
use std::io::Read;
use std::ops::Range;

use crate::ids::FileId;
use crate::system::procfs;

/// More text is not read: some ten thousand mappings. A process with more is not looked at.
const MOST_BYTES: u64 = 1 << 20;

/// A mapping.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Its addresses.
    pub range: Range<u64>,
    /// `r-xp`: read, write, execute, private or shared.
    pub rights: [u8; 4],
    /// Where it begins in its file.
    pub offset: u64,
    /// Its file; unknown (0, 0) for anonymous memory.
    pub file: FileId,
    /// The file's path, or a name of the kernel's in brackets; empty for anonymous memory.
    pub name: Vec<u8>,
}

impl Mapping {
    /// Whether code may run there.
    pub fn is_code(&self) -> bool {
        self.rights[2] == b'x'
    }

    /// Whether the process may write there.
    pub fn is_writable(&self) -> bool {
        self.rights[1] == b'w'
    }

    /// The path of its file, without the kernel's word that it was removed; empty where it has none.
    pub fn path(&self) -> &[u8] {
        if self.name.starts_with(b"/") { procfs::without_deletion(&self.name) } else { b"" }
    }

    /// The last part of the path.
    pub fn file_name(&self) -> &[u8] {
        self.path().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// The mapping as text: range, rights, offset, name.
    pub fn text(&self) -> Vec<u8> {
        let Self { range: Range { start, end }, rights, offset, name, .. } = self;
        let mut text =
            format!("{start:x}-{end:x} {} {offset:08x} ", String::from_utf8_lossy(rights)).into_bytes();
        text.extend_from_slice(if name.is_empty() { b"anonymous" } else { name });
        text
    }
}

/// The mappings of a process, in the order of their addresses; `None` where the kernel does not show them,
/// and where there are too many.
pub fn of(pid: u32) -> Option<Vec<Mapping>> {
    let mut text = Vec::new();
    File::open(format!("/proc/{pid}/maps")).ok()?.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    (text.len() < MOST_BYTES as usize).then(|| read(&text))
}

/// The mappings in the text of /proc/PID/maps; lines that are none are left out.
pub fn read(text: &[u8]) -> Vec<Mapping> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// The mapping at an address.
pub fn at(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    mappings.iter().find(|mapping| mapping.range.contains(&address))
}

fn line(line: &[u8]) -> Option<Mapping> {
    // A path, which may be any bytes, comes after these, behind spaces that fill the column.
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = word()?.split_once('-')?;
    let rights = *word()?.as_bytes().first_chunk()?;
    let offset = number(word()?)?;
    let (major, minor) = word()?.split_once(':')?;
    let device =
        rustix::fs::makedev(u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let inode = word()?.parse().ok()?;
    let name = words.next().unwrap_or_default().trim_ascii_start().to_vec();
    let file = if inode == 0 { FileId::default() } else { FileId { device, inode } };
    Some(Mapping { range: number(start)?..number(end)?, rights, offset, file, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_any_name_and_what_is_no_line_is_left_out() {
        let text = b"55d0a000-55d0b000 r-xp 00001000 08:01 7                          /a b/x (deleted)\n\
            7f000000-7f001000 rwxp 00000000 00:00 0 \n\
            7ffe0000-7ffe2000 r-xp 00000000 00:00 0                          [vdso]\n\
            nonsense\n7f-\n";

        let mappings = read(text);

        let names: Vec<&[u8]> = mappings.iter().map(|mapping| &*mapping.name).collect();
        assert_eq!([&b"/a b/x (deleted)"[..], b"", b"[vdso]"], *names);
        assert_eq!((&b"/a b/x"[..], &b"x"[..]), (mappings[0].path(), mappings[0].file_name()));
        assert_eq!(7, mappings[0].file.inode);
        assert_eq!(b"7f000000-7f001000 rwxp 00000000 anonymous".to_vec(), mappings[1].text());
        assert!(mappings[1].is_writable() && mappings[1].is_code() && !mappings[1].file.is_known());
        assert_eq!(Some(&mappings[2]), at(&mappings, 0x7ffe_1fff));
        assert_eq!(None, at(&mappings, 0x7ffe_2000));
    }

    #[test]
    fn own_code_is_in_a_mapping_of_the_own_file() {
        let mappings = of(std::process::id()).unwrap();

        let code = at(&mappings, own_code as *const () as u64).unwrap();

        assert!(code.is_code() && code.file.is_known(), "{code:?}");
    }

    fn own_code() {}
}
