//! DNS messages (RFC 1035, section 4): which name is asked for, and which addresses the answer gives.
//!
//! For the resolver's own functions (resolver(3)), and for what goes to a name server through a socket
//! (`net`). A message that is no query is ignored.
//!
//! # Safety
//! Only bytes are read that a successful call gave to the kernel or to libc, and as many as it said.

use core::ffi::{c_char, c_int, c_void};

use wire::events::{DnsQuery, DnsReverse};
use wire::fields::{Answers, Hidden, Ip};

use crate::record::call::{Call, Outcome};
use crate::record::{capture, emit};

/// Longest host name that is copied: NI_MAXHOST.
pub const HOST_CAP: usize = 1025;
/// Most addresses that are copied from an answer.
const ANSWERS: usize = 32;
const HEADER: usize = 12;
/// Longest name as text: 255 bytes of labels.
const NAME_CAP: usize = 256;
/// The port of name servers.
pub const PORT: [u8; 2] = 53u16.to_be_bytes();

/// Addresses gathered for a record.
pub struct Gathered {
    bytes: [u8; ANSWERS * 17],
    len: usize,
}

impl Gathered {
    pub fn new() -> Self {
        Self { bytes: [0; ANSWERS * 17], len: 0 }
    }

    /// # Safety
    /// `address` points to an address of `family`.
    unsafe fn add(&mut self, family: c_int, address: *const u8) {
        let len = if family == libc::AF_INET { 4 } else { 16 };
        if family == libc::AF_INET || family == libc::AF_INET6 {
            // SAFETY: the caller's promise.
            self.add_bytes(family, unsafe { core::slice::from_raw_parts(address, len) });
        }
    }

    /// Adds an address, as long as there is room.
    pub fn add_bytes(&mut self, family: c_int, address: &[u8]) {
        let tag = if family == libc::AF_INET { 4 } else { 6 };
        let Some(place) = self.bytes.get_mut(self.len..self.len + 1 + address.len()) else { return };
        if let Some((first, rest)) = place.split_first_mut() {
            *first = tag;
            rest.copy_from_slice(address);
            self.len += 1 + address.len();
        }
    }

    pub fn answers(&self) -> Answers<'_> {
        Answers(self.bytes.get(..self.len).unwrap_or_default())
    }
}

/// getaddrinfo(3). Only a call that names a host asks anything.
///
/// # Safety
/// `host` is the call's; `list` is what it filled in.
pub unsafe fn resolved(call: Call, host: *const c_char, list: *const *mut libc::addrinfo) {
    if host.is_null() {
        return;
    }
    let mut gathered = Gathered::new();
    let mut last = (0, [0u8; 16]);
    if !call.outcome.failed && !list.is_null() {
        // SAFETY: valid on success only (getaddrinfo(3)); a list ended by a null.
        let mut entry = unsafe { *list }.cast_const();
        // SAFETY: as above.
        while let Some(info) = unsafe { entry.as_ref() } {
            let at = if info.ai_family == libc::AF_INET { 4 } else { 8 };
            if !info.ai_addr.is_null() && !is_repeated(info, at, &mut last) {
                // SAFETY: a sockaddr_in holds the address at 4, a sockaddr_in6 at 8.
                unsafe { gathered.add(info.ai_family, info.ai_addr.cast::<u8>().add(at)) };
            }
            entry = info.ai_next;
        }
    }
    // SAFETY: the caller's promise.
    let host = unsafe { capture::text(host, HOST_CAP) };
    emit::after(call, 0, &query(call, host, gathered.answers()));
}

/// Whether the entry's address is the one before it: each comes once for every socket type.
fn is_repeated(info: &libc::addrinfo, at: usize, last: &mut (c_int, [u8; 16])) -> bool {
    let len = if info.ai_family == libc::AF_INET { 4 } else { 16 };
    let mut address = [0; 16];
    if let Some(place) = address.get_mut(..len) {
        // SAFETY: as in `resolved`.
        place.copy_from_slice(unsafe { core::slice::from_raw_parts(info.ai_addr.cast::<u8>().add(at), len) });
    }
    let now = (info.ai_family, address);
    core::mem::replace(last, now) == now
}

/// gethostbyname(3) and its like.
///
/// # Safety
/// `host` is the call's; `entry` is null or what it found.
pub unsafe fn looked_up(call: Call, host: *const c_char, entry: *const libc::hostent) {
    let mut gathered = Gathered::new();
    // SAFETY: the caller's promise.
    if let Some(entry) = unsafe { entry.as_ref() } {
        let mut list = entry.h_addr_list.cast_const();
        // SAFETY: an array ended by a null, of addresses of `h_addrtype`.
        unsafe {
            while !list.is_null() && !(*list).is_null() {
                gathered.add(entry.h_addrtype, (*list).cast::<u8>());
                list = list.add(1);
            }
        }
    }
    let outcome = Outcome { ret: if entry.is_null() { -1 } else { 0 }, errno: 0, failed: entry.is_null() };
    // SAFETY: the caller's promise.
    let host = unsafe { capture::text(host, HOST_CAP) };
    emit::after(Call { outcome, ..call }, 0, &query(call, host, gathered.answers()));
}

