//! Closing what strangers sent: in threads of its own, since close(2) may take as long as the sender likes.
//!
//! The last descriptor of a TCP socket with SO_LINGER waits for its data to be taken, one of a FUSE file for
//! its server. The same holds for a connection with unread messages that carry such descriptors. So nothing
//! is closed in the doorman's thread that is not known to close at once: a sealed memfd, and a connection
//! that is empty and that no message can come over any more.
//!
//! A thread that closes for long is left alone, and another one takes its place. With all of them busy and
//! the queue full, descriptors are kept open: a peer that sends so many has no sensor.

use std::collections::VecDeque;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use rustix::net::{RecvFlags, Shutdown, recv, shutdown, sockopt};

/// Threads that close, at most.
const MOST_THREADS: usize = 16;
/// Descriptors that wait for a thread, at most.
const MOST_WAITING: usize = 1024;
/// Descriptors that are kept open for want of a thread, at most; then no stranger is heard any more.
const MOST_KEPT: usize = 1024;
/// A thread without work ends after this time.
const IDLE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Janitor {
    closing_tx: Sender<OwnedFd>,
    closing_rx: Receiver<OwnedFd>,
    threads: Arc<Threads>,
    /// Descriptors that found no room in the queue.
    kept: VecDeque<OwnedFd>,
}

#[derive(Debug, Default)]
struct Threads {
    /// Running threads.
    running: AtomicUsize,
    /// Those of them that wait for work.
    idle: AtomicUsize,
}

impl Default for Janitor {
    fn default() -> Self {
        let (closing_tx, closing_rx) = bounded(MOST_WAITING);
        Self { closing_tx, closing_rx, threads: Arc::default(), kept: VecDeque::new() }
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        // They end with the process, which waits for no lingering socket then (PF_EXITING, `inet_release`).
        self.kept.drain(..).for_each(|descriptor| _ = descriptor.into_raw_fd());
    }
}

impl Janitor {
    /// Closes a descriptor of unknown kind, in its own time.
    pub fn close(&mut self, descriptor: OwnedFd) {
        self.kept.push_back(descriptor);
        self.pass_on();
        let Threads { running, idle } = &*self.threads;
        if idle.load(Ordering::SeqCst) < self.closing_tx.len()
            && running.load(Ordering::SeqCst) < MOST_THREADS
        {
            self.start();
        }
    }

    /// Passes kept descriptors on to the threads, as far as the queue has room.
    fn pass_on(&mut self) {
        while let Some(descriptor) = self.kept.pop_front() {
            if let Err(TrySendError::Full(descriptor) | TrySendError::Disconnected(descriptor)) =
                self.closing_tx.try_send(descriptor)
            {
                self.kept.push_front(descriptor);
                break;
            }
        }
    }

    /// Closes a connection: here where it is empty, else in its own time.
    pub fn dismiss(&mut self, connection: OwnedFd) {
        // No message can come any more, so the look holds for the close.
        let _ = shutdown(&connection, Shutdown::Both);
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        match recv(&connection, &mut [0_u8; 1], flags) {
            Ok((_, 1..)) => self.close(connection),
            _ => drop(connection),
        }
    }

    /// Whether so many descriptors are kept open that no more can be taken.
    pub fn is_full(&mut self) -> bool {
        self.pass_on();
        self.kept.len() >= MOST_KEPT
    }

    fn start(&self) {
        let (threads, closing_rx) = (Arc::clone(&self.threads), self.closing_rx.clone());
        threads.running.fetch_add(1, Ordering::SeqCst);
        let builder = std::thread::Builder::new().name("janitor".into()).stack_size(64 * 1024);
        let spawned = builder.spawn(move || {
            loop {
                threads.idle.fetch_add(1, Ordering::SeqCst);
                let next = closing_rx.recv_timeout(IDLE);
                threads.idle.fetch_sub(1, Ordering::SeqCst);
                match next {
                    Ok(descriptor) => close_soon(descriptor),
                    Err(_) => break,
                }
            }
            threads.running.fetch_sub(1, Ordering::SeqCst);
        });
        if spawned.is_err() {
            self.threads.running.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Closes a descriptor, a socket without waiting for its data.
fn close_soon(descriptor: OwnedFd) {
    let _ = sockopt::set_socket_linger(descriptor.as_fd(), None);
    drop(descriptor);
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

    use super::*;

    /// A TCP socket whose close takes as long as its peer, the second one, does not read.
    fn lingering() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        sockopt::set_socket_linger(&slow, Some(Duration::from_secs(600))).unwrap();
        slow.set_nonblocking(true).unwrap();
        while slow.write(&[0; 65536]).is_ok() {}
        (slow, peer)
    }

    #[test]
    fn lingering_socket_is_closed_beside_its_sender() {
        let mut janitor = Janitor::default();
        let (slow, mut peer) = lingering();
        let begun = Instant::now();

        janitor.close(slow.into());
        let returned = begun.elapsed();
        // Its thread is free before the peer has read anything.
        let is_free = || {
            std::thread::sleep(Duration::from_millis(20));
            janitor.threads.idle.load(Ordering::SeqCst) > 0 && janitor.closing_tx.is_empty()
        };
        while !is_free() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the thread waits for the peer");
        }
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let end = std::iter::repeat_with(|| peer.read(&mut [0; 65536])).find(|read| !matches!(read, Ok(1..)));

        assert!(returned < Duration::from_secs(1), "{returned:?}");
        assert!(matches!(end, Some(Ok(0))), "{end:?}");
    }

    #[test]
    fn connection_is_closed_at_once_only_when_it_is_empty() {
        let pair =
            || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::empty(), None).unwrap();
        let mut janitor = Janitor::default();
        let (empty, _peer) = pair();
        let (full, peer) = pair();
        send(&peer, b"unread", SendFlags::empty()).unwrap();

        janitor.dismiss(empty);
        let after_empty = janitor.threads.running.load(Ordering::SeqCst);
        janitor.dismiss(full);
        let after_full = janitor.threads.running.load(Ordering::SeqCst);

        assert_eq!((0, 1), (after_empty, after_full));
        assert!(send(&peer, b"x", SendFlags::NOSIGNAL).is_err());
    }

    #[test]
    fn descriptors_beyond_the_bound_are_kept_open_and_counted() {
        let mut janitor = Janitor::default();
        janitor.threads.running.store(MOST_THREADS, Ordering::SeqCst);
        for _ in 0..MOST_WAITING + 3 {
            janitor.close(std::fs::File::open("/dev/null").unwrap().into());
        }

        assert_eq!((3, false), (janitor.kept.len(), janitor.is_full()));
    }
}
