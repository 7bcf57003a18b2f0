//! Takes lines of strace's output apart, and writes their arguments as events have them.
//!
//! The lines are those of `strace -ff -ttt -T -i -yy --decode-pids=pidns`: one file for each thread, with the
//! time and length of each call, and numbers of processes as strace's own pid namespace has them.

use crate::child;

/// The `call` of the line that ends a thread.
pub const END: &str = "+++";

/// How the errors begin of calls that a signal put off, and that the kernel makes anew; programs see none.
pub const PUT_OFF: &str = "ERESTART";

/// One line of strace's output, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When strace saw the call begin, nanoseconds since 1970.
    pub begin_ns: i64,
    /// When strace saw it return; `None` if it did not.
    pub end_ns: Option<i64>,
    /// The thread.
    pub tid: i64,
    /// The address behind the instruction that made the call.
    pub address: Option<u64>,
    /// The system call's name, or [`END`].
    pub call: String,
    /// Its arguments, as strace prints them.
    pub arguments: Vec<String>,
    /// The returned number; -1 if the call failed. The number of a process is that of strace's namespace.
    pub ret: Option<i64>,
    /// The returned number as the program has it.
    pub ret_inside: Option<i64>,
    /// A returned address.
    pub ret_hex: Option<u64>,
    /// The file or socket behind a returned descriptor.
    pub returned: Option<String>,
    /// errno's name, if it failed.
    pub error: Option<String>,
}

impl Line {
    /// `1795468495.66 [00007f579283d001] openat(AT_FDCWD</tmp>, "x", O_RDONLY) = 3</tmp/x> <0.000012>`
    pub fn parse(tid: i64, line: &str) -> Option<Line> {
        let (time, rest) = line.split_once(" [")?;
        let (address, rest) = rest.split_once("] ")?;
        let begin_ns = nanoseconds(time.trim())?;
        if let Some(how) = rest.strip_prefix("+++ ").and_then(|rest| rest.strip_suffix(" +++")) {
            return Some(Line::of(begin_ns, tid, None, END, vec![how.to_owned()]));
        }
        let (call, rest) = rest.split_once('(')?;
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        let (arguments, rest) = split_arguments(rest);
        let address = u64::from_str_radix(address, 16).ok();
        let mut line = Line::of(begin_ns, tid, address, of_64_bits(call), arguments);
        // A thread that executes a program gets its process's number, and never returns from the call.
        if line.arguments.last().is_some_and(|last| last.contains("<pid changed to ")) {
            (line.ret, line.ret_inside, line.end_ns) = (Some(0), Some(0), Some(begin_ns));
            return Some(line);
        }
        // A call that never returned (its process ended, or another thread executed a program) has no result.
        let result = rest.trim_start().strip_prefix("= ").unwrap_or("");
        let (result, spent) = result.rsplit_once(" <").unwrap_or((result, ""));
        line.end_ns = spent.strip_suffix('>').and_then(nanoseconds).map(|spent| begin_ns + spent);
        let number = result.split([' ', '<']).next().unwrap_or("");
        line.ret_inside = number.parse().ok();
        line.ret = translated(result).or(line.ret_inside);
        line.ret_hex = number.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        line.returned = annotated(result).map(str::to_owned);
        let word = result.split(' ').nth(1).unwrap_or("");
        line.error = (number == "-1" || word.starts_with(PUT_OFF)).then(|| word.to_owned());
        Some(line)
    }

    fn of(begin_ns: i64, tid: i64, address: Option<u64>, call: &str, arguments: Vec<String>) -> Line {
        Line {
            begin_ns,
            end_ns: None,
            tid,
            address,
            call: call.to_owned(),
            arguments,
            ret: None,
            ret_inside: None,
            ret_hex: None,
            returned: None,
            error: None,
        }
    }

    /// An argument, as strace prints it.
    pub fn argument(&self, at: usize) -> Option<&str> {
        self.arguments.get(at).map(String::as_str)
    }

    /// The number of an argument, without strace's annotation; that of a process is of strace's namespace.
    pub fn number(&self, at: usize) -> Option<i64> {
        let text = self.argument(at)?;
        let digits = |character: char| !character.is_ascii_digit() && character != '-';
        // A process group is negative.
        let signum = if text.starts_with('-') { -1 } else { 1 };
        translated(text).map(|pid| pid * signum).or_else(|| text.split(digits).next()?.parse().ok())
    }

    /// Whether an argument contains this word.
    pub fn mentions(&self, word: &str) -> bool {
        self.arguments.iter().any(|argument| argument.contains(word))
    }

    /// The descriptor of the directory that a path is relative to.
    pub fn directory(&self) -> Option<&str> {
        annotated(self.argument(0).filter(|fd| fd.starts_with("AT_FDCWD"))?)
    }
}

/// The ends of i386's names of calls whose numbers of users, or lengths, once had fewer bits.
const WIDER: [&str; 2] = ["32", "64"];