/// The entry that gethostbyname_r(3) found.
///
/// # Safety
/// `result` is the call's.
pub unsafe fn found(call: Call, result: *const *mut libc::hostent) -> *const libc::hostent {
    // SAFETY: the call succeeded, so it wrote the result.
    if call.outcome.failed || result.is_null() { core::ptr::null() } else { unsafe { *result } }
}

/// res_query(3) and its like: a name asked for, and the answer. These functions leave errno alone.
///
/// # Safety
/// The arguments are the call's.
pub unsafe fn asked(call: Call, host: *const c_char, answer: *const u8, room: c_int) {
    // SAFETY: the caller's promise.
    let (host, answer) = unsafe { (capture::text(host, HOST_CAP), answered(call, answer, room)) };
    report_query(call, host, answer);
}

/// res_send(3): a query that the program made itself, and the answer.
///
/// # Safety
/// The arguments are the call's.
pub unsafe fn exchanged(call: Call, query: *const u8, len: c_int, answer: *const u8, room: c_int) {
    // SAFETY: the caller's promise; the call read the query whole.
    let (query, answer) = unsafe { (bytes(query, len), answered(call, answer, room)) };
    let mut name = [0; NAME_CAP];
    if let Some(host) = question(query, &mut name) {
        report_query(call, Some(host), answer);
    }
}

/// A message was sent to a name server's port; it is reported if it is a query.
///
/// # Safety
/// The call sent `len` bytes from there.
pub unsafe fn sent(call: Call, message: *const c_void, len: usize) {
    // SAFETY: the caller's promise.
    let message = unsafe { bytes(message.cast(), len as c_int) };
    let mut name = [0; NAME_CAP];
    if let Some(host) = question(without_length(message), &mut name) {
        emit::after(call, 0, &query(call, Some(host), Gathered::new().answers()));
    }
}

/// getnameinfo(3): the name of a socket's address. Only a call that wants a name asks for one.
///
/// # Safety
/// `address` and `host` are the call's.
pub unsafe fn named(call: Call, address: *const u8, len: u32, host: *const c_char, flags: c_int) {
    // Without an address, or with a shorter one, the call fails before it reads any (EAI_FAMILY).
    if flags & libc::NI_NUMERICHOST != 0 || host.is_null() || address.is_null() || len < 2 {
        return;
    }
    // SAFETY: the caller's promise; the call read the family, and the rest where it is of the internet.
    unsafe {
        let family = c_int::from(address.cast::<u16>().read_unaligned());
        let place = match family {
            libc::AF_INET => 4,
            libc::AF_INET6 => 8,
            _ => return,
        };
        let host = if call.outcome.failed { core::ptr::null() } else { host };
        report_reverse(call, family, address.add(place), len.saturating_sub(place as u32), host);
    }
}

/// gethostbyaddr(3): the name of an address.
///
/// # Safety
/// `address` is the call's; `entry` is null or what it found.
pub unsafe fn named_old(
    call: Call,
    address: *const u8,
    len: u32,
    family: c_int,
    entry: *const libc::hostent,
) {
    let failed = entry.is_null();
    let outcome = Outcome { ret: if failed { -1 } else { 0 }, errno: 0, failed };
    // SAFETY: the caller's promise.
    unsafe {
        let host = if failed { core::ptr::null() } else { (*entry).h_name.cast_const() };
        report_reverse(Call { outcome, ..call }, family, address, len, host);
    }
}

/// # Safety
/// `len` bytes of an address are there; `host` is null or a string.
unsafe fn report_reverse(call: Call, family: c_int, address: *const u8, len: u32, host: *const c_char) {
    let needed = if family == libc::AF_INET { 4 } else { 16 };
    let mut gathered = Gathered::new();
    if !address.is_null() && len >= needed {
        // SAFETY: the caller's promise.
        unsafe { gathered.add(family, address) };
    }
    // SAFETY: the caller's promise.
    let host = unsafe { capture::text(host, HOST_CAP) };
    emit::after(
        call,
        0,
        &DnsReverse { addr: Ip(gathered.answers().0), host, began_ns: Hidden(call.began_ns) },
    );
}

/// getaddrinfo_a(3): names that are looked up in the background; the addresses found, and how long that took,
/// are not seen.
///
/// # Safety
/// `list` is the call's, of `count` pointers, each null or to a `struct gaicb`, which begins with the name.
pub unsafe fn asked_later(call: Call, list: *const *const *const c_char, count: c_int) {
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller's promise.
        let host = unsafe { (*list.add(index)).as_ref().and_then(|host| capture::text(*host, HOST_CAP)) };
        if host.is_some() {
            emit::after(call, 0, &query(Call { began_ns: 0, ..call }, host, Gathered::new().answers()));
        }
    }
}

fn query<'a>(call: Call, host: Option<&'a [u8]>, answers: Answers<'a>) -> DnsQuery<'a> {
    DnsQuery { host, answers, began_ns: Hidden(call.began_ns) }
}

