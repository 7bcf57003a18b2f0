//! The packets of a supervisor: what the bytes of one say.

use wire::record::Head;
use wire::ring::MAX_RECORD;

use crate::arrival::{Executed, Seen, Sent};
use crate::enrich::blind::{ASKED_ABOUT, ENV_CLEARED};
use crate::evasion::{Evidence, Place, Reason};
use crate::ids::{Instance, MonoNs, Pid, ProcessKey};
use crate::launch::protocol::{CommandStarted, Message as _, ToCollector};
use crate::loss::LossReason;
use crate::system::program;

/// A packet is the number of a process (4 bytes), then messages: a tag, the length of what follows (4
/// bytes), and that.
pub const RECORD: u8 = 1;
pub const LOST: u8 = 2;
pub const SEEN: u8 = 3;
/// In the second word of that: a container's runtime made it; it has hooks.
pub const IS_FIRST: u8 = 1;
pub const IS_HOOKED: u8 = 2;
pub const EVIDENT: u8 = 4;
pub const BEGAN: u8 = 5;
pub const EXECUTED: u8 = 6;
pub const BEGUN: u8 = 7;
/// The longest packet: what is known of a process, its directory, and the event.
pub const MOST_BYTES: usize = 3 * MAX_RECORD;
/// In the place of a word on an exec.
pub const GONE: u8 = 2;

/// What a packet says; nothing of what no supervisor of this build sends.
pub fn messages(packet: &[u8]) -> Vec<Sent> {
    let Some((process, all)) = open(packet) else { return Vec::new() };
    let process = ProcessKey::here(Pid(process));
    all.into_iter().filter_map(|message| message.of(process, None)).collect()
}

/// A message of a packet.
#[derive(Debug)]
pub enum Message<'p> {
    /// What is known of the process.
    Seen(Seen),
    /// The program that the supervisor started, and why no sensor is in it.
    Began(CommandStarted, &'static str),
    /// A record.
    Record(Head, &'p [u8]),
    /// The program of the exec of this time, as its file tells.
    Executed(MonoNs, Executed),
    /// Whether the program of the exec of this time has begun; `None` where the process is gone.
    Begun(MonoNs, Option<bool>),
    /// Evidence of evasion, and when it was found.
    Evident(MonoNs, Evidence),
    /// So many calls are not told of.
    Lost(u64),
}

impl Message<'_> {
    /// The same, at `now` where it says a later time: no clock of another process is ahead of this one's.
    #[must_use]
    pub fn not_after(self, now: MonoNs) -> Self {
        match self {
            Self::Record(head, payload) => {
                Self::Record(Head { time_ns: head.time_ns.min(now.0), ..head }, payload)
            }
            Self::Began(started, reason) => {
                let began_ns = started.began_ns.min(now.0);
                Self::Began(CommandStarted { began_ns, ..started }, reason)
            }
            Self::Evident(at, evidence) => Self::Evident(at.min(now), evidence),
            other => other,
        }
    }

    /// The same of the process `process`; `None` for what the launcher tells otherwise.
    pub fn of(self, process: ProcessKey, instance: Option<Instance>) -> Option<Sent> {
        Some(match self {
            Self::Seen(seen) => Sent::Seen { process, seen },
            Self::Began(..) => return None,
            Self::Record(head, payload) => Sent::Record { process, instance, head, payload: payload.into() },
            Self::Executed(at, program) => Sent::Executed { process, at, program },
            Self::Begun(at, has_begun) => Sent::Begun { process, at, has_begun },
            Self::Evident(at, evidence) => Sent::Evident { process, at, evidence },
            Self::Lost(count) => {
                Sent::Lost { process, at: MonoNs::now(), count, reason: LossReason::RingFull }
            }
        })
    }
}

/// The process of a packet, and its messages as far as they can be read.
pub fn open(packet: &[u8]) -> Option<(u32, Vec<Message<'_>>)> {
    let (process, mut rest) = packet.split_first_chunk()?;
    let mut all = Vec::new();
    while let Some((&tag, behind)) = rest.split_first()
        && let Some((len, behind)) = behind.split_first_chunk()
        && let Some((body, behind)) = behind.split_at_checked(u32::from_le_bytes(*len) as usize)
    {
        all.extend(message(tag, body));
        rest = behind;
    }
    Some((u32::from_le_bytes(*process), all))
}

