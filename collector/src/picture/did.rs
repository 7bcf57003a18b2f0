//! What a process did.

/// What a process did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Did {
    pub events: u64,
    /// Calls that failed.
    pub failures: u64,
    /// Alerts about its events.
    pub alerts: u64,
    /// Bytes of files.
    pub read: u64,
    pub written: u64,
    /// Bytes of sockets.
    pub sent: u64,
    pub received: u64,
}

impl Did {
    /// All bytes.
    pub fn bytes(&self) -> u64 {
        [self.read, self.written, self.sent, self.received].into_iter().fold(0, u64::saturating_add)
    }
}
