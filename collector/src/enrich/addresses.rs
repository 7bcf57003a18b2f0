//! Socket addresses as text, from the bytes that the kernel was given.
//!
//! `addr:port`, `[addr]:port`, a path, `@name` for an abstract one; anything else by its family's name and
//! number.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wire::names;

use super::paths;

/// A socket address taken apart. Hostile bytes give `Unspecified` or a nonsense address, never a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// An internet address; the scope of a link-local one, else 0.
    Internet(IpAddr, u16, u32),
    /// A Unix socket's path.
    Path(&'a [u8]),
    /// A Unix socket's abstract name, without the NUL before it.
    Abstract(&'a [u8]),
    /// A Unix socket without a name.
    Unnamed,
    /// A virtual machine's socket: context and port.
    Vsock(u32, u32),
    /// A family that is only named.
    Other(i32),
    /// No address: `AF_UNSPEC`, or too short.
    Unspecified,
}

impl<'a> Address<'a> {
    /// Takes a `sockaddr` apart.
    pub fn of(bytes: &'a [u8]) -> Self {
        let Some((family, rest)) = bytes.split_first_chunk::<2>() else { return Self::Unspecified };
        match i32::from(u16::from_ne_bytes(*family)) {
            libc::AF_UNSPEC => Self::Unspecified,
            libc::AF_INET => internet4(rest).unwrap_or(Self::Other(libc::AF_INET)),
            libc::AF_INET6 => internet6(rest).unwrap_or(Self::Other(libc::AF_INET6)),
            libc::AF_UNIX => match rest {
                [] => Self::Unnamed,
                [0, name @ ..] => Self::Abstract(name),
                path => Self::Path(path.split(|byte| *byte == 0).next().unwrap_or_default()),
            },
            libc::AF_VSOCK => vsock(rest).unwrap_or(Self::Other(libc::AF_VSOCK)),
            family => Self::Other(family),
        }
    }

    /// The internet address, for finding the name that it was resolved from.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Internet(ip, ..) => Some(*ip),
            _ => None,
        }
    }

    /// Appends the text; a relative path is resolved against the directory `cwd`.
    pub fn write(&self, cwd: &[u8], out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = match self {
            Self::Internet(IpAddr::V4(ip), port, _) => write!(out, "{ip}:{port}"),
            Self::Internet(IpAddr::V6(ip), port, 0) => write!(out, "[{ip}]:{port}"),
            Self::Internet(IpAddr::V6(ip), port, scope) => write!(out, "[{ip}%{scope}]:{port}"),
            Self::Path(path) => {
                paths::resolve(cwd, path, out);
                Ok(())
            }
            Self::Abstract(name) => {
                out.push(b'@');
                out.extend_from_slice(name);
                Ok(())
            }
            Self::Unnamed => write!(out, "unix:"),
            Self::Vsock(context, port) => write!(out, "vsock:{context}:{port}"),
            Self::Other(family) => match names::word(names::FAMILY, i64::from(*family)) {
                Some(name) => write!(out, "{name}"),
                None => write!(out, "AF_{family}"),
            },
            Self::Unspecified => Ok(()),
        };
    }
}

/// The family's number; 0 where there is none.
pub fn family(bytes: &[u8]) -> i32 {
    bytes.first_chunk().map_or(0, |family| i32::from(u16::from_ne_bytes(*family)))
}

fn internet4(rest: &[u8]) -> Option<Address<'static>> {
    let (port, rest) = rest.split_first_chunk()?;
    let ip: [u8; 4] = *rest.first_chunk()?;
    Some(Address::Internet(Ipv4Addr::from(ip).into(), u16::from_be_bytes(*port), 0))
}

fn internet6(rest: &[u8]) -> Option<Address<'static>> {
    let (port, rest) = rest.split_first_chunk()?;
    let (_flow, rest) = rest.split_first_chunk::<4>()?;
    let (ip, rest) = rest.split_first_chunk::<16>()?;
    let ip = Ipv6Addr::from(*ip);
    // RFC 2133's shorter form has no scope.
    let scope = rest.first_chunk().map_or(0, |scope| u32::from_ne_bytes(*scope));
    let scope = if ip.is_unicast_link_local() { scope } else { 0 };
    Some(Address::Internet(ip.into(), u16::from_be_bytes(*port), scope))
}

