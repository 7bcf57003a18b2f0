//! One end of the socket pair between launcher and collector: packets that may carry one descriptor.
//!
//! Neither end may ever wait for the other: the launcher holds the application up, and the collector must go
//! on draining while the launcher is stopped with its job. So the socket is non-blocking, and this end queues
//! what the socket does not take at once.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::protocol::{MESSAGE_MAX_BYTES, Message, ToCollector, ToLauncher};

/// The launcher's end.
pub type LauncherEnd = Channel<ToCollector, ToLauncher>;
/// The collector's end.
pub type CollectorEnd = Channel<ToLauncher, ToCollector>;

/// An end that sends `S` and receives `R`.
#[derive(Debug)]
pub struct Channel<S, R> {
    socket: OwnedFd,
    unsent: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    buffer: Vec<u8>,
    kinds: PhantomData<(S, R)>,
}

/// The result of [`Channel::receive`].
#[derive(Debug)]
pub enum Received<R> {
    /// A message and the descriptor that came along (close-on-exec).
    Message(R, Option<OwnedFd>),
    /// Nothing at the moment.
    Nothing,
    /// The other end is gone and everything it sent has been read.
    Closed,
}

/// A connected pair of close-on-exec, non-blocking sockets.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

impl<S: Message, R: Message> Channel<S, R> {
    /// Wraps one socket of a [`pair`].
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, unsent: VecDeque::new(), buffer: vec![0; MESSAGE_MAX_BYTES], kinds: PhantomData }
    }

    /// Sends a message, at once if the socket takes it, else with a later [`flush`](Self::flush).
    ///
    /// A descriptor that has to wait is duplicated. An error means that the other end is gone, or that the
    /// message is too long.
    pub fn send(&mut self, message: &S, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = message.encode();
        if bytes.len() > MESSAGE_MAX_BYTES {
            return Err(Errno::MSGSIZE.into());
        }
        self.flush()?;
        if self.unsent.is_empty() && send_one(self.socket.as_fd(), &bytes, descriptor)? {
            return Ok(());
        }
        let descriptor = descriptor.map(|fd| fd.try_clone_to_owned()).transpose()?;
        self.unsent.push_back((bytes, descriptor));
        Ok(())
    }

    /// Sends as many queued messages as the socket takes.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some((bytes, descriptor)) = self.unsent.front() {
            if !send_one(self.socket.as_fd(), bytes, descriptor.as_ref().map(AsFd::as_fd))? {
                break;
            }
            self.unsent.pop_front();
        }
        Ok(())
    }

    /// True while messages are queued until the socket is writable.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Receives the next message and skips those that do not parse. Never waits.
    pub fn receive(&mut self) -> Received<R> {
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut self.buffer)];
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let length = match recvmsg(&self.socket, &mut slices, &mut control, flags) {
                Ok(received) => received.bytes,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Received::Nothing,
                Err(_) => return Received::Closed,
            };
            if length == 0 {
                return Received::Closed;
            }
            let mut descriptor = None;
            for ancillary in control.drain() {
                if let RecvAncillaryMessage::ScmRights(mut descriptors) = ancillary {
                    descriptor = descriptors.next();
                }
            }
            if let Some(message) = self.buffer.get(..length).and_then(R::decode) {
                return Received::Message(message, descriptor);
            }
        }
    }
}

impl<S, R> AsFd for Channel<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// True if the packet was sent, false if the socket is full.
fn send_one(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<bool> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        // The space above is for exactly one, so this always fits.
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    loop {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            // TOOMANYREFS: as many descriptors are in flight as this user may have open (unix(7)); the
            // other end takes them out by receiving.
            Err(Errno::AGAIN | Errno::TOOMANYREFS | Errno::NOBUFS) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn ends() -> (LauncherEnd, CollectorEnd) {
        let (one, other) = pair().unwrap();
        (Channel::new(one), Channel::new(other))
    }

    #[test]
    fn message_carries_a_descriptor() {
        let (mut launcher, mut collector) = ends();
        let (mut reader, mut writer) = io::pipe().unwrap();

        collector.send(&ToLauncher::Keep { id: 5, blob: b"ring".to_vec() }, Some(reader.as_fd())).unwrap();
        let Received::Message(message, Some(kept)) = launcher.receive() else { panic!("nothing came") };
        writer.write_all(b"x").unwrap();
        let mut byte = [0];
        std::fs::File::from(kept).read_exact(&mut byte).unwrap();

        assert_eq!(ToLauncher::Keep { id: 5, blob: b"ring".to_vec() }, message);
        assert_eq!(*b"x", byte);
        writer.write_all(b"y").unwrap();
        reader.read_exact(&mut byte).unwrap();
    }

    #[test]
    fn full_socket_queues_and_keeps_the_order() {
        let (mut launcher, mut collector) = ends();

        for id in 0..5000 {
            collector.send(&ToLauncher::Keep { id, blob: vec![0; 100] }, None).unwrap();
        }
        let was_full = collector.has_unsent();
        let mut ids = Vec::new();
        while ids.len() < 5000 {
            match launcher.receive() {
                Received::Message(ToLauncher::Keep { id, .. }, _) => ids.push(id),
                Received::Nothing => collector.flush().unwrap(),
                other => panic!("{other:?}"),
            }
        }

        assert!(was_full);
        assert_eq!((0..5000).collect::<Vec<u64>>(), ids);
    }

    #[test]
    fn what_a_dead_end_sent_is_still_read() {
        let (mut launcher, mut collector) = ends();

        collector.send(&ToLauncher::Drop { id: 1 }, None).unwrap();
        drop(collector);

        assert!(matches!(launcher.receive(), Received::Message(ToLauncher::Drop { id: 1 }, None)));
        assert!(matches!(launcher.receive(), Received::Closed));
    }
}
