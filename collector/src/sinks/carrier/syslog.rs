//! syslog: one datagram a message, over UDP or a Unix socket. The format makes the message (RFC 5424).

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deploy::visible::visible;

use super::kind::{Kind, Opened, Takes, Wanted};
use super::receiver;
use super::transport::{Bounds, Shipped, Transport};
use crate::shell::failure::Failure;
use crate::sinks::look::Surface;
use crate::sinks::parcel::Parcel;

/// The row of syslog.
pub const CARRIER: Kind = Kind {
    name: "syslog",
    help: "a syslog:// URL",
    place,
    shown: |place| visible(&format!("'{}'", place.display())).into_owned(),
    is_exclusive: |_| false,
    surface: || Surface::Other,
    takes: Takes::Parcels,
    open,
};

const PREFIX: &str = "syslog://";
/// Syslog's own port over UDP (RFC 5426).
const PORT: u16 = 514;
/// Bytes of messages that are sent at once.
const ENOUGH_BYTES: usize = 64 << 10;
/// How long a receiver on this machine may leave its socket full.
const TIMEOUT: Duration = Duration::from_secs(5);

fn place(text: &OsStr) -> Option<Result<OsString, Failure>> {
    let text = text.to_str()?;
    let to = text.strip_prefix(PREFIX)?;
    let refused = || {
        Failure::usage(format!(
            "'{}' names no receiver; give syslog://HOST:PORT, or syslog:///dev/log",
            visible(text)
        ))
    };
    Some(if to.is_empty() || to.contains('@') { Err(refused()) } else { Ok(text.into()) })
}

fn open(wanted: &Wanted<'_>) -> Result<Opened, Failure> {
    let place = wanted.place.to_string_lossy();
    let to = place.strip_prefix(PREFIX).unwrap_or_default();
    let socket = match to.starts_with('/') {
        true => Socket::Unix { path: Path::new(to).to_owned(), socket: None },
        false => {
            let has_port = to.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let address = if has_port { to.to_owned() } else { format!("{to}:{PORT}") };
            Socket::Udp { address, socket: None }
        }
    };
    receiver::opened(wanted, Box::new(socket))
}

/// A socket, which is made when it is needed, and again after an error.
enum Socket {
    Unix { path: PathBuf, socket: Option<UnixDatagram> },
    Udp { address: String, socket: Option<UdpSocket> },
}

impl Socket {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Unix { path, socket } => {
                let socket = match socket {
                    Some(socket) => socket,
                    None => {
                        let made = UnixDatagram::unbound()?;
                        made.set_write_timeout(Some(TIMEOUT))?;
                        made.connect(path)?;
                        socket.insert(made)
                    }
                };
                socket.send(message)?;
            }
            Self::Udp { address, socket } => {
                let socket = match socket {
                    Some(socket) => socket,
                    None => socket.insert(connected(address)?),
                };
                socket.send(message)?;
            }
        }
        Ok(())
    }

    fn forget(&mut self) {
        match self {
            Self::Unix { socket, .. } => *socket = None,
            Self::Udp { socket, .. } => *socket = None,
        }
    }
}

fn connected(address: &str) -> io::Result<UdpSocket> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for to in address.to_socket_addrs()? {
        let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        match UdpSocket::bind(from).and_then(|socket| socket.connect(to).map(|()| socket)) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Transport for Socket {
    fn bounds(&self) -> Bounds {
        Bounds { parcels: 1, bytes: ENOUGH_BYTES, is_one_lane: false, linger: Duration::ZERO }
    }

    /// Over UDP nothing says that a message arrived. That nothing listens there is told by the next one.
    fn ship(&mut self, parcels: &[Parcel<'_>]) -> Shipped {
        let Some(parcel) = parcels.first() else { return Shipped::TAKEN };
        match self.send(parcel.body) {
            Ok(()) => Shipped::TAKEN,
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                Shipped::Refused("the message is longer than a datagram".to_owned())
            }
            Err(error) => {
                self.forget();
                Shipped::later(super::file::bare(&error))
            }
        }
    }
}
