//! The process that a container's runtime turns into the container's program: what it does before is the
//! runtime's.

use wire::events::Decoded;
use wire::fields::{Args, DEFAULT_ARGV};

use super::decode::Told;
use crate::arrival::Seen;
use crate::enrich::blind::ASKED_ABOUT;
use crate::ids::MonoNs;
use crate::launch::protocol::CommandStarted;
use crate::system::procfs;

/// A process that is the runtime's, until it becomes the container's program.
#[derive(Debug)]
pub struct Starting {
    process: u32,
    /// What it runs as the runtime's: where its stack began, and its file.
    image: Image,
    has_begun: bool,
    /// That program was told of: a signal may have the exec asked about anew.
    pub is_told: bool,
}

type Image = (Option<u64>, Option<Vec<u8>>);

impl Starting {
    /// Of a process whose exec is still to come.
    pub fn of(process: u32) -> Self {
        Self { process, image: image(process), has_begun: false, is_told: false }
    }

    /// Whether it is this process.
    pub fn is(&self, process: u32) -> bool {
        self.process == process
    }

    /// Whether it has become another program, whoever let it go on: where its exec took long, the holder did.
    pub fn has_begun(&mut self) -> bool {
        self.has_begun = self.has_begun || image(self.process) != self.image;
        self.has_begun
    }

    /// The program of a process's exec, of which the call and its file have `told`, where no sensor is in it.
    pub fn asked(
        process: u32,
        at: MonoNs,
        seen: &Seen,
        told: &Told,
    ) -> Option<(CommandStarted, &'static str)> {
        let (reason, decoded) = (seen.reason?, Decoded::decode(told.kind, &told.payload));
        let Ok(Decoded::ProcessExec(exec)) = decoded else { return None };
        let Args::Packed(argv) = exec.argv else { return None };
        let (pid, path, argc) = (process.cast_signed(), seen.exe.clone(), exec.argc.map(u64::from));
        Some((CommandStarted { pid, began_ns: at.0, argc, path, argv: argv.to_vec() }, reason))
    }

    /// The program that it has become, as /proc shows it, where its start is still to be told: no sensor is
    /// in it for this reason.
    pub fn program(&self, at: MonoNs, seen: &Seen) -> Option<(CommandStarted, &'static str)> {
        let reason = seen.reason.filter(|reason| self.has_begun && ASKED_ABOUT.contains(reason))?;
        let (argv, argc) = procfs::arguments(self.process, DEFAULT_ARGV);
        let (pid, path) = (self.process.cast_signed(), seen.exe.clone());
        Some((CommandStarted { pid, began_ns: at.0, argc, path, argv }, reason))
    }
}

fn image(process: u32) -> Image {
    (procfs::stack(process), procfs::behind(&format!("/proc/{process}/exe")))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_has_begun_with_its_exec_and_not_before() {
        let mut shell =
            Command::new("sh").args(["-c", "read x; exec sleep 30"]).stdin(Stdio::piped()).spawn().unwrap();
        while procfs::comm(shell.id()).as_deref() != Some(b"sh") {
            std::thread::yield_now();
        }
        let mut starting = Starting::of(shell.id());

        let before = starting.has_begun();
        shell.stdin.take().unwrap().write_all(b"\n").unwrap();
        let begun = Instant::now();
        while !starting.has_begun() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        let after = starting.has_begun();
        let of = |reason| starting.program(MonoNs(7), &Seen { reason, ..Seen::default() });
        let (started, nothing) = (of(Some("static")).unwrap().0, [of(Some("setuid")), of(None)]);
        shell.kill().unwrap();
        shell.wait().unwrap();

        assert_eq!((false, true), (before, after));
        assert_eq!((b"sleep\x0030\0".to_vec(), [None, None]), (started.argv, nothing));
    }
}
