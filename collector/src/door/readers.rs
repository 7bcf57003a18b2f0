//! The readers of the collector's own streams. A `collect` whose outputs all go to streams that nothing reads
//! any more (`collect -o jsonl:- | head`) ends.
//!
//! The kernel reports the end of a pipe's last reader, and of a terminal, as an error condition at the
//! writer's end, whether something is written or not (pipe(7), poll(2)).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, EventFlags};

use crate::outputs::{Output, Stream};

/// The epoll tokens of the streams.
pub const STDOUT: u64 = 4;
pub const STDERR: u64 = 5;

/// See the module.
#[derive(Debug)]
pub struct Readers {
    /// The outputs that are open.
    outputs: Vec<Output>,
    gone: Vec<Stream>,
}

impl Readers {
    /// Watches both streams in `epoll`. A file has no reader, and cannot be watched.
    pub fn watch(epoll: &OwnedFd, outputs: Vec<Output>) -> Self {
        // Once: the condition stays.
        let flags = EventFlags::ERR | EventFlags::HUP | EventFlags::ONESHOT;
        let _ = epoll::add(epoll, io::stdout().as_fd(), epoll::EventData::new_u64(STDOUT), flags);
        let _ = epoll::add(epoll, io::stderr().as_fd(), epoll::EventData::new_u64(STDERR), flags);
        Self { outputs, gone: Vec::new() }
    }

    /// The reader of a stream is gone.
    pub fn lose(&mut self, token: u64) {
        self.gone.push(if token == STDOUT { Stream::Stdout } else { Stream::Stderr });
    }

    /// Other outputs are open from here on.
    pub fn reload(&mut self, outputs: Vec<Output>) {
        self.outputs = outputs;
    }

    /// Whether no output has a reader, where each should have one.
    pub fn are_gone(&self) -> bool {
        let is_lost = |output: &Output| output.stream().is_some_and(|stream| self.gone.contains(&stream));
        !self.outputs.is_empty() && self.outputs.iter().all(is_lost)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::outputs::Destination;

    fn readers(outputs: &[&str]) -> Readers {
        let parse = |spec: &&str| Output::parse(OsStr::new(*spec), &Destination::stdout()).unwrap();
        Readers { outputs: outputs.iter().map(parse).collect(), gone: Vec::new() }
    }

    #[test]
    fn every_output_must_have_lost_its_reader() {
        for (outputs, is_gone) in [
            (&["jsonl:-"][..], true),
            (&["jsonl:-", "human:-"], true),
            (&["jsonl:-", "human:stderr"], false),
            (&["jsonl:-", "jsonl:/dev/null"], false),
            (&["human:stderr"], false),
        ] {
            let mut readers = readers(outputs);
            assert!(!readers.are_gone());

            readers.lose(STDOUT);

            assert_eq!(is_gone, readers.are_gone(), "{outputs:?}");
        }
    }

    #[test]
    fn outputs_that_are_read_again_count() {
        let mut readers = readers(&["jsonl:-"]);
        readers.lose(STDOUT);

        readers.reload(self::readers(&["jsonl:-", "jsonl:/dev/null"]).outputs);

        assert!(!readers.are_gone());
    }
}
