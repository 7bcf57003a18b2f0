//! Paths made absolute, by their text alone.
//!
//! `.` and `..` go lexically, without asking the file system: the collector may see another one than the
//! process, and what a name meant then is not what it means when the event is read.

/// Appends the absolute form of `raw`, which is relative to the directory `base`, to `out`.
///
/// Doubled and trailing slashes go, `.` goes, and `..` takes the component before it along, but never the
/// root. An empty `raw` is the directory itself (`AT_EMPTY_PATH`). Where `base` is not absolute, and so no
/// directory that we know, a relative `raw` stays as it is.
///
/// True where `raw` has a `..`.
pub fn resolve(base: &[u8], raw: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let is_absolute = raw.first() == Some(&b'/');
    if !is_absolute && base.first() != Some(&b'/') {
        out.extend_from_slice(if raw.is_empty() { base } else { raw });
        return raw.split(|byte| *byte == b'/').any(|component| component == b"..");
    }
    if !is_absolute && base != b"/" {
        out.extend_from_slice(base);
    }
    if is_plain(raw) {
        if !is_absolute {
            out.push(b'/');
        }
        out.extend_from_slice(raw);
        return false;
    }
    let mut goes_up = false;
    for component in raw.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                goes_up = true;
                let parent = out[start..].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                out.truncate(start + parent);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if out.len() == start {
        out.push(b'/');
    }
    goes_up
}

/// Whether a path has nothing to take out: an absolute one is its own absolute form. One pass; most paths
/// are.
fn is_plain(path: &[u8]) -> bool {
    if path == b"/" {
        return true;
    }
    let mut after_slash = path.first() != Some(&b'/');
    for (index, byte) in path.iter().enumerate() {
        match byte {
            b'/' if after_slash => return false,
            b'/' => after_slash = true,
            b'.' if after_slash => {
                // A hidden file's name is as good as any; `.` and `..` are not.
                let rest = path.get(index + 1..).unwrap_or_default();
                if matches!(rest, [] | [b'/', ..] | [b'.'] | [b'.', b'/', ..]) {
                    return false;
                }
                after_slash = false;
            }
            _ => after_slash = false,
        }
    }
    !after_slash
}

/// A directory or file that got another name.
#[derive(Clone, Debug)]
pub struct Moved {
    /// The path that it had.
    pub old: Box<[u8]>,
    /// The path that it has.
    pub new: Box<[u8]>,
    /// The two changed places.
    pub is_exchange: bool,
}

impl Moved {
    /// The path that `path` has after it; `None` where it stays.
    pub fn moved(&self, path: &[u8]) -> Option<Vec<u8>> {
        let behind = |old: &[u8], new: &[u8]| {
            let rest = path.strip_prefix(old)?;
            matches!(rest, [] | [b'/', ..]).then(|| [new, rest].concat())
        };
        let back = || self.is_exchange.then(|| behind(&self.new, &self.old)).flatten();
        behind(&self.old, &self.new).or_else(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(base: &str, raw: &str) -> String {
        let mut out = b"before".to_vec();
        resolve(base.as_bytes(), raw.as_bytes(), &mut out);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn paths_become_absolute_and_lose_dots() {
        for (base, raw, expected) in [
            ("/home/u", "a", "/home/u/a"),
            ("/home/u", "./a", "/home/u/a"),
            ("/home/u", "../a/./b", "/home/a/b"),
            ("/home/u", "..", "/home"),
            ("/home/u", "../../../../a", "/a"),
            ("/home/u", "", "/home/u"),
            ("/home/u", ".", "/home/u"),
            ("/home/u", "/a", "/a"),
            ("/", "a", "/a"),
            ("/", "..", "/"),
            ("/", "", "/"),
            ("/x", "/", "/"),
            ("/x", "//", "/"),
            ("/x", "//a//b/", "/a/b"),
            ("/x", "/a/..", "/"),
            ("/x", "/a/../..", "/"),
            ("/x", "/a/b/../c", "/a/c"),
            ("/x", "/.hidden", "/.hidden"),
            ("/x", "/a/..b/...", "/a/..b/..."),
            ("/x", "/a/.", "/a"),
            ("/x", "a/", "/x/a"),
            ("", "a/../b", "a/../b"),
            ("pipe:[7]", "", "pipe:[7]"),
            ("(unreachable)/x", "a", "a"),
        ] {
            assert_eq!(expected, resolved(base, raw), "{base} + {raw}");
        }
    }

    #[test]
    fn the_quick_check_agrees_with_the_slow_way() {
        let alphabet = b"/.a";
        for number in 0..3_usize.pow(7) {
            let mut raw = b"/".to_vec();
            let mut left = number;
            while left > 0 {
                raw.push(alphabet[left % 3]);
                left /= 3;
            }
            let mut out = Vec::new();
            resolve(b"/", &raw, &mut out);

            assert_eq!(is_plain(&raw), out == raw, "{}", String::from_utf8_lossy(&raw));
            let relative = &raw[1..];
            if relative.first() != Some(&b'/') {
                assert_eq!(
                    is_plain(relative),
                    !relative.is_empty() && out == raw,
                    "{}",
                    String::from_utf8_lossy(relative)
                );
            }
        }
    }
}