fn message(tag: u8, body: &[u8]) -> Option<Message<'_>> {
    match tag {
        RECORD => {
            let (head, payload) = wire::codec::decode::<Head>(body).ok()?;
            (payload.len() <= MAX_RECORD).then_some(Message::Record(head, payload))
        }
        SEEN => {
            let (short, rest) = body.split_first_chunk::<12>()?;
            let (long, rest) = rest.split_first_chunk::<24>()?;
            let ([reason, how], exe) = rest.split_first_chunk()?;
            let (short, long) = (short.as_chunks::<4>().0, long.as_chunks::<8>().0);
            let number = |at: usize| short.get(at).map(|bytes| u32::from_le_bytes(*bytes));
            let known = |at: usize| number(at).filter(|number| *number != u32::MAX);
            let long = |at: usize| long.get(at).map(|bytes| u64::from_le_bytes(*bytes));
            let known_long = |at: usize| long(at).filter(|number| *number != u64::MAX);
            Some(Message::Seen(Seen {
                ppid: known(0).map(Pid),
                uid: known(1),
                euid: known(2),
                instance: known_long(0).map(Instance),
                user_ns: known_long(1),
                mnt_ns: known_long(2),
                reason: reason_of(*reason),
                is_first: how & IS_FIRST != 0,
                is_hooked: how & IS_HOOKED != 0,
                exe: exe.to_vec(),
            }))
        }
        EXECUTED => executed(body),
        BEGUN => {
            let (at, rest) = body.split_first_chunk()?;
            let has_begun = match *rest {
                [GONE] => None,
                [has_begun] => Some(has_begun == 1),
                _ => return None,
            };
            Some(Message::Begun(MonoNs(u64::from_le_bytes(*at)), has_begun))
        }
        EVIDENT => {
            let (at, rest) = body.split_first_chunk()?;
            let (addr, rest) = rest.split_first_chunk()?;
            let (number, rest) = rest.split_first_chunk()?;
            let (len, rest) = rest.split_first_chunk()?;
            let (mapping, module) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            let place =
                Place { addr: u64::from_le_bytes(*addr), mapping: mapping.to_vec(), module: module.to_vec() };
            let call = hook_table::name(u16::from_le_bytes(*number)).unwrap_or_default();
            let evidence = Evidence { reason: Reason::RawCall, call, place };
            Some(Message::Evident(MonoNs(u64::from_le_bytes(*at)), evidence))
        }
        BEGAN => {
            let (reason, started) = body.split_first()?;
            match ToCollector::decode(started)? {
                ToCollector::CommandStarted(started) => Some(Message::Began(started, reason_of(*reason)?)),
                _ => None,
            }
        }
        LOST => Some(Message::Lost(u64::from_le_bytes(body.try_into().ok()?))),
        _ => None,
    }
}

/// What [`super::reports::Reports::executed`] adds.
fn executed(body: &[u8]) -> Option<Message<'_>> {
    let (at, rest) = body.split_first_chunk()?;
    let (stack, rest) = rest.split_first_chunk()?;
    let (is_no_program, rest) = rest.split_first()?;
    let (reason, rest) = rest.split_first_chunk()?;
    let (exe, rest) = rest.split_first_chunk()?;
    let (reason, rest) = rest.split_at_checked(u32::from_le_bytes(*reason) as usize)?;
    let (exe, environment) = rest.split_at_checked(u32::from_le_bytes(*exe) as usize)?;
    let program = Executed {
        exe: exe.to_vec(),
        environment: environment.to_vec(),
        reason: std::str::from_utf8(reason).ok().and_then(reason_of_program).unwrap_or(""),
        is_no_program: *is_no_program == 1,
        stack: u64::from_le_bytes(*stack),
    };
    Some(Message::Executed(MonoNs(u64::from_le_bytes(*at)), program))
}

/// A reason that an exec's file, or its environment, tells.
fn reason_of_program(name: &str) -> Option<&'static str> {
    if name == ENV_CLEARED { Some(ENV_CLEARED) } else { program::reason_named(name) }
}

/// The number of a reason; 0 for none.
pub fn word_of(reason: Option<&'static str>) -> u8 {
    let place = reason.and_then(|reason| ASKED_ABOUT.iter().position(|known| *known == reason));
    place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
}

fn reason_of(word: u8) -> Option<&'static str> {
    ASKED_ABOUT.get(usize::from(word).checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_is_of_a_time_to_come() {
        let head = Head {
            time_ns: u64::MAX,
            seq: 0,
            ret: 0,
            pid: 1,
            tid: 1,
            kind: 1,
            call: 0,
            errno: 0,
            via: 3,
            flags: 0,
        };
        let evidence = Evidence { reason: Reason::RawCall, call: "open", place: Place::default() };
        let started = CommandStarted { began_ns: u64::MAX, ..CommandStarted::default() };
        let all = [
            Message::Record(head, b""),
            Message::Evident(MonoNs::MAX, evidence),
            Message::Began(started, "static"),
        ];

        for message in all {
            let at = match message.not_after(MonoNs(9)) {
                Message::Record(head, _) => head.time_ns,
                Message::Evident(at, _) => at.0,
                Message::Began(started, _) => started.began_ns,
                other => panic!("{other:?}"),
            };
            assert_eq!(9, at);
        }
    }
}
