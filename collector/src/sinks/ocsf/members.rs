//! Members of objects that several attributes have: texts, numbers, files.

use crate::json::{key, string, unsigned};
use crate::sinks::reading::base;

/// `type_id` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Type {
    Unknown = 0,
    Regular = 1,
    Folder = 2,
    CharacterDevice = 3,
    BlockDevice = 4,
    Socket = 5,
    Pipe = 6,
    Link = 7,
}

/// Appends an argument vector as one line, with blanks between the arguments.
pub fn command_line<'a>(arguments: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let line: Vec<&[u8]> = arguments.collect();
    string(&line.join(b" ".as_slice()), out);
}

/// Appends a member that is a text.
pub fn text(name: &str, value: &[u8], out: &mut Vec<u8>) {
    key(name, "", out);
    string(value, out);
}

/// Appends a member that is a number.
pub fn number(name: &str, value: u64, out: &mut Vec<u8>) {
    key(name, "", out);
    unsigned(value, out);
}

/// Appends a file as a member, and what `more` appends to it.
pub fn file(name: &str, path: Option<&[u8]>, kind: Type, more: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
    key(name, "", out);
    out.push(b'{');
    key("name", "", out);
    string(path.map(base).unwrap_or_default(), out);
    if let Some(path) = path {
        text("path", path, out);
    }
    number("type_id", kind as u64, out);
    more(out);
    out.push(b'}');
}

/// Appends the file of a program; nothing where it is not known.
pub fn program_file(path: &[u8], out: &mut Vec<u8>) {
    if !path.is_empty() {
        file("file", Some(path), Type::Regular, |_| {}, out);
    }
}
