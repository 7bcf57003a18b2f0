//! The state of the session: whether and how it ends, and CMD as long as it has not been seen.

use crate::ids::Pid;
use crate::launch::protocol::Reaped;

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
    /// Every record was delivered, and no word of an end will come any more.
    pub is_all_told: bool,
    /// CMD.
    pub unseen_command: Option<UnseenCommand>,
    /// The doorman has been left word, and is to be alarmed.
    pub has_left_word: bool,
}
