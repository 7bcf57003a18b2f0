//! The pipeline's rest: a nap after activity, a sleep when nothing comes.
//!
//! After a round with records the pipeline naps for a few milliseconds, so that a busy program pays for no
//! wake-up. After a nap without any it flags its sleep in every ring and waits to be woken.

use wire::ring::bell;

use crate::rings::bells::Wake;

/// A nap after activity lasts so long.
const NAP_NS: u64 = 3_000_000;
/// The same while a requester waits for events to be delivered.
const HASTY_NAP_NS: u64 = 1_000_000;
/// The pipeline looks by itself so often, for programs that may not even wake a futex any more.
const LOOK_NS: u64 = 500_000_000;
/// The same once nothing has come for [`QUIET_LOOKS`] looks: an idle collector costs one wake-up a second.
const QUIET_LOOK_NS: u64 = 1_000_000_000;
const QUIET_LOOKS: u32 = 4;

/// The pipeline's present work.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Records came, or wait, or an end is about to be reported.
    pub is_busy: bool,
    /// A requester waits for events to be delivered.
    pub is_waited_for: bool,
    /// No process is known.
    pub is_deserted: bool,
    /// An output has losses to report.
    pub owes: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Naps {
    was_quiet: bool,
    quiet_looks: u32,
}

impl Naps {
    /// The rest after a round: the bells' mode, and nanoseconds (`None`: until woken).
    pub fn next(&mut self, load: Load) -> (u32, Option<u64>) {
        let Load { is_busy, is_waited_for, is_deserted, owes } = load;
        let rest = if is_busy || !self.was_quiet {
            (bell::NAPPING, Some(if is_waited_for { HASTY_NAP_NS } else { NAP_NS }))
        } else if is_deserted && !owes {
            (bell::SLEEPING, None)
        } else {
            (bell::SLEEPING, Some(if self.quiet_looks < QUIET_LOOKS { LOOK_NS } else { QUIET_LOOK_NS }))
        };
        self.was_quiet = !is_busy;
        if is_busy {
            self.quiet_looks = 0;
        }
        rest
    }

    /// Notes how a sleep ended.
    pub fn woken(&mut self, wake: Wake) {
        match wake {
            Wake::Late => self.quiet_looks += 1,
            Wake::Rung => *self = Self::default(),
        }
    }

    /// Notes that news came.
    pub fn disturb(&mut self) {
        *self = Self::default();
    }
}
