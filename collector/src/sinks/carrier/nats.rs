//! NATS servers: `nats://HOST:4222` and `tls://HOST:4222`, several with commas between them.
//!
//! The client is a cargo feature, `nats`: a build without it knows the destinations, and says which build has
//! it.

use std::ffi::{OsStr, OsString};

use deploy::visible::visible;

use super::kind::{Kind, Opened, Takes, Wanted};
use crate::shell::failure::Failure;
use crate::sinks::look::Surface;

/// The row of brokers.
pub const CARRIER: Kind = Kind {
    name: "nats",
    help: "a nats:// or tls:// URL",
    place,
    shown: |place| visible(&format!("'{}'", place.display())).into_owned(),
    is_exclusive: |_| false,
    surface: || Surface::Other,
    takes: Takes::Parcels,
    open,
};

/// Refuses what this build lacks.
pub fn check_build() -> Result<(), Failure> {
    match cfg!(feature = "nats") {
        true => Ok(()),
        false => Err(Failure::usage(
            "this build has no client for NATS; take the one of 'cargo xtask dist', or build it with \
             'cargo build --release -p glassbox --features nats'",
        )),
    }
}

/// Whether a text means servers of this kind.
fn is_of_this_kind(text: &str) -> bool {
    text.starts_with("nats://") || text.starts_with("tls://")
}

fn place(text: &OsStr) -> Option<Result<OsString, Failure>> {
    let text = text.to_str().filter(|text| is_of_this_kind(text))?;
    let refused = |why: &str| Failure::usage(format!("'{}' names no server of NATS: {why}", visible(text)));
    let wrong = |server: &str| match server.split_once("://") {
        Some((_, rest)) if rest.contains('@') => {
            Some("it has a password in it, which others on this machine can read; give the option creds=FILE")
        }
        Some((_, host)) if is_of_this_kind(server) && is_host(host) => None,
        _ => Some("give nats://HOST:PORT or tls://HOST:PORT, several with two commas between them"),
    };
    Some(match text.split(',').find_map(wrong) {
        Some(why) => Err(refused(why)),
        None => check_build().map(|()| text.into()),
    })
}

/// `HOST` or `HOST:PORT`, also of an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_name = !host.is_empty() && host.bytes().all(is_plain);
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    (is_name || is_address) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

#[cfg(not(feature = "nats"))]
fn open(_: &Wanted<'_>) -> Result<Opened, Failure> {
    check_build().and(Err(Failure::internal("a client for NATS is expected")))
}

#[cfg(feature = "nats")]
fn open(wanted: &Wanted<'_>) -> Result<Opened, Failure> {
    let publisher = crate::fleet::publisher::Publisher::new(wanted.place, wanted.options)?;
    super::receiver::opened(wanted, Box::new(publisher))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts_with_or_without_a_port() {
        let words = |text: &str| place(OsStr::new(text)).map(|place| place.map_err(|why| why.to_string()));

        for text in ["nats://h", "tls://h.example:4222", "nats://[::1]:4222,nats://10.0.0.1"] {
            match words(text) {
                Some(Ok(found)) => assert_eq!(OsStr::new(text), found),
                Some(Err(why)) => assert!(!cfg!(feature = "nats") && why.contains("has no client"), "{why}"),
                None => panic!("{text}"),
            }
        }
        for text in
            ["nats://", "nats://h:x", "nats://h:0", "nats://h,", "nats://h/path", "tls://[::1", "nats://a b"]
        {
            assert!(words(text).unwrap().unwrap_err().contains("give nats://HOST:PORT"), "{text}");
        }
        assert!(words("nats://u:p@h").unwrap().unwrap_err().contains("creds=FILE"));
        assert_eq!(None, words("http://h"));
    }
}
