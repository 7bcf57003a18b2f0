//! Listening sockets, and other descriptors whose close is left to the end of the process.
//!
//! A listener's close closes all connections that wait there, and the descriptors that their messages carry.
//! A TCP socket with SO_LINGER is among them where a stranger likes, and that one waits for its data to be
//! taken (socket(7)). The end of the process waits for none (PF_EXITING, `inet_release`).

use std::ops::Deref;
use std::os::fd::{IntoRawFd, OwnedFd};

use rustix::net::{Shutdown, shutdown};

/// See the module. Dropping them leaves them open until the process ends.
#[derive(Debug, Default)]
pub struct Listeners(Vec<OwnedFd>);

impl Listeners {
    /// Refuses every new connection from here on. Those that wait there stay until the process ends.
    pub fn refuse(&self) {
        for listener in self.iter() {
            let _ = shutdown(listener, Shutdown::Both);
        }
    }

    /// The sockets, to close them here.
    #[cfg(test)]
    pub fn into_sockets(mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.0)
    }
}

impl From<Vec<OwnedFd>> for Listeners {
    fn from(sockets: Vec<OwnedFd>) -> Self {
        Self(sockets)
    }
}

impl Deref for Listeners {
    type Target = [OwnedFd];

    fn deref(&self) -> &[OwnedFd] {
        &self.0
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        leave_open(self.0.drain(..));
    }
}

/// Leaves descriptors of strangers, and what may hold some, open until the process ends: see the module.
pub fn leave_open(descriptors: impl IntoIterator<Item = OwnedFd>) {
    descriptors.into_iter().for_each(|descriptor| _ = descriptor.into_raw_fd());
}

#[cfg(test)]
pub mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::net::sockopt::set_socket_linger;

    use super::*;

    /// A TCP socket whose close takes as long as its peer, the second one, does not read.
    pub fn lingering() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        set_socket_linger(&slow, Some(Duration::from_secs(600))).unwrap();
        slow.set_nonblocking(true).unwrap();
        while slow.write(&[0; 65536]).is_ok() {}
        (slow, peer)
    }

    /// Whether `work` returns before a lingering socket's close would.
    pub fn returns(work: impl FnOnce() + Send + 'static) -> bool {
        let (done_tx, done_rx) = mpsc::channel();
        std::thread::spawn(move || {
            work();
            done_tx.send(()).unwrap();
        });
        done_rx.recv_timeout(Duration::from_secs(20)).is_ok()
    }

    #[test]
    fn nobody_connects_any_more_and_the_sockets_stay() {
        let name = format!("glassbox-listeners-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let before = UnixStream::connect_addr(&address);
        let listeners = Listeners::from(vec![OwnedFd::from(listener)]);

        listeners.refuse();

        let after = UnixStream::connect_addr(&address).map_err(|error| error.kind());
        assert!(before.is_ok());
        assert_eq!(Err(std::io::ErrorKind::ConnectionRefused), after.map(drop));
        drop(listeners);
        assert!(UnixListener::bind_addr(&address).is_err(), "it was closed");
    }
}
