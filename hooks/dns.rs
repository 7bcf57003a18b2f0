//! Names resolved: getaddrinfo(3), gethostbyname(3).

crate::hooks! { family dns = 5;
    /// getaddrinfo(3): the addresses of a name.
    unsafe fn getaddrinfo(host: *const c_char, service: *const c_char, hints: *const addrinfo, list: *mut *mut addrinfo) -> c_int;
    symbols: "getaddrinfo";
    fails: Eai;
    event: DnsQuery;
    after |call, _ret| net::resolved(call, host, list);

    /// gethostbyname(3): the addresses of a name, the old way.
    unsafe fn gethostbyname(host: *const c_char) -> *mut hostent;
    symbols: "gethostbyname";
    fails: Null;
    event: DnsQuery;
    after |call, entry| net::looked_up(call, host, entry);

    /// gethostbyname2(3): of one family.
    unsafe fn gethostbyname2(host: *const c_char, family: c_int) -> *mut hostent;
    symbols: "gethostbyname2";
    fails: Null;
    event: DnsQuery;
    after |call, entry| net::looked_up(call, host, entry);

    /// gethostbyname_r(3): into the caller's buffer.
    unsafe fn gethostbyname_r(host: *const c_char, entry: *mut hostent, buffer: *mut c_char, len: usize, result: *mut *mut hostent, error: *mut c_int) -> c_int;
    symbols: "gethostbyname_r";
    fails: ErrorNumber;
    event: DnsQuery;
    after |call, _ret| net::looked_up(call, host, net::found(call, result));

    /// gethostbyname2_r(3): of one family, into the caller's buffer.
    unsafe fn gethostbyname2_r(host: *const c_char, family: c_int, entry: *mut hostent, buffer: *mut c_char, len: usize, result: *mut *mut hostent, error: *mut c_int) -> c_int;
    symbols: "gethostbyname2_r";
    fails: ErrorNumber;
    event: DnsQuery;
    after |call, _ret| net::looked_up(call, host, net::found(call, result));
}
