//! Flushes that are asked for, and the sign by which the first request is known (AWS Lambda).

use std::net::SocketAddr;

use crate::door::news::Flush;

/// See the module.
#[derive(Debug, Default)]
pub struct Flushes {
    waiting: Vec<Flush>,
    /// A connection to there sets the first border: the program that serves requests has started, and asks
    /// for the first.
    source: Option<SocketAddr>,
}

impl Flushes {
    /// No flush yet; a program that connects to `source` asks for requests.
    pub fn new(source: Option<SocketAddr>) -> Self {
        Self { waiting: Vec::new(), source }
    }

    /// Notes a flush that is asked for.
    pub fn add(&mut self, flush: Flush) {
        self.waiting.push(flush);
    }

    /// Whether a requester waits for events to be delivered.
    pub fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether a connection to `remote` is the first request for requests.
    pub fn is_source(&self, remote: impl FnOnce() -> Option<SocketAddr>) -> bool {
        self.source.is_some() && remote() == self.source
    }

    /// Forgets the source: the first request was asked for.
    pub fn forget_source(&mut self) {
        self.source = None;
    }

    /// Takes the flushes out, to answer them or to add them again.
    pub fn take(&mut self) -> Vec<Flush> {
        std::mem::take(&mut self.waiting)
    }

    /// How many flushes wait.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }
}
