//! Decides which metadata URIs the collector requests. They come from the environments of watched programs,
//! so they may hold anything: a program must not reach, through the collector, what only the collector can
//! reach.

use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use crate::shell::failure::Failure;

/// The variable of the collector that names another endpoint.
pub const VARIABLE: &str = "GLASSBOX_ECS_METADATA";

/// Where ECS and Fargate serve the task metadata, version 4.
pub const DEFAULT: &str = "169.254.170.2";

const NO_ADDRESS: &str = "is no address; give one as 169.254.170.2 or 127.0.0.1:5000";

/// The longest id of a container, in bytes.
const LONGEST_ID: usize = 128;

/// The one endpoint that is requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority(Box<str>);

impl Default for Authority {
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

/// A URI of the endpoint in its checked parts, from which it is put together again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    authority: Box<str>,
    id: Box<str>,
}

impl Authority {
    /// The endpoint that a setting names; a failure calls it `shown`.
    pub fn of(value: &OsStr, shown: &dyn fmt::Display) -> Result<Self, Failure> {
        Self::parse(value).ok_or_else(|| Failure::usage(format!("{shown} {NO_ADDRESS}")))
    }

    /// Refuses a text that is no address. The error says what to do.
    pub fn checked(text: &str) -> Result<(), String> {
        Self::parse(OsStr::new(text)).map(drop).ok_or_else(|| format!("'{text}' {NO_ADDRESS}"))
    }

    /// An address, or an address and a port. A host name is refused, because its address could change.
    pub fn parse(value: &OsStr) -> Option<Self> {
        let is_address = |text: &&str| text.parse::<Ipv4Addr>().is_ok() || text.parse::<SocketAddr>().is_ok();
        value.to_str().filter(is_address).map(|text| Self(text.into()))
    }

    /// The parts of `uri`, if it is of this endpoint and has the only form that names a container:
    /// `http://AUTHORITY/v4/ID`.
    pub fn address(&self, uri: &[u8]) -> Option<Address> {
        let id = uri.strip_prefix(b"http://")?.strip_prefix(self.0.as_bytes())?.strip_prefix(b"/v4/")?;
        let is_id = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let id = std::str::from_utf8(id).ok().filter(|id| id.bytes().all(|byte| is_id(&byte)))?;
        let is_long_enough = (1..=LONGEST_ID).contains(&id.len());
        is_long_enough.then(|| Address { authority: self.0.clone(), id: id.into() })
    }
}

impl Address {
    /// The id in the URI. On Fargate it is the container's own id; on EC2 it is another one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The URI to request.
    pub fn uri(&self) -> String {
        format!("http://{}/v4/{}", self.authority, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_of_the_endpoint_is_taken_as_it_is() {
        let uri = "http://169.254.170.2/v4/cd189a933e5849daa93386466019ab50-2495160603";

        let address = Authority::default().address(uri.as_bytes()).unwrap();

        assert_eq!("cd189a933e5849daa93386466019ab50-2495160603", address.id());
        assert_eq!(uri, address.uri());
    }

    #[test]
    fn everything_else_is_not_asked() {
        for uri in [
            "",
            "http://169.254.170.2/v4/",
            "http://169.254.170.2/v4/a/task",
            "http://169.254.170.2/v4/..",
            "http://169.254.170.2/v4/a?b",
            "http://169.254.170.2/v4/a#b",
            "http://169.254.170.2/v4/%61",
            "http://169.254.170.2/v4/a\r\nHost: x",
            "http://169.254.170.2/v2/credentials/a",
            "http://169.254.170.23/v4/a",
            "http://169.254.170.2:80/v4/a",
            "http://169.254.170.2@evil/v4/a",
            "http://user@169.254.170.2/v4/a",
            "http://169.254.169.254/v4/a",
            "http://evil/v4/a",
            "https://169.254.170.2/v4/a",
            "HTTP://169.254.170.2/v4/a",
            "file:///v4/a",
            " http://169.254.170.2/v4/a",
        ] {
            assert_eq!(None, Authority::default().address(uri.as_bytes()), "{uri}");
        }
        let long = format!("http://169.254.170.2/v4/{}", "a".repeat(LONGEST_ID + 1));
        assert_eq!(None, Authority::default().address(long.as_bytes()));
        assert_eq!(None, Authority::default().address(b"http://169.254.170.2/v4/\xff"));
    }

    #[test]
    fn another_endpoint_takes_the_place_of_the_usual_one() {
        let authority = Authority::parse("127.0.0.1:5000".as_ref()).unwrap();

        assert!(authority.address(b"http://127.0.0.1:5000/v4/a").is_some());
        assert!(authority.address(b"http://169.254.170.2/v4/a").is_none());
        for wrong in ["http://127.0.0.1/", "localhost:80", "127.0.0.1:", "127.0.0.1/v4", "", "off"] {
            assert_eq!(None, Authority::parse(wrong.as_ref()), "{wrong}");
        }
        assert!(Authority::parse("[::1]:80".as_ref()).unwrap().address(b"http://[::1]:80/v4/a").is_some());
    }
}
