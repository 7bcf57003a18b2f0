//! The messages between the launcher and its collector, one in each packet.
//!
//! The launcher (`launch`) and the collector process (`session`) are the same executable, so the encoding
//! need not outlive a build: a tag byte, then little-endian fields. A reader skips a message that does not
//! parse, since the other side may be about to crash.

/// The longest message, and so the longest blob less a few bytes.
pub const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// Names a ring in [`ToLauncher::Keep`] and later; chosen by the collector, unique over its restarts.
pub type RingId = u64;

/// A message of the collector to the launcher.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ToLauncher {
    /// The outputs are open and the listeners are being served: CMD may start.
    Ready,
    /// Keep the memfd that comes along, and give it back with `blob` to the next collector.
    Keep {
        /// The ring. An id that is kept already is replaced.
        id: RingId,
        /// Data for the next collector; opaque to the launcher.
        blob: Vec<u8>,
    },
    /// The ring is read to its end and all its processes have ended.
    Drop {
        /// The ring.
        id: RingId,
    },
    /// The collector is still writing: the launcher's patience at the end begins anew.
    Working,
    /// An alert was as urgent as the run's limit (`--fail-on`), or more.
    Alerted,
}

/// A message of the launcher to the collector.
///
/// A collector that was started again gets every `Ring`, then `Handover`, then `CommandStarted` and
/// `Reaped` of CMD as far as they happened; later messages follow in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ToCollector {
    /// A ring that an earlier collector gave to be kept; its memfd comes along.
    Ring {
        /// The id it was kept under.
        id: RingId,
        /// The blob that the earlier collector gave for it.
        blob: Vec<u8>,
    },
    /// All rings have been handed over.
    Handover,
    /// CMD was started.
    CommandStarted(CommandStarted),
    /// CMD could not be executed; no program ran.
    CommandFailed {
        /// The error of execve(2).
        errno: i32,
    },
    /// A child of the launcher was reaped: CMD, or as PID 1 any orphan.
    Reaped(Reaped),
    /// Drain, write and end now.
    Finish,
    /// As `Finish`, once no ring is live (`--follow`).
    FinishWhenIdle,
    /// The kernel asks about no program's calls: `--notify` cannot be had here.
    NotAskedAbout,
}

/// CMD, which was started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandStarted {
    /// Its pid, which is also that of the sensor's first image.
    pub pid: i32,
    /// When: nanoseconds of CLOCK_MONOTONIC.
    pub began_ns: u64,
    /// The number of its arguments, where `argv` is cut.
    pub argc: Option<u64>,
    /// The program.
    pub path: Vec<u8>,
    /// The arguments, each ended by a NUL; cut as in `process.start`.
    pub argv: Vec<u8>,
}

/// The end of a child of the launcher, as wait4(2) reported it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reaped {
    /// The process.
    pub pid: i32,
    /// The wait status: take it apart with `WIFEXITED` and kin.
    pub wait_status: i32,
    /// CPU time in user mode, of the process and the children it waited for.
    pub user_us: u64,
    /// CPU time in the kernel, likewise.
    pub system_us: u64,
    /// The largest resident set, in KiB, likewise.
    pub max_rss_kib: u64,
    /// True for CMD itself.
    pub is_command: bool,
}

/// A message that the channel carries.
pub trait Message: Sized {
    /// The message's bytes; never empty.
    fn encode(&self) -> Vec<u8>;
    /// The message in `bytes`, or nothing if they hold none.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

impl Message for ToLauncher {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ready => vec![1],
            Self::Keep { id, blob } => ring(2, *id, blob),
            Self::Drop { id } => ring(3, *id, &[]),
            Self::Working => vec![4],
            Self::Alerted => vec![5],
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, mut fields) = Fields::of(bytes)?;
        Some(match tag {
            1 => Self::Ready,
            2 => Self::Keep { id: fields.u64()?, blob: fields.rest().to_vec() },
            3 => Self::Drop { id: fields.u64()? },
            4 => Self::Working,
            5 => Self::Alerted,
            _ => return None,
        })
    }
}

