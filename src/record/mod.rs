//! From a call that came back to a record in the ring: its outcome, its arguments read, its bytes written.

pub mod call;
pub mod capture;
pub mod emit;
pub mod fail;
pub mod note;
pub mod probe;
