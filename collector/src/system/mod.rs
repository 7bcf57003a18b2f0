//! The system: the kernel's calls, /proc, clocks, namespaces, the names of errors, and programs' files.

pub mod background;
pub mod bounded;
pub mod child;
pub mod clock;
pub mod connections;
pub mod errors;
pub mod examiner;
pub mod files;
pub mod kernel;
pub mod lineage;
pub mod local_time;
pub mod mounts;
pub mod namespaces;
pub mod peers;
pub mod places;
pub mod procfs;
pub mod program;
pub mod pulse;
pub mod search;
pub mod standpoint;
pub mod surroundings;
pub mod user_map;
pub mod users;
pub mod yama;
