//! Names resolved: getaddrinfo(3), gethostbyname(3), resolver(3).

crate::hooks! { family dns = 5;
    /// getaddrinfo(3): the addresses of a name.
    unsafe fn getaddrinfo(host: *const c_char, service: *const c_char, hints: *const addrinfo, list: *mut *mut addrinfo) -> c_int;
    symbols: "getaddrinfo";
    told: host, list;
    fails: Eai;
    event: DnsQuery;
    timed |call, _ret| dns::resolved(call, host, list);

    /// gethostbyname(3): the addresses of a name, the old way.
    unsafe fn gethostbyname(host: *const c_char) -> *mut hostent;
    symbols: "gethostbyname";
    told: host;
    fails: Null;
    event: DnsQuery;
    timed |call, entry| dns::looked_up(call, host, entry);

    /// gethostbyname2(3): of one family.
    unsafe fn gethostbyname2(host: *const c_char, family: c_int) -> *mut hostent;
    symbols: "gethostbyname2";
    told: host;
    fails: Null;
    event: DnsQuery;
    timed |call, entry| dns::looked_up(call, host, entry);

    /// gethostbyname_r(3): into the caller's buffer.
    unsafe fn gethostbyname_r(host: *const c_char, entry: *mut hostent, buffer: *mut c_char, len: usize, result: *mut *mut hostent, error: *mut c_int) -> c_int;
    symbols: "gethostbyname_r";
    told: host, result;
    fails: ErrorNumber;
    event: DnsQuery;
    timed |call, _ret| dns::looked_up(call, host, dns::found(call, result));

    /// gethostbyname2_r(3): of one family, into the caller's buffer.
    unsafe fn gethostbyname2_r(host: *const c_char, family: c_int, entry: *mut hostent, buffer: *mut c_char, len: usize, result: *mut *mut hostent, error: *mut c_int) -> c_int;
    symbols: "gethostbyname2_r";
    told: host, result;
    fails: ErrorNumber;
    event: DnsQuery;
    timed_alone |call, _ret| dns::looked_up(call, host, dns::found(call, result));

    /// getaddrinfo_a(3): several names at once, or later; the addresses are not reported.
    unsafe fn getaddrinfo_a(mode: c_int, list: *const *const *const c_char, count: c_int, event: *mut c_void) -> c_int;
    symbols: "getaddrinfo_a";
    told: list "names", count;
    fails: Eai;
    event: DnsQuery;
    timed |call, _ret| dns::asked_later(call, list, count);

    /// resolver(3): the records of a name.
    unsafe fn res_query(host: *const c_char, class: c_int, kind: c_int, answer: *mut u8, room: c_int) -> c_int;
    symbols: "res_query";
    told: host, answer, room;
    fails: MinusOne;
    event: DnsQuery;
    timed |call, _len| dns::asked(call, host, answer, room);

    /// res_query (resolver(3)), with a state of its own.
    unsafe fn res_nquery(state: *mut c_void, host: *const c_char, class: c_int, kind: c_int, answer: *mut u8, room: c_int) -> c_int;
    symbols: "res_nquery";
    told: host, answer, room;
    fails: MinusOne;
    event: DnsQuery;
    timed |call, _len| dns::asked(call, host, answer, room);

    /// resolver(3): the records of a name, searched for in the local domains; reported as the caller gave it.
    unsafe fn res_search(host: *const c_char, class: c_int, kind: c_int, answer: *mut u8, room: c_int) -> c_int;
    symbols: "res_search";
    told: host, answer, room;
    fails: MinusOne;
    event: DnsQuery;
    timed |call, _len| dns::asked(call, host, answer, room);

    /// res_search (resolver(3)), with a state of its own.
    unsafe fn res_nsearch(state: *mut c_void, host: *const c_char, class: c_int, kind: c_int, answer: *mut u8, room: c_int) -> c_int;
    symbols: "res_nsearch";
    told: host, answer, room;
    fails: MinusOne;
    event: DnsQuery;
    timed |call, _len| dns::asked(call, host, answer, room);

    /// resolver(3): the records of a name in a domain; the name is reported.
    unsafe fn res_querydomain(host: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, room: c_int) -> c_int;
    symbols: "res_querydomain";
    told: host, answer, room;
    fails: MinusOne;
    event: DnsQuery;
    timed |call, _len| dns::asked(call, host, answer, room);

    /// res_querydomain (resolver(3)), with a state of its own.
    unsafe fn res_nquerydomain(state: *mut c_void, host: *const c_char, domain: *const c_char, class: c_int, kind: c_int, answer: *mut u8, room: c_int) -> c_int;
    symbols: "res_nquerydomain";
    told: host, answer, room;
    fails: MinusOne;
    event: DnsQuery;
    timed_alone |call, _len| dns::asked(call, host, answer, room);

    /// resolver(3): a query that the program made.
    unsafe fn res_send(query: *const u8, len: c_int, answer: *mut u8, room: c_int) -> c_int;
    symbols: "res_send";
    told: query "its name", len, answer, room;
    fails: MinusOne;
    event: DnsQuery;
    timed |call, _len| dns::exchanged(call, query, len, answer, room);

    /// res_send (resolver(3)), with a state of its own.
    unsafe fn res_nsend(state: *mut c_void, query: *const u8, len: c_int, answer: *mut u8, room: c_int) -> c_int;
    symbols: "res_nsend";
    told: query "its name", len, answer, room;
    fails: MinusOne;
    event: DnsQuery;
    timed |call, _len| dns::exchanged(call, query, len, answer, room);

    /// getnameinfo(3): the name of a socket's address.
    unsafe fn getnameinfo(address: *const u8, len: u32, host: *mut c_char, host_len: u32, service: *mut c_char, service_len: u32, flags: c_int) -> c_int;
    symbols: "getnameinfo";
    told: address "without the port", len, host, flags "NI_NUMERICHOST alone";
    fails: Eai;
    event: DnsReverse;
    timed_alone |call, _ret| dns::named(call, address, len, host, flags);

    /// gethostbyaddr(3): the name of an address, the old way.
    unsafe fn gethostbyaddr(address: *const u8, len: u32, family: c_int) -> *mut hostent;
    symbols: "gethostbyaddr";
    told: address, len, family;
    fails: Null;
    event: DnsReverse;
    timed |call, entry| dns::named_old(call, address, len, family, entry);

    /// gethostbyaddr_r(3): into the caller's buffer.
    unsafe fn gethostbyaddr_r(address: *const u8, len: u32, family: c_int, entry: *mut hostent, buffer: *mut c_char, room: usize, result: *mut *mut hostent, error: *mut c_int) -> c_int;
    symbols: "gethostbyaddr_r";
    told: address, len, family, result;
    fails: ErrorNumber;
    event: DnsReverse;
    timed_alone |call, _ret| dns::named_old(call, address, len, family, dns::found(call, result));
}
