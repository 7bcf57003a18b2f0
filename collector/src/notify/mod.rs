//! The calls that the kernel asks about, for programs that hooks cannot see into (seccomp user notification).
//!
//! The launcher installs the filter and supervises; the collector takes in what the supervisor saw.
//!
//! | file | |
//! |---|---|
//! | `plan` | the filter of a run: made from the `libraries` of this system, and shown to work by the `proof` |
//! | `birth` | a child under a filter, and the filter's listener in its parent |
//! | `listener` | the kernel's side: installs a filter, receives calls, lets them go on |
//! | `supervisor` | the thread that receives, reads and reports |
//! | `modules` | which code of a process made a call |
//! | `sensor` | the sensor of a container, by its file |
//! | `mapped` | how a process's mappings show a file |
//! | `starting` | the process that a container's runtime turns into its program |
//! | `decode` | from the arguments of a call to the record that a hook would write of it |
//! | `interrupted` | calls that a signal has the kernel make anew |
//! | `introduction` | what is told of a process before its first record |
//! | `outcomes` | what became of an exec, by its process |
//! | `foresee` | what becomes of an exec, by its file |
//! | `memory` | the memory of the process that waits |
//! | `places` | its directory and its descriptors, by the kernel's word |
//! | `closings` | descriptors that end, and the bytes that the kernel counted of them |
//! | `sockets` | those of sockets, which a thread of its own asks for |
//! | `reports` | what the supervisor tells, or counts as lost |
//! | `packet` | the bytes of it |
//! | `way` | the way to the collector: a socket, and the `ring` in shared memory |
//! | `sightings` | the collector's end of it |
//! | `link` | the connection to a collector that no launcher started |
//! | `guest` | that collector's side: what such a supervisor may say |
//! | `teller` | whether the supervisor or a hook tells of a call |
//! | `holder` | the process that answers when the supervisor is gone |

pub mod birth;
pub mod closings;
pub mod decode;
pub mod foresee;
#[cfg(fuzzing)]
pub mod fuzzed;
pub mod guest;
pub mod holder;
pub mod interrupted;
pub mod introduction;
pub mod libraries;
pub mod link;
pub mod listener;
pub mod mapped;
pub mod memory;
pub mod modules;
pub mod outcomes;
pub mod packet;
pub mod places;
pub mod plan;
pub mod proof;
pub mod reports;
pub mod ring;
pub mod sensor;
pub mod sightings;
pub mod sockets;
pub mod starting;
pub mod supervisor;
mod teller;
pub mod way;
