//! Attributes of OCSF that are connections and questions of names.

use std::io::Write as _;
use std::net::IpAddr;

use super::known::Context;
use super::members::{number, text};
use super::parts::Field::{Reads, Takes};
use super::parts::{Field, Part};
use crate::event::Value;
use crate::json::{key, string};
use crate::sinks::reading::{End, Given};

/// The fields of a socket, with both ends. `protocol` and `type` stay in `unmapped`: `protocol_name` does not
/// say both of every socket.
const SOCKETS: &[Field] =
    &[Takes("local"), Takes("remote"), Takes("host"), Takes("family"), Reads("protocol"), Reads("type")];
const LOCAL: usize = 0;
const REMOTE: usize = 1;
const HOST: usize = 2;
const FAMILY: usize = 3;
const PROTOCOL: usize = 4;
const TYPE: usize = 5;
/// The fields of a socket that stay in `unmapped`: it has no end yet.
const UNBOUND: &[Field] =
    &[Reads("local"), Reads("remote"), Reads("host"), Reads("family"), Reads("protocol"), Reads("type")];

const ENDS: &str = "`connection_info`, `src_endpoint`, `dst_endpoint`";

/// A connection that the process asked for.
pub const OUTBOUND: Part = Part::new(ENDS, SOCKETS, |given, context, out| {
    connection(given, Direction::Outbound, out);
    ends(given, context, [("src_endpoint", LOCAL), ("dst_endpoint", REMOTE)], out);
})
.in_evidence();

/// A connection that another one asked for.
pub const INBOUND: Part = Part::new(ENDS, SOCKETS, |given, context, out| {
    connection(given, Direction::Inbound, out);
    ends(given, context, [("src_endpoint", REMOTE), ("dst_endpoint", LOCAL)], out);
})
.in_evidence();

/// A connection of which it is not known who asked for it: the own end is the source.
pub const EITHER: Part = Part::new(ENDS, SOCKETS, |given, context, out| {
    connection(given, Direction::Unknown, out);
    ends(given, context, [("src_endpoint", LOCAL), ("dst_endpoint", REMOTE)], out);
})
.in_evidence();

/// A socket that waits for connections.
pub const LISTENING: Part = Part::new(ENDS, SOCKETS, |given, context, out| {
    connection(given, Direction::Inbound, out);
    ends(given, context, [("src_endpoint", REMOTE), ("dst_endpoint", LOCAL)], out);
})
.in_evidence();

/// A socket that has no end yet.
pub const SOCKET: Part = Part::new("`connection_info`, `src_endpoint`", UNBOUND, |given, context, out| {
    connection(given, Direction::Unknown, out);
    ends(given, context, [("src_endpoint", LOCAL), ("dst_endpoint", REMOTE)], out);
})
.in_evidence();

/// The ends may be the other way round.
pub const UNASSIGNED: Part = Part::new("`is_src_dst_assignment_known`", &[], |_, _, out| {
    key("is_src_dst_assignment_known", "", out);
    out.extend_from_slice(b"false");
});

/// How long a connection took to be made.
pub const TAKEN: Part = Part::new("`duration`", &[Reads("duration_ns")], |given, _, out| {
    if let Some(ns) = given.uint(0) {
        number("duration", ns / 1_000_000, out);
    }
});

/// The bytes of a connection.
pub const TRAFFIC: Part =
    Part::new("`traffic`", &[Takes("bytes_sent"), Takes("bytes_received")], |given, _, out| {
        let (sent, received) = (given.uint(0), given.uint(1));
        if sent.is_none() && received.is_none() {
            return;
        }
        key("traffic", "", out);
        out.push(b'{');
        number("bytes", sent.unwrap_or(0).saturating_add(received.unwrap_or(0)), out);
        for (name, bytes) in [("bytes_out", sent), ("bytes_in", received)] {
            if let Some(bytes) = bytes {
                number(name, bytes, out);
            }
        }
        out.push(b'}');
    });

/// A name that is resolved.
pub const QUERY: Part = Part::new("`query`, `src_endpoint`", &[Takes("host")], |given, context, out| {
    query(given.text(0).unwrap_or_default(), None, out);
    this_machine(context, out);
})
.in_evidence();

/// The addresses of a name.
pub const ANSWERS: Part = Part::new("`answers`, `rcode_id`", &[Takes("answers")], |given, _, out| {
    if let Value::List(answers) = given.value(0) {
        answered(
            given.batch.strings(answers).map(|text| (text, if text.contains(&b':') { "AAAA" } else { "A" })),
            out,
        );
    }
    rcode(given, out);
});

/// An address whose name is asked for.
pub const REVERSE: Part = Part::new("`query`, `src_endpoint`", &[Reads("addr")], |given, context, out| {
    let text = given.text(0).unwrap_or_default();
    let ip: Option<IpAddr> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    match ip {
        Some(ip) => query(&name_of(ip), Some("PTR"), out),
        None => query(text, Some("PTR"), out),
    }
    this_machine(context, out);
})
.in_evidence();

/// The name of an address.
pub const NAME: Part = Part::new("`answers`, `rcode_id`", &[Takes("host")], |given, _, out| {
    if let Some(host) = given.text(0) {
        answered(std::iter::once((host, "PTR")), out);
    }
    rcode(given, out);
});

/// `direction_id` of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Direction {
    Unknown = 0,
    Inbound = 1,
    Outbound = 2,
}

