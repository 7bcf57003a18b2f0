//! Closing what strangers sent: in threads of its own, since close(2) may take as long as the sender likes.
//!
//! The last descriptor of a TCP socket with SO_LINGER waits for its data to be taken, one of a FUSE file for
//! its server. The same holds for a connection with unread messages that carry such descriptors. So nothing
//! is closed in the doorman's thread that is not known to close at once: a sealed memfd, and a connection
//! that is empty and that no message can come over any more.
//!
//! A thread that closes for long is left alone, and another one takes its place. With all of them busy,
//! descriptors are kept open: a peer that sends so many has no sensor.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, RecvMsg, ReturnFlags, Shutdown, recvmsg, shutdown, sockopt,
};

use crate::shell::listeners::leave_open;

/// Threads that close, at most.
const MOST_THREADS: usize = 16;
/// Descriptors that are kept open for want of a thread, at most; then no stranger is heard any more.
const MOST_KEPT: usize = 2048;
/// The same of descriptors that another process goes on with: this one has few of its own.
const MOST_OF_OTHERS: usize = 64;
/// A thread without work ends after this time.
const IDLE: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Janitor(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Sockets are somebody else's too: their options are left alone.
    is_of_others: bool,
    work: Mutex<Work>,
    has_come: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    /// Descriptors that wait for a thread.
    kept: VecDeque<OwnedFd>,
    /// Running threads.
    running: usize,
    /// Those of them that wait for work.
    idle: usize,
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The work of a thread.
    fn serve(&self) {
        let mut work = self.work();
        loop {
            if let Some(descriptor) = work.kept.pop_front() {
                drop(work);
                if !self.is_of_others {
                    let _ = sockopt::set_socket_linger(descriptor.as_fd(), None);
                }
                drop(descriptor);
                work = self.work();
                continue;
            }
            work.idle += 1;
            let waited = self.has_come.wait_timeout(work, IDLE).unwrap_or_else(PoisonError::into_inner);
            work = waited.0;
            work.idle -= 1;
            if waited.1.timed_out() && work.kept.is_empty() {
                work.running -= 1;
                break;
            }
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        leave_open(self.kept.drain(..));
    }
}

impl Janitor {
    /// For descriptors that another process has too, and goes on with: a close waits for the data of a socket
    /// with SO_LINGER, as that process wishes.
    pub fn of_others() -> Self {
        Self(Arc::new(Shared { is_of_others: true, ..Shared::default() }))
    }

    /// Closes descriptors of unknown kind, in their own time.
    pub fn close(&self, descriptors: impl IntoIterator<Item = OwnedFd>) {
        let mut work = self.0.work();
        work.kept.extend(descriptors);
        if work.kept.is_empty() {
            return;
        }
        // Idle threads that were woken may not have come to it yet: one more does no harm.
        if work.idle < work.kept.len() && work.running < MOST_THREADS {
            work.running += usize::from(self.start());
        }
        drop(work);
        self.0.has_come.notify_one();
    }

    /// Closes a connection: here where it is empty, else in its own time.
    pub fn dismiss(&self, connection: OwnedFd) {
        // No message can come any more, so the look holds for the close.
        let _ = shutdown(&connection, Shutdown::Both);
        match is_empty(&connection) {
            true => drop(connection),
            false => self.close([connection]),
        }
    }

    /// Whether so many descriptors are kept open that no more can be taken.
    pub fn is_full(&self) -> bool {
        let most = if self.0.is_of_others { MOST_OF_OTHERS } else { MOST_KEPT };
        self.0.work().kept.len() >= most
    }

    /// Starts a thread; false where there can be none.
    fn start(&self) -> bool {
        let shared = Arc::clone(&self.0);
        let builder = std::thread::Builder::new().name("janitor".into()).stack_size(64 * 1024);
        builder.spawn(move || shared.serve()).is_ok()
    }
}

/// Whether a connection that was shut down holds no message. One of no bytes may carry descriptors too, and
/// looks like the end but for them and its sender, which find no room here. Any error leaves the question
/// open: a peer that closes over unread data makes the next look fail, whatever lies there (unix(7),
/// ECONNRESET).
fn is_empty(connection: &OwnedFd) -> bool {
    let mut none = RecvAncillaryBuffer::new(&mut []);
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match recvmsg(connection, &mut [IoSliceMut::new(&mut [0_u8; 1])], &mut none, flags) {
        Ok(RecvMsg { bytes, flags, .. }) => bytes == 0 && !flags.contains(ReturnFlags::CTRUNC),
        Err(error) => error == Errno::AGAIN,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Read};
    use std::time::Instant;

    use rustix::net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, send,
        sendmsg, socketpair,
    };

    use super::*;
    use crate::shell::listeners::tests::lingering;

    #[test]
    fn socket_that_another_process_goes_on_with_lingers_as_it_wishes() {
        let janitor = Janitor::of_others();
        let (slow, peer) = lingering();
        let theirs = slow.try_clone().unwrap();
        let before = sockopt::socket_linger(&theirs).unwrap();
        let begun = Instant::now();

        janitor.close([slow.into()]);
        // Its thread has closed it.
        while janitor.0.work().idle == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }

        let after = sockopt::socket_linger(&theirs).unwrap();
        // Else the last close lingers here.
        drop(peer);

        assert!(before.is_some());
        assert_eq!(before, after);
    }

    #[test]
    fn lingering_socket_is_closed_beside_its_sender() {
        let janitor = Janitor::default();
        let (slow, mut peer) = lingering();
        let begun = Instant::now();

        janitor.close([slow.into()]);
        let returned = begun.elapsed();
        // Its thread is free before the peer has read anything.
        let is_free = || {
            std::thread::sleep(Duration::from_millis(20));
            let work = janitor.0.work();
            work.idle > 0 && work.kept.is_empty()
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
        let janitor = Janitor::default();
        let (empty, _peer) = pair();
        let (full, peer) = pair();
        send(&peer, b"unread", SendFlags::empty()).unwrap();

        janitor.dismiss(empty);
        let after_empty = janitor.0.work().running;
        janitor.dismiss(full);
        let after_full = janitor.0.work().running;

        assert_eq!((0, 1), (after_empty, after_full));
        assert!(send(&peer, b"x", SendFlags::NOSIGNAL).is_err());
    }

    #[test]
    fn connection_with_descriptors_is_not_closed_here_whatever_it_looks_like() {
        let looks_empty = |is_reset: bool| {
            let (ours, theirs) =
                socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::empty(), None).unwrap();
            let file = std::fs::File::open("/dev/null").unwrap();
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let descriptors = [file.as_fd()];
            assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
            sendmsg(&theirs, &[IoSlice::new(b"")], &mut control, SendFlags::empty()).unwrap();
            if is_reset {
                send(&ours, b"answer", SendFlags::empty()).unwrap();
                drop(theirs);
            }
            is_empty(&ours)
        };

        assert_eq!([false, false], [false, true].map(looks_empty));
    }

    #[test]
    fn descriptors_that_find_no_thread_are_kept_open_and_counted() {
        let janitor = Janitor::default();
        janitor.0.work().running = MOST_THREADS;
        let full = [MOST_KEPT - 1, 1].map(|count| {
            let file = std::fs::File::open("/dev/null").unwrap();
            janitor.close((0..count).map(|_| file.try_clone().unwrap().into()));
            janitor.is_full()
        });

        assert_eq!([false, true], full);
    }
}
