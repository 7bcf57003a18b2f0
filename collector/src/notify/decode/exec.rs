//! Programs and processes: executed and made.

use wire::events::{ProcessExec, ProcessFork};
use wire::fields::{AT_FDCWD, Actions, Args, AtFlags, DEFAULT_ARGV, Hidden};
use wire::record::Flags;

use super::case::{Case, Place, Told};
use super::reading::Text;

/// Variables that are looked at, and the bytes of one that are shown.
const MOST_VARIABLES: usize = 4096;
const MOST_OF_VARIABLE: usize = 4096;

/// An argument vector, as far as it is copied.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    /// Each string with its NUL.
    strings: Vec<u8>,
    /// The number of arguments, where they were cut and could be counted.
    argc: Option<u32>,
}

impl Case<'_> {
    /// A null-terminated array of strings: cut where the sensor cuts it (`DEFAULT_ARGV`), and where it cannot
    /// be read.
    fn arguments(&mut self, array: u64) -> Arguments {
        let mut arguments = Arguments::default();
        let step = self.asked.abi.pointer_bytes() as u64;
        let (mut count, mut at, mut is_whole) = (0_u32, array, array == 0);
        while !is_whole {
            let Some(string) = self.pointer(at) else { break };
            if string == 0 {
                is_whole = true;
                break;
            }
            // Those behind the cut are only counted.
            if arguments.strings.len() <= DEFAULT_ARGV {
                match self.pages.text(string, DEFAULT_ARGV) {
                    Text::Whole(text) | Text::Cut(text) => arguments.strings.extend_from_slice(&text),
                    Text::Unreadable => break,
                }
                arguments.strings.push(0);
            }
            let Some(next) = at.checked_add(step) else { break };
            (count, at) = (count.saturating_add(1), next);
        }
        let is_long = arguments.strings.len() > DEFAULT_ARGV;
        if is_long {
            arguments.strings.truncate(DEFAULT_ARGV - 1);
            arguments.strings.push(0);
            arguments.argc = is_whole.then_some(count);
        }
        if is_long || !is_whole {
            self.flags |= Flags::TRUNCATED;
        }
        arguments
    }
}

/// Whether a hook would show a variable of this beginning (`SHOWN_NAMES` of src/start/image.rs).
fn is_shown(variable: &[u8]) -> bool {
    const NAMES: [&[u8]; 4] = [b"GLIBC_TUNABLES=", b"HTTP_PROXY=", b"HTTPS_PROXY=", b"ALL_PROXY="];
    let is_called = |name: &&[u8]| {
        variable.get(..name.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(name))
    };
    variable.starts_with(b"LD_") || variable.starts_with(b"GLASSBOX") || NAMES.iter().any(is_called)
}

/// Reads the variables that are shown, of an environment that `argv` is followed by, and whether it has no
/// LD_PRELOAD.
fn read_environment(case: &mut Case<'_>, mut at: u64) {
    let step = case.asked.abi.pointer_bytes() as u64;
    let (mut is_whole, mut has_preload) = (true, false);
    for _ in 0..MOST_VARIABLES {
        // execve(2): a null pointer is an empty environment.
        let string = if at == 0 { Some(0) } else { case.pointer(at) };
        let Some(string @ 1..) = string else {
            case.is_unpreloaded = string.is_some() && is_whole && !has_preload;
            return;
        };
        // Of one that is not shown, a page's part is read and nothing kept.
        match case.pages.text(string, MOST_OF_VARIABLE) {
            Text::Whole(text) | Text::Cut(text) if is_shown(&text) => {
                has_preload |= text.starts_with(b"LD_PRELOAD=");
                if case.environment.len() + text.len() < DEFAULT_ARGV {
                    case.environment.extend_from_slice(&text);
                    case.environment.push(0);
                }
            }
            Text::Whole(_) | Text::Cut(_) => {}
            Text::Unreadable => is_whole = false,
        }
        let Some(next) = at.checked_add(step) else { return };
        at = next;
    }
}

fn executed(case: &mut Case<'_>, place: &Place, argv: usize, flags: Option<u32>) -> Option<Told> {
    read_environment(case, case.word(argv + 1));
    let Arguments { strings, argc } = case.arguments(case.word(argv));
    let argv = Args::Packed(&strings);
    let flags = flags.map(AtFlags);
    // The program begins there, whatever its path begins with.
    case.note_place(AT_FDCWD);
    case.tell(&ProcessExec { path: place.path(), argv, argc, actions: Actions(&[]), flags })
}

pub fn execve(case: &mut Case<'_>) -> Option<Told> {
    let place = case.here(0);
    executed(case, &place, 1, None)
}

pub fn execveat(case: &mut Case<'_>) -> Option<Told> {
    let place = case.at(case.int(0), 1);
    executed(case, &place, 2, Some(case.uint(4)))
}

/// A process that is about to be made has no number yet. Threads are not reported.
fn cloned(case: &mut Case<'_>, flags: u64) -> Option<Told> {
    if flags & libc::CLONE_THREAD as u64 != 0 {
        return None;
    }
    case.tell(&ProcessFork { child: None, began_ns: Hidden(0) })
}

pub fn clone(case: &mut Case<'_>) -> Option<Told> {
    cloned(case, case.word(0))
}

/// The flags are the first word of `struct clone_args`.
pub fn clone3(case: &mut Case<'_>) -> Option<Told> {
    let flags = case.pages.array(case.word(0)).map(u64::from_ne_bytes)?;
    cloned(case, flags)
}