fn connection(given: &Given<'_>, direction: Direction, out: &mut Vec<u8>) {
    key("connection_info", "", out);
    out.push(b'{');
    number("direction_id", direction as u64, out);
    let family = given.text(FAMILY).unwrap_or_default();
    let is_internet = matches!(family, b"AF_INET" | b"AF_INET6");
    let protocol = given.text(PROTOCOL).and_then(|name| name.strip_prefix(b"IPPROTO_"));
    let (name, known) = match (given.text(TYPE), protocol) {
        (Some(b"SOCK_STREAM"), None | Some(b"TCP" | b"IP")) if is_internet => {
            (Some(b"tcp".to_vec()), Some(6))
        }
        (Some(b"SOCK_DGRAM"), None | Some(b"UDP" | b"IP")) if is_internet => {
            (Some(b"udp".to_vec()), Some(17))
        }
        (_, Some(b"ICMP")) => (Some(b"icmp".to_vec()), Some(1)),
        (_, Some(b"ICMPV6")) => (Some(b"icmpv6".to_vec()), Some(58)),
        (_, Some(name)) if is_internet => (Some(name.to_ascii_lowercase()), None),
        _ => {
            let family = Some(family.strip_prefix(b"AF_").unwrap_or(family));
            (family.filter(|name| !is_internet && !name.is_empty()).map(<[u8]>::to_ascii_lowercase), None)
        }
    };
    if let Some(name) = name {
        text("protocol_name", &name, out);
    }
    if let Some(known) = known {
        number("protocol_num", known, out);
    }
    match family {
        b"AF_INET" => number("protocol_ver_id", 4, out),
        b"AF_INET6" => number("protocol_ver_id", 6, out),
        _ => {}
    }
    if given.end(REMOTE).is_some_and(|remote| remote.is_of_this_machine()) {
        number("boundary_id", 1, out);
    }
    out.push(b'}');
}

/// Appends the ends that are known; a connection needs one at least, which this machine is.
fn ends(given: &Given<'_>, context: &Context<'_>, ends: [(&'static str, usize); 2], out: &mut Vec<u8>) {
    let mut is_known = false;
    for (name, field) in ends {
        let host = given.text(HOST).filter(|_| field == REMOTE);
        let end = given.end(field);
        if end.is_none() && host.is_none() {
            continue;
        }
        is_known = true;
        key(name, "", out);
        out.push(b'{');
        match end {
            Some(End::Internet(_, ip, port)) => {
                text("ip", short(ip).as_bytes(), out);
                number("port", port.into(), out);
            }
            Some(End::Name(name)) => text("name", name, out),
            None => {}
        }
        if let Some(host) = host {
            text("hostname", host, out);
        }
        out.push(b'}');
    }
    if !is_known {
        this_machine(context, out);
    }
}

/// An address without its scope, where it would be too long for the schema.
fn short(ip: &str) -> &str {
    const LONGEST: usize = 40;
    if ip.len() <= LONGEST { ip } else { ip.split('%').next().unwrap_or(ip) }
}

fn this_machine(context: &Context<'_>, out: &mut Vec<u8>) {
    key("src_endpoint", "", out);
    out.push(b'{');
    text("hostname", context.machine.hostname.as_bytes(), out);
    out.push(b'}');
}

fn query(host: &[u8], kind: Option<&str>, out: &mut Vec<u8>) {
    key("query", "", out);
    out.push(b'{');
    text("hostname", host, out);
    if let Some(kind) = kind {
        text("type", kind.as_bytes(), out);
    }
    out.push(b'}');
}

fn answered<'a>(answers: impl Iterator<Item = (&'a [u8], &'static str)>, out: &mut Vec<u8>) {
    key("answers", "", out);
    out.push(b'[');
    for (index, (data, kind)) in answers.enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"rdata\":" } else { b"{\"rdata\":" });
        string(data, out);
        text("type", kind.as_bytes(), out);
        out.push(b'}');
    }
    out.push(b']');
}

/// The answer's code, as far as the resolver's errors say it.
fn rcode(given: &Given<'_>, out: &mut Vec<u8>) {
    let (id, name) = match given.event.error {
        "" if given.event.ret.is_some() => (0, "NoError"),
        "EAI_NONAME" | "EAI_NODATA" => (3, "NXDomain"),
        "EAI_AGAIN" | "EAI_FAIL" => (2, "ServError"),
        _ => return,
    };
    number("rcode_id", id, out);
    text("rcode", name.as_bytes(), out);
}

/// The name below which an address's name stands (RFC 1035, 3.5; RFC 3596, 2.5).
fn name_of(ip: IpAddr) -> Vec<u8> {
    let mut name = Vec::new();
    match ip {
        IpAddr::V4(ip) => {
            for byte in ip.octets().into_iter().rev() {
                let _ = write!(name, "{byte}.");
            }
            name.extend_from_slice(b"in-addr.arpa");
        }
        IpAddr::V6(ip) => {
            for byte in ip.octets().into_iter().rev() {
                let _ = write!(name, "{:x}.{:x}.", byte & 15, byte >> 4);
            }
            name.extend_from_slice(b"ip6.arpa");
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_addresses_are_those_of_the_reverse_tree() {
        let name = |ip: &str| String::from_utf8(name_of(ip.parse().unwrap())).unwrap();

        assert_eq!("4.3.2.1.in-addr.arpa", name("1.2.3.4"));
        assert_eq!(
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            name("2001:db8::1")
        );
    }
}
