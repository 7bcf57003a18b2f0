//! The families of hooks, each a file named after its man pages. Add a file: add a line here.
//!
//! The files hold declarations only. The sensor compiles them into wrappers (`src/reach/hook.rs`), the crate
//! `hook-table` into data (`hooks/src/lib.rs`); a row's number is its family's number and its place in the
//! file, so rows are only ever appended.

crate::families! { file, fd, io, net, dns, exec, process, load, syscall, names, credentials, signal, trace, namespace, memory, kernel, wait, lookup, lock }