/// The name that a call of i386 has on 64-bit machines: `setuid` for `setuid32`. `prlimit64` has none.
fn of_64_bits(call: &str) -> &str {
    let is_wider =
        |name: &&str| name.starts_with("set") || name.ends_with("chown") || name.ends_with("truncate");
    WIDER.iter().find_map(|end| call.strip_suffix(end).filter(is_wider)).unwrap_or(call)
}

/// i386's other names of a call.
pub fn of_32_bits(call: &str) -> impl Iterator<Item = String> {
    let wider = WIDER.map(|end| format!("{call}{end}"));
    wider.into_iter().filter(|name| of_64_bits(name) != name)
}

/// Seconds with a fraction, as nanoseconds.
fn nanoseconds(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.')?;
    let fraction = format!("{fraction:0<9}");
    Some(seconds.parse::<i64>().ok()? * 1_000_000_000 + fraction.get(..9)?.parse::<i64>().ok()?)
}

/// `2 /* 14803 in strace's PID NS */`: the second number.
fn translated(text: &str) -> Option<i64> {
    let (before, _) = text.split_once(" in strace's PID NS */")?;
    before.rsplit_once("/* ")?.1.parse().ok()
}

/// Splits at the commas of the outermost level, and gives the text behind the closing bracket.
fn split_arguments(text: &str) -> (Vec<String>, &str) {
    let mut arguments = Vec::new();
    let (mut depth, mut is_quoted, mut is_escaped, mut in_comment, mut from) = (0i32, false, false, false, 0);
    let bytes = text.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        if in_comment {
            in_comment = !(byte == b'/' && at > 0 && bytes.get(at - 1) == Some(&b'*'));
            continue;
        }
        if is_quoted {
            is_quoted = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => is_quoted = true,
            b'*' if at > 0 && bytes.get(at - 1) == Some(&b'/') => in_comment = true,
            b'(' | b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            b')' if depth > 0 => depth -= 1,
            b')' => {
                arguments.push(text[from..at].trim().to_owned());
                return (arguments, &text[at + 1..]);
            }
            b',' if depth == 0 => {
                arguments.push(text[from..at].trim().to_owned());
                from = at + 1;
            }
            _ => {}
        }
    }
    arguments.push(text[from..].trim().to_owned());
    (arguments, "")
}

/// The string between the first quotes, with C escapes undone, as events have it.
pub fn unquoted(argument: &str) -> Option<String> {
    string(argument.get(argument.find('"')? + 1..)?).map(|(text, _)| text)
}

/// The strings of a list, `["a", "b"]`; `None` if strace did not print all of it.
pub fn unquoted_list(argument: &str) -> Option<Vec<String>> {
    let mut rest = argument.strip_prefix('[')?;
    let mut items = Vec::new();
    while let Some(quoted) = rest.strip_prefix('"') {
        let (item, behind) = string(quoted)?;
        items.push(item);
        rest = behind.strip_prefix(", ").unwrap_or(behind);
    }
    (rest == "]").then_some(items)
}

/// The string before the next quote, as events have it, and the text behind that quote.
fn string(text: &str) -> Option<(String, &str)> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'"' => return Some((child::escaped(&bytes), text.get(at + 1..)?)),
            b'\\' => match rest.next()?.1 {
                b'n' => bytes.push(b'\n'),
                b't' => bytes.push(b'\t'),
                b'r' => bytes.push(b'\r'),
                b'v' => bytes.push(0x0b),
                b'f' => bytes.push(0x0c),
                digit @ b'0'..=b'7' => {
                    let mut value = u32::from(digit - b'0');
                    for _ in 0..2 {
                        match rest.peek() {
                            Some((_, next @ b'0'..=b'7')) => value = value * 8 + u32::from(next - b'0'),
                            _ => break,
                        }
                        rest.next();
                    }
                    bytes.push(value as u8);
                }
                other => bytes.push(other),
            },
            other => bytes.push(other),
        }
    }
    None
}

/// The path or socket that `-yy` prints behind a descriptor: `3</tmp/x>`, `AT_FDCWD</tmp>`,
/// `1</dev/null<char 1:3>>`, `4</tmp/x>(deleted)`.
pub fn annotated(argument: &str) -> Option<&str> {
    let (_, text) = argument.split_once('<')?;
    let text = text.strip_suffix("(deleted)").unwrap_or(text).strip_suffix('>')?;
    Some(text.rsplit_once('<').filter(|(_, device)| device.ends_with('>')).map_or(text, |(path, _)| path))
}

/// `path` relative to `dir`, without dots. What lies before `..` is looked up, since it may be a link; of a
/// directory that is gone, the name counts.
pub fn absolute(dir: &str, path: &str) -> String {
    let mut whole = String::new();
    let dir = if path.starts_with('/') { "" } else { dir };
    for part in dir.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                let real = std::fs::canonicalize(&whole).ok();
                whole = real.and_then(|real| real.into_os_string().into_string().ok()).unwrap_or(whole);
                whole.truncate(whole.rfind('/').unwrap_or(0));
            }
            name => {
                whole.push('/');
                whole.push_str(name);
            }
        }
    }
    if whole.is_empty() { "/".to_owned() } else { whole }
}

