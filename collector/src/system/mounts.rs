//! Reads /proc/PID/mountinfo (proc_pid_mountinfo(5)).

use std::fs::File;
use std::io::Read;

/// A longer text is not read: a process may have any number of mounts in a namespace of its own.
const LONGEST: u64 = 256 << 10;

/// A mount as one process sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The kernel's number of the mount.
    pub id: u64,
    /// The file system's device, `major:minor`.
    pub device: Box<[u8]>,
    /// The part of the file system that is mounted: a path in it.
    pub root: Box<[u8]>,
    /// Where it is mounted, below the process's root.
    pub place: Box<[u8]>,
    /// Whether the mount itself can be written.
    pub is_writable: bool,
    /// The type of the file system.
    pub filesystem: Box<[u8]>,
    /// The options of the file system, with commas between them; not unescaped.
    pub options: Box<[u8]>,
}

impl Line {
    /// The value of an option of the file system.
    pub fn option(&self, name: &[u8]) -> Option<Vec<u8>> {
        let options = self.options.split(|byte| *byte == b',');
        let found = options.filter_map(|option| option.strip_prefix(name)?.strip_prefix(b"="));
        found.map(unescaped).next()
    }
}

/// The mounts that the process `pid` (or `self`) sees; `None` where it is gone, or they are too many.
pub fn of(pid: &str) -> Option<Vec<Line>> {
    let mut text = Vec::new();
    let file = File::open(format!("/proc/{pid}/mountinfo")).ok()?;
    file.take(LONGEST + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= LONGEST).then(|| parse(&text))
}

/// The mounts of a text; lines that are none are left out.
pub fn parse(text: &[u8]) -> Vec<Line> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(text: &[u8]) -> Option<Line> {
    let mut fields = text.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = fields.nth(1)?;
    let (root, place, own) = (fields.next()?, fields.next()?, fields.next()?);
    // Optional fields end with a hyphen.
    fields.find(|field| *field == b"-")?;
    let (filesystem, options) = (fields.next()?, fields.nth(1)?);
    Some(Line {
        id,
        device: device.into(),
        root: unescaped(root).into(),
        place: unescaped(place).into(),
        is_writable: own.split(|byte| *byte == b',').any(|option| option == b"rw"),
        filesystem: filesystem.into(),
        options: options.into(),
    })
}

/// A text in which the kernel wrote blanks, tabs, ends of lines, commas and backslashes as `\040`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, more @ ..] = rest {
        let digits = more.get(..3).filter(|_| *first == b'\\');
        let number = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match number.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = more.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = more;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_read_with_its_escapes_and_optional_fields() {
        let text =
            b"36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                     37 36 0:52 / /x ro - overlay overlay rw,upperdir=/up\\054per,workdir=/w\nrubbish\n";

        let lines = parse(text);

        assert_eq!(2, lines.len());
        assert_eq!((36, &b"98:0"[..], &b"/mnt1"[..]), (lines[0].id, &*lines[0].device, &*lines[0].root));
        assert_eq!((&b"/a b"[..], true), (&*lines[0].place, lines[0].is_writable));
        assert_eq!(Some(b"continue".to_vec()), lines[0].option(b"errors"));
        assert_eq!((&b"overlay"[..], false), (&*lines[1].filesystem, lines[1].is_writable));
        assert_eq!(Some(b"/up,per".to_vec()), lines[1].option(b"upperdir"));
        assert_eq!(None, lines[1].option(b"lowerdir"));
    }

    #[test]
    fn own_mounts_are_read() {
        assert!(of("self").unwrap().iter().any(|line| *line.place == *b"/"));
        assert_eq!(None, of("0"));
    }
}
