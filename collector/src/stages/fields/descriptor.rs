//! `fd.*`: the descriptor that a call makes, uses or closes.

use std::net::SocketAddr;

use rules::{Answer, Argument, Success, Type};
use wire::events::Kind;

use super::super::view::{Key, View, int, made, text, truth};
use super::event::UNFINISHED;
use super::row::Field;
use super::syscalls;
use super::things::{
    Thing, address, both, end_at, has_descriptor, ip_of, is_accepted, is_unmade, name_of, path, sides, thing,
};
use crate::event::Value;

/// The rows of this file.
pub const FIELDS: &[Field] = &[
    Field::new(
        "fd.num",
        Type::Int,
        num,
        "The number of the descriptor; -1 where the call failed to make one.",
        "the call",
    )
    .presuming(any_number)
    .limits(UNFINISHED),
    Field::new(
        "fd.type",
        Type::Text,
        kind,
        "`file`, `directory`, `ipv4`, `ipv6`, `unix`, `pipe`, `event`, …",
        "the call",
    )
    .limits("a directory is told from a file by `O_DIRECTORY`, at its open only"),
    Field::new(
        "fd.typechar",
        Type::Text,
        kind_char,
        "The same in a letter: `f`, `d`, `4`, `6`, `u`, `p`, …",
        "the call",
    ),
    Field::new(
        "fd.name",
        Type::Text,
        name,
        "The absolute path; of a connection both ends, `client:port->server:port`.",
        "the call",
    )
    .limits("none for a connection of which one end is not known (the own one of a listener that takes any address, or that was bound to port 0), or that closes; of a Unix socket the path alone"),
    Field::new("fd.nameraw", Type::Text, name_raw, "The path as it was passed.", "the call")
        .limits("of opens only"),
    Field::new(
        "fd.directory",
        Type::Text,
        directory,
        "The folder of a file; of a directory itself.",
        "`fd.name`",
    ),
    Field::new("fd.filename", Type::Text, filename, "The name of a file in its folder.", "`fd.name`"),
    Field::new("fd.ip", Type::Address, ip, "Either address.", "the call's addresses").list(),
    Field::new("fd.cip", Type::Address, client_ip, "The client's address.", "the call's addresses"),
    Field::new("fd.sip", Type::Address, server_ip, "The server's address.", "the call's addresses"),
    Field::new("fd.lip", Type::Address, local_ip, "The own address.", "the call's addresses"),
    Field::new("fd.rip", Type::Address, remote_ip, "The peer's address.", "the call's addresses"),
    Field::new("fd.port", Type::Port, port, "Either port.", "the call's addresses").list(),
    Field::new("fd.cport", Type::Port, client_port, "The client's port.", "the call's addresses"),
    Field::new("fd.sport", Type::Port, server_port, "The server's port.", "the call's addresses"),
    Field::new("fd.lport", Type::Port, local_port, "The own port.", "the call's addresses"),
    Field::new("fd.rport", Type::Port, remote_port, "The peer's port.", "the call's addresses"),
    Field::new("fd.net", Type::Net, ip, "Either address, compared with networks.", "the call's addresses")
        .list(),
    Field::new(
        "fd.cnet",
        Type::Net,
        client_ip,
        "The client's address, compared with networks.",
        "the call's addresses",
    ),
    Field::new(
        "fd.snet",
        Type::Net,
        server_ip,
        "The server's address, compared with networks.",
        "the call's addresses",
    ),
    Field::new(
        "fd.lnet",
        Type::Net,
        local_ip,
        "The own address, compared with networks.",
        "the call's addresses",
    ),
    Field::new(
        "fd.rnet",
        Type::Net,
        remote_ip,
        "The peer's address, compared with networks.",
        "the call's addresses",
    ),
    Field::new("fd.l4proto", Type::Text, l4proto, "`tcp`, `udp`, `icmp` or `raw`.", "the socket")
        .limits("none for a socket that another process made"),
    Field::new("fd.sockfamily", Type::Text, family, "`ip` or `unix`.", "the socket"),
    Field::new(
        "fd.is_server",
        Type::Bool,
        is_server,
        "Whether the process is the server of the connection.",
        "the call",
    )
    .limits("none for closes"),
    Field::new("fd.connected", Type::Bool, is_connected, "Whether the socket is connected.", "the call")
        .limits("none for closes"),
    Field::new(
        "fd.name_changed",
        Type::Bool,
        is_name_changed,
        "Whether the call gave the descriptor another name.",
        "the call",
    ),
    Field::new(
        "fd.sip.name",
        Type::Text,
        server_name,
        "The name that the process resolved to the server's address.",
        "the process's own resolving",
    )
    .limits("the last name that this process, or the one it was forked from, resolved; of connects only"),
    Field::new(
        "fd.rip.name",
        Type::Text,
        remote_name,
        "The same of the peer's address.",
        "the process's own resolving",
    )
    .limits("as `fd.sip.name`"),
];

/// The number that a call gives which makes a descriptor.
fn any_number(view: &View<'_>) -> Option<Success> {
    Some(Success::NotNegative).filter(|_| has_descriptor(view))
}

/// The number; -1 where the call failed to make one.
pub fn num<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    if !has_descriptor(view) {
        return Answer::Absent;
    }
    match view.kind() {
        _ if is_unmade(view) => Answer::Int(-1),
        Kind::FdDuplicate if view.event.error.is_empty() => int(view.integer(Key::Target)),
        Kind::KernelUserfaultfd => int(view.event.ret.filter(|ret| *ret >= 0)),
        _ => int(view.integer(Key::Fd)),
    }
}