fn vsock(rest: &[u8]) -> Option<Address<'static>> {
    let (_reserved, rest) = rest.split_first_chunk::<2>()?;
    let (port, rest) = rest.split_first_chunk()?;
    Some(Address::Vsock(u32::from_ne_bytes(*rest.first_chunk()?), u32::from_ne_bytes(*port)))
}

/// Internet addresses out of what `dns.query` carries: a family byte (4 or 6) and the address, repeated.
/// Stops at what is neither.
pub fn answers(mut bytes: &[u8]) -> impl Iterator<Item = IpAddr> {
    std::iter::from_fn(move || {
        let (family, rest) = bytes.split_first()?;
        match family {
            4 => {
                let (ip, rest) = rest.split_first_chunk::<4>()?;
                bytes = rest;
                Some(Ipv4Addr::from(*ip).into())
            }
            6 => {
                let (ip, rest) = rest.split_first_chunk::<16>()?;
                bytes = rest;
                Some(Ipv6Addr::from(*ip).into())
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        Address::of(bytes).write(b"/run/x", &mut out);
        String::from_utf8(out).unwrap()
    }

    fn with_family(family: i32, rest: &[u8]) -> Vec<u8> {
        [&(family as u16).to_ne_bytes()[..], rest].concat()
    }

    fn v6(ip: &str, scope: u32) -> Vec<u8> {
        let ip: Ipv6Addr = ip.parse().unwrap();
        let rest = [&[0x1f, 0x90, 0, 0, 0, 0][..], &ip.octets(), &scope.to_ne_bytes()].concat();
        with_family(libc::AF_INET6, &rest)
    }

    #[test]
    fn addresses_show_as_the_contract_says() {
        assert_eq!("127.0.0.1:8080", text(&with_family(libc::AF_INET, &[0x1f, 0x90, 127, 0, 0, 1, 0, 0])));
        assert_eq!("[::1]:8080", text(&v6("::1", 7)));
        assert_eq!("[::ffff:1.2.3.4]:8080", text(&v6("::ffff:1.2.3.4", 0)));
        assert_eq!("[fe80::1%2]:8080", text(&v6("fe80::1", 2)));
        assert_eq!("/run/s", text(&with_family(libc::AF_UNIX, b"/run/s\0junk")));
        assert_eq!("/run/x/s", text(&with_family(libc::AF_UNIX, b"s\0")));
        assert_eq!("@bus", text(&with_family(libc::AF_UNIX, b"\0bus")));
        assert_eq!("unix:", text(&with_family(libc::AF_UNIX, b"")));
        assert_eq!("vsock:2:1024", text(&with_family(libc::AF_VSOCK, &[0, 0, 0, 4, 0, 0, 2, 0, 0, 0])));
        assert_eq!("AF_NETLINK", text(&with_family(libc::AF_NETLINK, &[0; 10])));
        assert_eq!("AF_99", text(&with_family(99, &[])));
        assert_eq!("", text(&with_family(libc::AF_UNSPEC, &[0; 14])));
    }

    #[test]
    fn cut_addresses_never_fault() {
        let whole = v6("fe80::1", 2);
        for len in 0..whole.len() {
            text(&whole[..len]);
        }
        assert_eq!("AF_INET", text(&with_family(libc::AF_INET, &[1, 2, 3])));
    }

    #[test]
    fn answers_are_taken_apart_until_they_make_no_sense() {
        let bytes = [&[4, 1, 2, 3, 4, 6][..], &Ipv6Addr::LOCALHOST.octets(), &[9, 4, 1, 1, 1, 1]].concat();

        let all: Vec<String> = answers(&bytes).map(|ip| ip.to_string()).collect();

        assert_eq!(vec!["1.2.3.4", "::1"], all);
        assert_eq!(0, answers(&[4, 1, 2]).count());
    }
}