/// The peer in a socket address as strace prints it, in the form of docs/contract.md.
pub fn peer(address: &str) -> Option<String> {
    let after = |key: &str| address.split_once(key).map(|(_, rest)| rest);
    if let Some(path) = after("sun_path=") {
        let name = unquoted(path)?;
        return Some(if path.starts_with('@') { format!("@{name}") } else { name });
    }
    let port = after("_port=htons(")?.split(')').next()?;
    if let Some(rest) = after("sin_addr=inet_addr(") {
        return Some(format!("{}:{port}", unquoted(rest)?));
    }
    let rest = after("inet_pton(AF_INET6, ")?;
    Some(format!("[{}]:{port}", unquoted(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = Line::parse(
            7,
            r#"12.5 [00007f579283d001] openat(AT_FDCWD</tmp>, "a \"b\", c\303\244", O_RDONLY|O_CLOEXEC) = 3</tmp/x> <0.000250>"#,
        )
        .unwrap();

        assert_eq!((12_500_000_000, Some(12_500_250_000)), (line.begin_ns, line.end_ns));
        assert_eq!((Some(0x7f57_9283_d001), Some(3), None), (line.address, line.ret, line.error.clone()));
        assert_eq!(Some("/tmp/x"), line.returned.as_deref());
        assert_eq!(Some("a \"b\", c\u{e4}".to_owned()), unquoted(&line.arguments[1]));
        assert_eq!(Some("/tmp"), annotated(&line.arguments[0]));
    }

    #[test]
    fn a_failed_call_keeps_its_error() {
        let line = Line::parse(
            7,
            r#"1.0 [0000000000000001] openat(AT_FDCWD</>, "x", O_RDONLY) = -1 ENOENT (No such file) <0.000010>"#,
        )
        .unwrap();

        assert_eq!((Some(-1), Some("ENOENT".to_owned())), (line.ret, line.error));
    }

    #[test]
    fn environments_in_comments_are_no_arguments() {
        let line = Line::parse(
            7,
            r#"1.0 [0000000000000001] execve("/bin/x", ["x", "a,b)"], 0x55b1 /* 35 vars, (all) */) = 0"#,
        )
        .unwrap();

        assert_eq!(3, line.arguments.len());
        assert_eq!(Some(vec!["x".to_owned(), "a,b)".to_owned()]), unquoted_list(&line.arguments[1]));
        assert_eq!(Some(0), line.ret);
    }

    #[test]
    fn processes_have_the_numbers_of_straces_namespace() {
        let fork =
            Line::parse(7, "1.0 [0000000000000001] vfork() = 3 /* 1406 in strace's PID NS */ <0.002405>");
        let kill =
            Line::parse(7, "1.0 [0000000000000001] kill(2 /* 1403 in strace's PID NS */, SIGTERM) = 0");

        assert_eq!((Some(1406), Some(3)), fork.map(|line| (line.ret, line.ret_inside)).unwrap());
        assert_eq!(Some(1403), kill.unwrap().number(0));
        let group =
            Line::parse(7, "1.0 [0000000000000001] kill(-2 /* 1403 in strace's PID NS */, SIGTERM) = 0");
        assert_eq!(Some(-1403), group.unwrap().number(0));
    }

    #[test]
    fn devices_and_deleted_files_have_their_path() {
        assert_eq!(Some("/dev/null"), annotated("1</dev/null<char 1:3>>"));
        assert_eq!(Some("/tmp/x"), annotated("4</tmp/x>(deleted)"));
        assert_eq!(Some("TCP:[127.0.0.1:1->127.0.0.1:2]"), annotated("5<TCP:[127.0.0.1:1->127.0.0.1:2]>"));
    }

    #[test]
    fn the_end_of_a_thread_is_a_line() {
        let end = Line::parse(7, "1.5 [????????????????] +++ killed by SIGTERM +++").unwrap();

        assert_eq!((END, Some("killed by SIGTERM")), (end.call.as_str(), end.argument(0)));
    }

    #[test]
    fn peers_are_written_as_events_write_them() {
        assert_eq!(
            Some("127.0.0.1:80".to_owned()),
            peer(r#"{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}"#)
        );
        assert_eq!(
            Some("[::1]:8".to_owned()),
            peer(
                r#"{sa_family=AF_INET6, sin6_port=htons(8), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}"#
            )
        );
        assert_eq!(Some("/run/x".to_owned()), peer(r#"{sa_family=AF_UNIX, sun_path="/run/x"}"#));
        assert_eq!(Some("@x".to_owned()), peer(r#"{sa_family=AF_UNIX, sun_path=@"x"}"#));
    }

    #[test]
    fn dots_are_taken_out_of_paths() {
        assert_eq!("/a/c", absolute("/a/b", "../c/./"));
        assert_eq!("/c", absolute("/a", "/c"));
        assert_eq!("/", absolute("/a", ".."));
        // A link to a folder below /proc.
        assert_eq!("/proc/x", absolute("/proc/self", "../x"));
        assert_ne!("/proc/self/x", absolute("/proc/self/fd/..", "../x"));
    }
}
