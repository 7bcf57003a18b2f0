//! The calls that the kernel notifies us of, for programs that hooks cannot see into (seccomp user
//! notification).
//!
//! | file | |
//! |---|---|
//! | `decode` | from the arguments of a call to the record that a hook would write of it |
//! | `memory` | the memory of the process that waits |
//! | `places` | its directory and its descriptors, by the kernel's word |

pub mod decode;
#[cfg(fuzzing)]
pub mod fuzzed;
pub mod memory;
pub mod places;
