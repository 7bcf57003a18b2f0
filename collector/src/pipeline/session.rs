//! The state of the session: whether and how it ends, and CMD as long as it has not been seen.

use rustc_hash::FxHashSet;

use crate::allowance::Peer;
use crate::ids::Pid;
use crate::launch::protocol::Reaped;
use crate::shell::failure::say;
use crate::sinks::Haste;

/// Whether the session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// It goes on.
    #[default]
    GoOn,
    /// It ends once no process is known.
    EndWhenIdle,
    /// It ends.
    End,
}

/// CMD, as long as no sensor in it has said hello.
#[derive(Debug)]
pub struct UnseenCommand {
    /// Its process.
    pub pid: Pid,
    /// The program.
    pub path: Vec<u8>,
    /// Its end, by the launcher.
    pub end: Option<Reaped>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct SessionState {
    /// Whether it ends.
    pub wish: Wish,
    /// How long its end may take.
    pub haste: Haste,
    /// Every record was delivered, and no word of an end will come any more.
    pub is_all_told: bool,
    /// CMD.
    pub unseen_command: Option<UnseenCommand>,
    /// The doorman has been left word, and is to be alarmed.
    pub has_left_word: bool,
    /// Users that are said to have used up their part, each once.
    limited: FxHashSet<Option<u32>>,
}

/// Users that are told of, see [`SessionState::say_limit`].
const MOST_LIMITED: usize = 8;

impl SessionState {
    /// Says, once, that a user has used up its part.
    pub fn say_limit(&mut self, peer: Peer) {
        if self.limited.len() < MOST_LIMITED && self.limited.insert(peer.uid) {
            say(&format!(
                "{peer} has used up its part of the collector's memory; paths behind its descriptors are missing \
                 (sensor.loss, limit)"
            ));
        }
    }
}
