//! The collector's proof for a sensor in another user namespace, whose kernel shows it no number that says
//! whose the listener is.
//!
//! The collector sends the credentials of the sensor's own user with its answer. The kernel lets only that
//! user do so, and a process that may become it (`CAP_SETUID`; unix(7), `SCM_CREDENTIALS`).

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, UCred, sendmsg};
use rustix::process::{Uid, getgid, getpid};
use wire::hello::PROOF_ANSWER;

use crate::system::kernel;

/// Answers a guest's question; false where the kernel does not let the collector prove anything to it.
pub fn is_given(guest: &OwnedFd) -> bool {
    let Ok(peer) = kernel::peer(guest) else { return false };
    let shown = UCred { pid: getpid(), uid: Uid::from_raw(peer.uid), gid: getgid() };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmCredentials(shown))
        && sendmsg(
            guest,
            &[IoSlice::new(PROOF_ANSWER)],
            &mut control,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        )
        .is_ok()
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::set_socket_passcred;
    use rustix::net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
        recvmsg, socketpair,
    };

    use super::*;

    #[test]
    fn answer_carries_the_askers_own_user() {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        set_socket_passcred(&theirs, true).unwrap();

        assert!(is_given(&ours));

        let mut answer = [0; 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [std::io::IoSliceMut::new(&mut answer)];
        let received = recvmsg(&theirs, &mut slices, &mut control, RecvFlags::DONTWAIT).unwrap();
        let shown = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmCredentials(shown) => Some((shown.pid, shown.uid)),
            _ => None,
        });
        assert_eq!(PROOF_ANSWER, &answer[..received.bytes]);
        assert_eq!(Some((getpid(), rustix::process::geteuid())), shown);
    }
}