/// The kind in a word; none where the call failed to make one.
pub fn kind<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let thing = thing(view).filter(|_| !is_unmade(view));
    text(thing.map(|thing| thing.names().0.as_bytes()))
}

/// The kind in a letter.
pub fn kind_char<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(thing(view).map(|thing| thing.names().1.as_bytes()))
}

/// The path, or both ends of a connection.
pub fn name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    match path(view) {
        Some(path) => text(Some(path)),
        None => made(name_of(view)),
    }
}

/// The path as it was passed.
pub fn name_raw<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let is_file = view.kind() == Kind::FileOpen;
    text(view.raw_path(Key::Path).filter(|_| is_file))
}

/// The folder of a file; of a directory itself.
pub fn directory<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let Some(path) = path(view).filter(|path| path.starts_with(b"/")) else { return Answer::Absent };
    if thing(view) == Some(Thing::Directory) {
        return text(Some(path));
    }
    let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    text(path.get(..slash.max(1)))
}

/// The name of a file in its folder.
pub fn filename<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let is_file = thing(view) == Some(Thing::File) && !is_unmade(view);
    let Some(path) = path(view).filter(|_| is_file) else { return Answer::Absent };
    text(path.rsplit(|byte| *byte == b'/').next())
}

/// Both addresses.
pub fn ip<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::List(both(view).into_iter().filter_map(|side| ip_of(view, side)).map(Answer::Address).collect())
}

/// Both ports.
pub fn port<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    Answer::List(both(view).iter().map(|side| Answer::Uint(side.port().into())).collect())
}

fn ip_at(view: &View<'_>, side: Option<SocketAddr>) -> Answer<'static> {
    side.and_then(|side| ip_of(view, side)).map_or(Answer::Absent, Answer::Address)
}

fn port_of(side: Option<SocketAddr>) -> Answer<'static> {
    side.map_or(Answer::Absent, |side| Answer::Uint(side.port().into()))
}

/// The client's address.
pub fn client_ip<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    ip_at(view, sides(view).unwrap_or_default().client)
}

/// The server's address.
pub fn server_ip<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    ip_at(view, sides(view).unwrap_or_default().server)
}

/// The client's port.
pub fn client_port<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    port_of(sides(view).unwrap_or_default().client)
}

/// The server's port.
pub fn server_port<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    port_of(sides(view).unwrap_or_default().server)
}

/// The own address.
pub fn local_ip<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    ip_at(view, end_at(view, Key::Local))
}

/// The peer's address.
pub fn remote_ip<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    ip_at(view, end_at(view, Key::Remote))
}

/// The own port.
pub fn local_port<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    port_of(end_at(view, Key::Local))
}

/// The peer's port.
pub fn remote_port<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    port_of(end_at(view, Key::Remote))
}

/// The name that the process resolved to the peer's address.
pub fn remote_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Host).filter(|_| has_descriptor(view)))
}

/// The name that the process resolved to the server's address: it is known of the peer.
pub fn server_name<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    text(view.text(Key::Host).filter(|_| view.kind() == Kind::NetConnect))
}

/// The protocol.
pub fn l4proto<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    let Some(thing) = thing(view).filter(|_| !is_unmade(view)) else { return Answer::Absent };
    if !thing.is_internet() {
        // As Falco says of a descriptor that has none.
        return text(Some(b"<NA>"));
    }
    let protocol: &[u8] = match (view.text(Key::Type), view.text(Key::Protocol)) {
        (Some(b"SOCK_STREAM"), _) => b"tcp",
        (Some(b"SOCK_DGRAM"), Some(b"IPPROTO_ICMP" | b"IPPROTO_ICMPV6")) => b"icmp",
        (Some(b"SOCK_DGRAM"), _) => b"udp",
        (Some(b"SOCK_RAW"), _) => b"raw",
        _ => return Answer::Absent,
    };
    text(Some(protocol))
}

/// `ip` or `unix`.
pub fn family<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    match thing(view).filter(|_| !is_unmade(view)) {
        Some(thing) if thing.is_internet() => text(Some(b"ip")),
        Some(Thing::Unix) => text(Some(b"unix")),
        _ => Answer::Absent,
    }
}

/// Whether the process is the server of the connection.
pub fn is_server<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    match view.kind() {
        Kind::NetAccept | Kind::NetListen if has_descriptor(view) => Answer::Bool(true),
        Kind::FdDuplicate => truth(is_accepted(view)),
        Kind::NetBind => {
            truth(thing(view).map(|thing| matches!(thing, Thing::Ipv4Server | Thing::Ipv6Server)))
        }
        Kind::NetConnect => {
            let ends = [Key::Local, Key::Remote].map(|key| address(view, key).map(|end| end.ip()));
            // Falco takes a server on the same machine for the process's own.
            truth(ends[1].map(|remote| remote.is_loopback() || ends[0] == Some(remote)))
        }
        _ => Answer::Absent,
    }
}

/// Whether a connection was made.
pub fn is_connected<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    match view.kind() {
        Kind::NetConnect => {
            let is_pending = matches!(view.value(Key::Pending), Value::Bool(true));
            let is_made = view.event.error.is_empty() && !is_pending;
            Answer::Bool(is_made && syscalls::name(view) == "connect")
        }
        Kind::NetAccept => Answer::Bool(view.event.error.is_empty()),
        Kind::NetSocket | Kind::NetBind | Kind::NetListen => Answer::Bool(false),
        _ => Answer::Absent,
    }
}

/// Whether the call gave the descriptor another peer.
pub fn is_name_changed<'a>(view: &View<'a>, _: Option<&Argument>) -> Answer<'a> {
    truth(has_descriptor(view).then(|| view.kind() == Kind::NetConnect && view.event.error.is_empty()))
}