/// # Safety
/// `len` bytes are there, or none.
unsafe fn bytes<'a>(place: *const u8, len: c_int) -> &'a [u8] {
    match usize::try_from(len) {
        // SAFETY: the caller's promise.
        Ok(len) if !place.is_null() => unsafe { core::slice::from_raw_parts(place, len) },
        _ => &[],
    }
}

/// # Safety
/// The call wrote its answer there, as far as there was room.
unsafe fn answered<'a>(call: Call, answer: *const u8, room: c_int) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { bytes(answer, room.min(call.outcome.ret as c_int)) }
}

fn report_query(call: Call, host: Option<&[u8]>, answer: &[u8]) {
    let mut found = Gathered::new();
    addresses(answer, &mut found);
    let outcome = Outcome { errno: 0, ..call.outcome };
    emit::after(Call { outcome, ..call }, 0, &query(call, host, found.answers()));
}

/// A message without its length, which comes before it in a stream (RFC 1035, section 4.2.2).
fn without_length(message: &[u8]) -> &[u8] {
    match message.split_first_chunk() {
        Some((prefix, rest)) if usize::from(u16::from_be_bytes(*prefix)) == rest.len() => rest,
        _ => message,
    }
}

/// The two bytes at `at` as a number.
fn number(message: &[u8], at: usize) -> Option<usize> {
    let pair = message.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_be_bytes(*pair)))
}

/// The name that a standard query asks for, as text; `None` for any other message.
fn question<'n>(message: &[u8], name: &'n mut [u8; NAME_CAP]) -> Option<&'n [u8]> {
    /// Answer, and kind of query.
    const ANSWER_OR_OTHER: usize = 0xf800;
    if number(message, 2)? & ANSWER_OR_OTHER != 0 || number(message, 4)? != 1 {
        return None;
    }
    let (mut at, mut len) = (HEADER, 0);
    loop {
        let label_len = usize::from(*message.get(at)?);
        if label_len == 0 {
            break;
        }
        let label = message.get(at + 1..at + 1 + label_len)?;
        // A query's own name is never abbreviated: two top bits say so.
        if label_len > 63 {
            return None;
        }
        name.get_mut(len..len + label_len)?.copy_from_slice(label);
        *name.get_mut(len + label_len)? = b'.';
        (at, len) = (at + 1 + label_len, len + label_len + 1);
    }
    // Type and class follow. For the root's name nothing is left: its only character is the dot that is cut
    // off.
    number(message, at + 3)?;
    name.get(..len.saturating_sub(1))
}

/// Gathers the addresses among the answers of a message.
fn addresses(message: &[u8], found: &mut Gathered) -> Option<()> {
    let mut at = HEADER;
    for _ in 0..number(message, 4)? {
        at = after_name(message, at)? + 4;
    }
    for _ in 0..number(message, 6)? {
        at = after_name(message, at)?;
        let (kind, len) = (number(message, at)?, number(message, at + 8)?);
        let content = message.get(at + 10..at + 10 + len)?;
        match (kind, len) {
            (1, 4) => found.add_bytes(libc::AF_INET, content),
            (28, 16) => found.add_bytes(libc::AF_INET6, content),
            _ => {}
        }
        at += 10 + len;
    }
    Some(())
}

/// The place after the name that begins at `at`. A name ends with an empty label, or with a pointer to its
/// rest.
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some(at + 1),
            len if len > 63 => return Some(at + 2),
            len => at += 1 + len,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01";
    const REPLY: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x03www\x07example\0\0\x01\0\x01\
        \xc0\x0c\0\x05\0\x01\0\0\0\0\0\x02\xc0\x10\
        \xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\xc0\0\x02\x07";

    fn asks(message: &[u8]) -> Option<Vec<u8>> {
        question(message, &mut [0; NAME_CAP]).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_query_asks_for_its_name_and_nothing_else_does() {
        assert_eq!(Some(b"www.example".to_vec()), asks(QUERY));
        assert_eq!(Some(b"".to_vec()), asks(b"\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01"));
        assert_eq!(None, asks(REPLY), "an answer");
        assert_eq!(None, asks(b"\x12\x34\x28\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01"), "an update");
    }

    #[test]
    fn a_message_that_was_cut_anywhere_is_read_no_further() {
        for len in 0..QUERY.len() {
            assert_eq!(None, asks(&QUERY[..len]), "{len}");
        }
        for len in 0..REPLY.len() {
            assert_eq!(None, addresses(&REPLY[..len], &mut Gathered::new()), "{len}");
        }
    }

    #[test]
    fn a_message_in_a_stream_begins_behind_its_length() {
        let stream = [&(QUERY.len() as u16).to_be_bytes(), QUERY].concat();

        assert_eq!(QUERY, without_length(&stream));
        assert_eq!(QUERY, without_length(QUERY));
    }

    #[test]
    fn an_answer_gives_its_addresses() {
        let mut found = Gathered::new();

        assert_eq!(Some(()), addresses(REPLY, &mut found));
        assert_eq!(b"\x04\xc0\0\x02\x07", found.answers().0);
    }
}
