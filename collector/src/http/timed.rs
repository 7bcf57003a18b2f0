//! A socket with a deadline, whatever runs over it.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::guests::{Guest, Peer};

/// How often a waiting thread checks whether the process is to end.
const LOOK: Duration = Duration::from_millis(200);

/// A stream over a [`Timed`].
pub trait Wire: Read + Write {
    /// The socket below.
    fn timed(&mut self) -> &mut Timed;
}

impl Wire for Timed {
    fn timed(&mut self) -> &mut Timed {
        self
    }
}

/// A connection with a deadline. While it waits for a next request, it also gives up when the process is to
/// end.
#[derive(Debug)]
pub struct Timed {
    guest: Guest,
    deadline: Instant,
    is_waiting: bool,
    is_stopping: &'static AtomicBool,
}

impl Timed {
    /// A connection whose time is over, until [`Self::until`] gives it some.
    pub fn new(guest: Guest, is_stopping: &'static AtomicBool) -> Self {
        let _ = guest.socket().set_nodelay(true);
        Self { guest, deadline: Instant::now(), is_waiting: false, is_stopping }
    }

    /// The client.
    pub fn peer(&self) -> Peer {
        self.guest.peer()
    }

    /// Sets the deadline, and whether it waits for a next request.
    pub fn until(&mut self, deadline: Instant, is_waiting: bool) {
        self.deadline = deadline;
        self.is_waiting = is_waiting;
        self.guest.set_idle(is_waiting);
    }

    /// Whether it waits for a next request.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Repeats short attempts until one succeeds or the deadline is over.
    fn patiently<T>(
        &mut self,
        mut attempt: impl FnMut(&mut &std::net::TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || (self.is_waiting && self.is_stopping.load(Ordering::Relaxed)) {
                return Err(ErrorKind::TimedOut.into());
            }
            let step = Some(left.min(LOOK));
            let mut socket = self.guest.socket();
            socket.set_read_timeout(step)?;
            socket.set_write_timeout(step)?;
            match attempt(&mut socket) {
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                result => return result,
            }
        }
    }
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.patiently(|socket| socket.read(bytes))
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.guest.socket().flush()
    }
}