impl Message for ToCollector {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ring { id, blob } => ring(1, *id, blob),
            Self::Handover => vec![2],
            Self::CommandStarted(CommandStarted { pid, began_ns, argc, path, argv }) => {
                let mut bytes =
                    numbers(3, &[from_i32(*pid), *began_ns, argc.unwrap_or(0), path.len() as u64]);
                bytes.extend_from_slice(path);
                bytes.extend_from_slice(argv);
                bytes
            }
            Self::CommandFailed { errno } => numbers(4, &[from_i32(*errno)]),
            Self::Reaped(reaped) => numbers(
                5,
                &[
                    from_i32(reaped.pid),
                    from_i32(reaped.wait_status),
                    reaped.user_us,
                    reaped.system_us,
                    reaped.max_rss_kib,
                    u64::from(reaped.is_command),
                ],
            ),
            Self::Finish => vec![6],
            Self::FinishWhenIdle => vec![7],
            Self::NotAskedAbout => vec![8],
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, mut fields) = Fields::of(bytes)?;
        Some(match tag {
            1 => Self::Ring { id: fields.u64()?, blob: fields.rest().to_vec() },
            2 => Self::Handover,
            3 => {
                let (pid, began_ns) = (fields.i32()?, fields.u64()?);
                let argc = Some(fields.u64()?).filter(|argc| *argc > 0);
                let path_len = usize::try_from(fields.u64()?).ok()?;
                let (path, argv) = fields.rest().split_at_checked(path_len)?;
                let (path, argv) = (path.to_vec(), argv.to_vec());
                Self::CommandStarted(CommandStarted { pid, began_ns, argc, path, argv })
            }
            4 => Self::CommandFailed { errno: fields.i32()? },
            5 => Self::Reaped(Reaped {
                pid: fields.i32()?,
                wait_status: fields.i32()?,
                user_us: fields.u64()?,
                system_us: fields.u64()?,
                max_rss_kib: fields.u64()?,
                is_command: fields.u64()? != 0,
            }),
            6 => Self::Finish,
            7 => Self::FinishWhenIdle,
            8 => Self::NotAskedAbout,
            _ => return None,
        })
    }
}

fn from_i32(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

fn ring(tag: u8, id: RingId, blob: &[u8]) -> Vec<u8> {
    let mut bytes = numbers(tag, &[id]);
    bytes.extend_from_slice(blob);
    bytes
}

fn numbers(tag: u8, numbers: &[u64]) -> Vec<u8> {
    let mut bytes = vec![tag];
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// The fields of a message that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Option<(u8, Self)> {
        let (tag, rest) = bytes.split_first()?;
        Some((*tag, Self(rest)))
    }

    fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(u32::try_from(self.u64()?).ok()?.cast_signed())
    }

    fn rest(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives_the_way() {
        let reaped = Reaped {
            pid: 7,
            wait_status: -1,
            user_us: 1,
            system_us: u64::MAX,
            max_rss_kib: 3,
            is_command: true,
        };
        let to_collector = [
            ToCollector::Ring { id: u64::MAX, blob: vec![1, 2] },
            ToCollector::Handover,
            ToCollector::CommandStarted(CommandStarted {
                pid: 4121,
                began_ns: 5,
                argc: Some(2),
                path: b"/bin/true".to_vec(),
                argv: b"true\0x\0".to_vec(),
            }),
            ToCollector::CommandFailed { errno: 2 },
            ToCollector::Reaped(reaped),
            ToCollector::Finish,
            ToCollector::FinishWhenIdle,
            ToCollector::NotAskedAbout,
        ];
        let to_launcher = [
            ToLauncher::Ready,
            ToLauncher::Keep { id: 1, blob: Vec::new() },
            ToLauncher::Drop { id: 2 },
            ToLauncher::Working,
        ];

        for message in to_collector {
            assert_eq!(Some(message.clone()), ToCollector::decode(&message.encode()));
        }
        for message in to_launcher {
            assert_eq!(Some(message.clone()), ToLauncher::decode(&message.encode()));
        }
    }

    #[test]
    fn cut_or_unknown_messages_are_none() {
        assert_eq!(None, ToLauncher::decode(&[]));
        assert_eq!(None, ToLauncher::decode(&[2, 0, 0]));
        assert_eq!(None, ToCollector::decode(&[99]));
        assert_eq!(None, ToCollector::decode(&numbers(3, &[1, 2, 3, u64::MAX])));
    }
}
