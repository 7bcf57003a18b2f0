//! The state of this process and of the calling thread.
//!
//! Everything is safe in a signal handler: words only, written whole.

mod counters;
mod page;
pub mod pending;
mod seal;
pub mod tell;
mod thread;

pub use counters::{add, is_alone, next, watch_threads};
pub use page::{
    arm, begin_ns, disarm, give_up_rear, is_only_process, is_ours, is_watched, known_pid, let_go,
    may_be_ours, ring, ring_area, without_ring,
};
pub use seal::{Seal, now_ns, seal, tighten};
pub use thread::{
    Block, Caller, begin_child, begin_guest, caller, drop_scratch, end_guest, is_guest, is_silent_guest,
    keep_scratch, note_first_thread, own_pid, reporting, set_reporting,
};
