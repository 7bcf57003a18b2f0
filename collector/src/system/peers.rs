//! Messages of Unix sockets, and the kernel's word on their senders.
//!
//! A connection says less than its messages do: the process that connected may have died or passed the socket
//! on, so SO_PEERCRED names another than the one that speaks. With SO_PASSCRED and SO_PASSPIDFD on the
//! listener, the kernel puts the sender's credentials and a pidfd of it beside each message (unix(7)). A
//! sender can put others there only where it may act as those: another pid with CAP_SYS_ADMIN, and then only
//! of its own pid namespace; another uid with CAP_SETUID in its user namespace (`scm_check_creds`).
//!
//! # Safety
//! Each call is given pointers to locals of the size that the kernel's interface states, which outlive the
//! call, and descriptors that are borrowed for its time.
#![allow(unsafe_code, reason = "recvmsg with control messages that rustix does not know")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::kernel::{self, Peer};

/// The most descriptors that one message carries (`SCM_MAX_FD` of include/net/scm.h).
const MOST_DESCRIPTORS: usize = 253;
/// include/uapi/asm-generic/socket.h; not in the libc crate for every target.
const SO_PASSPIDFD: i32 = 76;
/// include/linux/socket.h.
const SCM_PIDFD: i32 = 4;

/// Room for the credentials, a pidfd and all descriptors. With less, the kernel would drop the rest of them
/// in this thread, and dropping the last descriptor of a socket may take as long as its sender likes
/// (SO_LINGER).
const CONTROL_WORDS: usize = (MOST_DESCRIPTORS * 4 + 3 * 24 + 64) / 8;

/// The sender of a message, by the kernel's word.
#[derive(Debug, Default)]
pub struct Sender {
    /// Its pid in this pid namespace; 0 if it has none there.
    pub pid: u32,
    /// Its real user id; `None` where the kernel did not say.
    pub uid: Option<u32>,
    /// A pidfd of it: from Linux 6.5 on while it lives, from 6.16 on also after.
    pub pidfd: Option<OwnedFd>,
}

/// A message.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes received; 0 from a peer that hung up.
    pub len: usize,
    /// The descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
    /// Its sender.
    pub sender: Sender,
}

/// Makes the kernel name the sender of each message that comes over `listener`'s connections, which inherit
/// this (`unix_sock_inherit_flags`).
pub fn ask_for_senders(listener: impl AsFd) {
    let on: libc::c_int = 1;
    for option in [libc::SO_PASSCRED, SO_PASSPIDFD] {
        // SAFETY: the value is a local of the length that is passed. Before Linux 6.5 there is no
        // SO_PASSPIDFD, and the pid alone names the sender.
        unsafe {
            libc::setsockopt(
                listener.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
    }
}

/// Receives one message, without waiting.
pub fn receive(socket: impl AsFd, bytes: &mut [u8]) -> io::Result<Received> {
    let mut control = [0_u64; CONTROL_WORDS];
    let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all zeroes is a message header without a name.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to locals of the lengths that it states.
    let len = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    let mut received = Received { len, ..Received::default() };
    // SAFETY: the kernel wrote the control messages and their length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: the header lies within the control buffer, or is null.
    while let Some(header) = unsafe { next.as_ref() } {
        // SAFETY: `next` is a control message, which its data follows.
        let data = Data { at: unsafe { libc::CMSG_DATA(next) }, len: data_len(header) };
        match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                // SAFETY: the kernel just made these descriptors, and nothing else owns them.
                let owned = data.words().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                received.descriptors.extend(owned);
            }
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                // struct ucred: pid, uid, gid.
                let mut words = data.words();
                received.sender.pid = words.next().map_or(0, RawFd::cast_unsigned);
                received.sender.uid = words.next().map(RawFd::cast_unsigned);
            }
            (libc::SOL_SOCKET, SCM_PIDFD) => {
                // Negative where the kernel makes none of a dead process.
                let pidfd = data.words().next().filter(|fd| *fd >= 0);
                // SAFETY: the kernel just made this descriptor, and nothing else owns it.
                received.sender.pidfd = pidfd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
            }
            _ => {}
        }
        // SAFETY: both point into the control buffer.
        next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
    }
    Ok(received)
}

/// The data of a control message.
struct Data {
    at: *const u8,
    len: usize,
}

impl Data {
    /// Its 32-bit words.
    fn words(&self) -> impl Iterator<Item = i32> {
        let at = self.at.cast::<i32>();
        // SAFETY: the words lie within the message; their alignment is not relied on.
        (0..self.len / 4).map(move |index| unsafe { at.add(index).read_unaligned() })
    }
}

#[allow(clippy::unnecessary_cast, reason = "another libc has another type for it")]
fn data_len(header: &libc::cmsghdr) -> usize {
    // SAFETY: computes a length.
    let head = unsafe { libc::CMSG_LEN(0) } as usize;
    (header.cmsg_len as usize).saturating_sub(head)
}

impl Sender {
    /// The effective user id of the process that connected, where that is the sender.
    pub fn effective_uid(&self, connection: impl AsFd) -> Option<u32> {
        let Peer { pid, uid } = kernel::peer(&connection).ok()?;
        let is_sender = match pid {
            // In another pid namespace only the pidfds tell the two apart.
            0 => {
                let connector = kernel::peer_pidfd(&connection).ok()?;
                self.pid == 0 && kernel::instance(connector)? == kernel::instance(self.pidfd.as_ref()?)?
            }
            pid => pid == self.pid,
        };
        is_sender.then_some(uid)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use rustix::net::{
        AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept, bind, connect, listen,
        send, socket_with,
    };

    use super::*;

    #[test]
    fn sender_is_the_process_that_sent_and_not_the_one_that_connected() {
        let name = format!("glassbox-peers-{}", std::process::id());
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        let packets = || socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::empty(), None);
        let (listener, client) = (packets().unwrap(), packets().unwrap());
        bind(&listener, &address).unwrap();
        listen(&listener, 1).unwrap();
        ask_for_senders(&listener);
        connect(&client, &address).unwrap();
        let raw = client.as_raw_fd();
        let mut child = Command::new("true");
        // SAFETY: send(2) and close are async-signal-safe.
        unsafe {
            child.pre_exec(move || {
                let client = std::os::fd::BorrowedFd::borrow_raw(raw);
                send(client, b"x", SendFlags::empty()).map(drop).map_err(io::Error::from)
            })
        };

        let mut child = child.spawn().unwrap();
        let guest = accept(&listener).unwrap();
        let received = receive(&guest, &mut [0; 8]).unwrap();
        child.wait().unwrap();

        assert_eq!((1, child.id()), (received.len, received.sender.pid));
        assert_eq!(Some(rustix::process::getuid().as_raw()), received.sender.uid);
        assert_eq!(None, received.sender.effective_uid(&guest));
        assert_eq!(std::process::id(), kernel::peer(&guest).unwrap().pid);
    }

    #[test]
    fn every_descriptor_of_a_message_is_taken_out() {
        let (here, there) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let mut space = vec![
            std::mem::MaybeUninit::uninit();
            rustix::net::SendAncillaryMessage::ScmRights(&[here.as_fd(); 253]).size()
        ];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
        let descriptors = [here.as_fd(); 253];
        assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&descriptors)));
        rustix::net::sendmsg(&there, &[io::IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();

        let received = receive(&here, &mut [0; 8]).unwrap();

        assert_eq!(253, received.descriptors.len());
    }
}
