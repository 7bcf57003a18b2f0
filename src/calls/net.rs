//! Sockets: made, bound, connected, accepted; messages sent and received.

use core::ffi::{c_int, c_void};

use wire::events::{NetAccept, NetBind, NetConnect, NetListen, NetSocket};
use wire::fields::{Address, Family, Hidden, Protocol, SocketType};

use crate::calls::peers::{self, NAME_SERVER};
use crate::calls::{connects, dns, fds};
use crate::process::{self, Seal};
use crate::record::call::{Call, Row};
use crate::record::capture;
use crate::record::emit::{self, Way};
use crate::record::fail::{Fails, MinusOne};
use crate::sys;

/// socket(2).
pub fn socket_made(call: Call, family: c_int, kind: c_int, protocol: c_int) {
    let fd = (!call.outcome.failed).then_some(call.outcome.ret as c_int);
    if let Some(fd) = fd {
        fds::opened(fd);
        // Of its flags this takes no notice (socket(2)).
        if kind & 0xf == libc::SOCK_STREAM {
            fds::counters_of(fd, connects::made);
        }
    }
    // SocketType shows the type; the collector reads SOCK_CLOEXEC from the rest.
    let event =
        NetSocket { fd, family: Family(family), r#type: SocketType(kind), protocol: Protocol(protocol) };
    emit::after(call, 0, &event);
}

/// bind(2). With port 0 the kernel chooses one: then it is asked for the address.
///
/// # Safety
/// `address` and `len` are the call's.
pub unsafe fn bound(call: Call, fd: c_int, address: *const c_void, len: u32) {
    // SAFETY: the caller's promise.
    let mut local = unsafe { capture::address(call.outcome, address, len) };
    let mut buffer = [0u8; capture::ADDRESS_CAP];
    if !call.outcome.failed
        && process::seal() == Seal::Open
        && is_internet(local.0, [0, 0])
        && let Ok(known) = sys::own_address(fd, &mut buffer)
    {
        local = Address(buffer.get(..known).unwrap_or_default());
    }
    emit::after(call, 0, &NetBind { fd, local });
}

/// Whether this is an internet address with that port: bytes 2 and 3 of a sockaddr_in and of a sockaddr_in6.
fn is_internet(address: &[u8], port: [u8; 2]) -> bool {
    match address {
        [low, high, first, second, ..] if [*first, *second] == port => {
            let family = i32::from(u16::from_ne_bytes([*low, *high]));
            family == libc::AF_INET || family == libc::AF_INET6
        }
        _ => false,
    }
}

/// listen(2).
pub fn listening(call: Call, fd: c_int, backlog: c_int) {
    emit::after(call, 0, &NetListen { fd, backlog });
}

/// connect(2): `EINPROGRESS` on a non-blocking socket is pending, not failed; the collector shows it so.
///
/// # Safety
/// `address` and `len` are the call's.
pub unsafe fn connected(call: Call, fd: c_int, address: *const c_void, len: u32) {
    // SAFETY: the caller's promise.
    let remote = unsafe { capture::address(call.outcome, address, len) };
    let is_under_way = call.outcome.failed && i32::from(call.outcome.errno) == libc::EINPROGRESS;
    let mut buffer = [0; capture::ADDRESS_CAP];
    let mut own = Address(&[]);
    if is_under_way || !call.outcome.failed {
        own = own_address(fd, remote, &mut buffer);
    }
    emit::after(call, 0, &NetConnect { fd, remote, own: Hidden(own), began_ns: Hidden(call.began_ns) });
    // An outcome comes after the connect that it is of.
    if connects::are_under_way() && !is_under_way {
        connects::settle(call, fd);
    }
    let is_to_name_server = is_internet(remote.0, dns::PORT);
    if is_under_way {
        connects::begin(fd, is_to_name_server);
    } else if !call.outcome.failed && is_to_name_server {
        fds::counters_of(fd, |counters| counters.change_mark(counters.mark(), NAME_SERVER));
    }
}

/// The own address of a socket that was connected to an internet address: the kernel chose it.
fn own_address<'b>(fd: c_int, remote: Address<'_>, buffer: &'b mut [u8]) -> Address<'b> {
    let family = remote.0.first_chunk().map_or(0, |family| c_int::from(u16::from_ne_bytes(*family)));
    let is_asked = matches!(family, libc::AF_INET | libc::AF_INET6) && process::seal() == Seal::Open;
    let len = is_asked.then(|| sys::own_address(fd, buffer).ok()).flatten();
    Address(len.and_then(|len| buffer.get(..len)).unwrap_or_default())
}

/// accept(2). Where the caller gave no room for the peer's address, or too little, the kernel is asked for
/// it.
///
/// # Safety
/// The arguments are accept's.
#[inline(always)]
pub unsafe fn accept(
    row: Row,
    listener: c_int,
    address: *const c_void,
    len: *const u32,
    real: impl FnOnce() -> c_int,
) -> c_int {
    let has_room = !address.is_null() && !sys::is_wild(len.cast());
    // SAFETY: the kernel reads it in the call that follows; wild pointers are left to it.
    let room = if has_room { unsafe { len.read_unaligned() } } else { 0 };
    let ret = real();
    if process::ring().is_some() {
        let call = Call::of(row, <MinusOne as Fails<c_int>>::outcome(ret));
        // SAFETY: the caller's promise.
        unsafe { accepted(call, listener, address, len, room) };
    }
    ret
}

/// # Safety
/// As for [`accept`], which has made the call; `room` is what stood at `len` before.
#[inline(never)]
unsafe fn accepted(call: Call, listener: c_int, address: *const c_void, len: *const u32, room: u32) {
    if call.outcome.errno == libc::EAGAIN as u16 {
        // No connection was waiting: reports of a server that polls would outnumber its accepted connections.
        return emit::count(listener, -1, Way::In);
    }
    let fd = (!call.outcome.failed).then_some(call.outcome.ret as c_int);
    let mut buffer = [0u8; capture::ADDRESS_CAP];
    let mut remote = Address(&[]);
    if let Some(fd) = fd {
        fds::opened(fd);
        // SAFETY: the call succeeded with it.
        let given = if room == 0 { 0 } else { unsafe { len.read_unaligned() } };
        if (2..=room).contains(&given) {
            // SAFETY: the kernel wrote `given` bytes.
            remote = unsafe { capture::address(call.outcome, address, given) };
        } else if process::seal() == Seal::Open
            && let Ok(known) = sys::peer_address(fd, &mut buffer)
        {
            remote = Address(buffer.get(..known).unwrap_or_default());
        }
    }
    emit::after(call, 0, &NetAccept { fd, remote, listener: Hidden(listener) });
}

/// A message, to a peer if it has an address. The first message to each peer is reported as a connection, and
/// a query to a name server as such; all messages are counted.
///
/// # Safety
/// `message` begins with so many bytes; `address` and `len` are the call's.
#[inline(always)]
pub unsafe fn sent(call: Call, fd: c_int, message: (*const c_void, usize), address: *const c_void, len: u32) {
    connects::moved_often(call, fd, call.outcome.ret, Way::Out);
    if !call.outcome.failed {
        let sent = message.1.min(call.outcome.ret as usize);
        // SAFETY: the caller's promise.
        unsafe { looked_at(call, fd, (message.0, sent), address, len) };
    }
}

/// # Safety
/// As for [`sent`], of a call that succeeded and sent the whole message.
#[inline(always)]
unsafe fn looked_at(
    call: Call,
    fd: c_int,
    message: (*const c_void, usize),
    address: *const c_void,
    len: u32,
) {
    if !address.is_null() && len >= 2 {
        // SAFETY: the caller's promise.
        unsafe { first_sent(call, fd, message, address, len) };
    } else if fds::counters_of(fd, |counters| counters.mark() == NAME_SERVER) == Some(true) {
        // SAFETY: the caller's promise.
        unsafe { dns::sent(call, message.0, message.1) };
    }
}

/// # Safety
/// As for [`looked_at`].
#[cold]
unsafe fn first_sent(
    call: Call,
    fd: c_int,
    message: (*const c_void, usize),
    address: *const c_void,
    len: u32,
) {
    // SAFETY: the caller's promise.
    let remote = unsafe { capture::address(call.outcome, address, len) };
    let is_first = fds::counters_of(fd, |counters| counters.mark() == 0) == Some(true);
    // Above the table of counters nothing is remembered.
    if fds::counters_of(fd, |counters| peers::is_new(fd, counters, remote.0)) != Some(false) {
        let mut buffer = [0; capture::ADDRESS_CAP];
        let own = if is_first { own_address(fd, remote, &mut buffer) } else { Address(&[]) };
        emit::after(call, 0, &NetConnect { fd, remote, own: Hidden(own), began_ns: Hidden(0) });
    }
    if is_internet(remote.0, dns::PORT) {
        // SAFETY: the caller's promise.
        unsafe { dns::sent(call, message.0, message.1) };
    }
}

/// The first part of a message of sendmsg(2), and its length.
///
/// # Safety
/// A call succeeded with it.
unsafe fn beginning(message: &libc::msghdr) -> (*const c_void, usize) {
    // SAFETY: the caller's promise.
    match unsafe { message.msg_iov.as_ref() } {
        Some(part) if message.msg_iovlen > 0 => (part.iov_base, part.iov_len),
        _ => (core::ptr::null(), 0),
    }
}

/// sendmsg(2).
///
/// # Safety
/// `message` is the call's.
#[inline(never)]
pub unsafe fn message_sent(call: Call, fd: c_int, message: *const libc::msghdr) {
    let (mut first, mut name, mut len) = ((core::ptr::null(), 0), core::ptr::null(), 0);
    if !call.outcome.failed && !sys::is_wild(message.cast()) {
        // SAFETY: the call succeeded with it.
        let message = unsafe { &*message };
        (name, len) = (message.msg_name.cast_const(), message.msg_namelen);
        // SAFETY: as above.
        first = unsafe { beginning(message) };
        if message.msg_controllen > 0 {
            connects::shared();
        }
    }
    // SAFETY: the call succeeded with them.
    unsafe { sent(call, fd, first, name, len) };
}

/// recvmsg(2).
///
/// # Safety
/// `message` is the call's.
#[inline(never)]
pub unsafe fn message_received(call: Call, fd: c_int, message: *const libc::msghdr, flags: c_int) {
    connects::moved(call, fd, unpeeked(call, flags), Way::In);
    if !call.outcome.failed && !sys::is_wild(message.cast()) {
        // SAFETY: the call succeeded with it.
        unsafe { descriptors_received(call, &*message, flags) };
    }
}

/// Descriptors that came with a message (unix(7), `SCM_RIGHTS`), also with one that was only looked at.
///
/// # Safety
/// `message` was filled in by a call.
unsafe fn descriptors_received(call: Call, message: &libc::msghdr, flags: c_int) {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let (mut at, mut left) = (message.msg_control as usize, message.msg_controllen);
    while left >= HEADER {
        // SAFETY: the kernel wrote so many bytes of headers, each with its contents, aligned to words
        // (cmsg(3)).
        let header = unsafe { (at as *const libc::cmsghdr).read_unaligned() };
        let len = header.cmsg_len;
        if len < HEADER || len > left {
            return;
        }
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SCM_RIGHTS {
            for index in 0..(len - HEADER) / size_of::<c_int>() {
                // SAFETY: within the header's contents.
                let fd = unsafe { ((at + HEADER) as *const c_int).add(index).read_unaligned() };
                fds::received(call.row, fd, flags & libc::MSG_CMSG_CLOEXEC != 0);
            }
        }
        let step = len.next_multiple_of(size_of::<usize>()).min(left);
        (at, left) = (at + step, left - step);
    }
}

/// sendmmsg(2) and recvmmsg(2).
///
/// # Safety
/// `messages` holds `count` elements that the call filled in.
#[inline(never)]
pub unsafe fn messages_moved(call: Call, fd: c_int, messages: *const libc::mmsghdr, flags: c_int, way: Way) {
    let mut bytes = call.outcome.ret.min(0);
    for index in 0..usize::try_from(call.outcome.ret).unwrap_or(0) {
        // SAFETY: the call said that it handled so many.
        let message = unsafe { &*messages.add(index) };
        bytes += i64::from(message.msg_len);
        if way == Way::In {
            // SAFETY: as above.
            unsafe { descriptors_received(call, &message.msg_hdr, flags) };
        } else {
            let header = &message.msg_hdr;
            if header.msg_controllen > 0 {
                connects::shared();
            }
            // SAFETY: the call succeeded with it.
            let (first, len) = unsafe { beginning(header) };
            let sent = len.min(message.msg_len as usize);
            // SAFETY: as above.
            unsafe { looked_at(call, fd, (first, sent), header.msg_name, header.msg_namelen) };
        }
    }
    connects::moved(call, fd, bytes, way);
}

/// The bytes that a receiving call moved: none with MSG_PEEK.
pub fn unpeeked(call: Call, flags: c_int) -> i64 {
    if flags & libc::MSG_PEEK != 0 { call.outcome.ret.min(0) } else { call.outcome.ret }
}
