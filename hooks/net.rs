//! Sockets: socket(2), bind(2), listen(2), connect(2), accept(2).

crate::hooks! { family net = 4;
    /// socket(2): makes a socket.
    unsafe fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    symbols: "socket";
    told: family, kind, protocol;
    fails: MinusOne;
    event: NetSocket;
    after |call, _fd| net::socket_made(call, family, kind, protocol);

    /// bind(2): gives a socket a local address.
    unsafe fn bind(fd: c_int, address: *const c_void, len: u32) -> c_int;
    symbols: "bind";
    told: fd, address, len;
    fails: MinusOne;
    event: NetBind;
    after |call, _ret| net::bound(call, fd, address, len);

    /// listen(2): waits for connections.
    unsafe fn listen(fd: c_int, backlog: c_int) -> c_int;
    symbols: "listen";
    told: fd, backlog;
    fails: MinusOne;
    event: NetListen;
    after |call, _ret| net::listening(call, fd, backlog);

    /// connect(2): `EINPROGRESS` on a non-blocking socket is pending, not failed.
    unsafe fn connect(fd: c_int, address: *const c_void, len: u32) -> c_int;
    symbols: "connect";
    told: fd, address, len;
    fails: MinusOne;
    event: NetConnect;
    timed |call, _ret| net::connected(call, fd, address, len);

    /// accept(2): takes a connection. One that finds none waiting (`EAGAIN`) is counted, not reported.
    unsafe fn accept(fd: c_int, address: *mut c_void, len: *mut u32) -> c_int;
    symbols: "accept";
    told: fd, address, len;
    fails: MinusOne;
    event: NetAccept;
    instead |row, real| net::accept(row, fd, address, len, || real(fd, address, len));

    /// accept4(2): accept with flags.
    unsafe fn accept4(fd: c_int, address: *mut c_void, len: *mut u32, flags: c_int) -> c_int;
    symbols: "accept4";
    told: fd, address, len;
    fails: MinusOne;
    event: NetAccept;
    instead |row, real| net::accept(row, fd, address, len, || real(fd, address, len, flags));

    /// getsockopt(2): `SO_ERROR` says what became of a connect that was under way.
    unsafe fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut u32) -> c_int;
    symbols: "getsockopt";
    told: fd, level "SOL_SOCKET", name "SO_ERROR", value;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| connects::asked(call, fd, level, name, value, len);
}
