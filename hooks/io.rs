//! Bytes through descriptors: read(2), write(2), send(2), recv(2) and their kin. Counted, not reported one by
//! one; but the first that is tried after a connect that was under way shows what became of it.

crate::hooks! { family io = 3;
    /// read(2).
    unsafe fn read(fd: c_int, buffer: *mut c_void, len: usize) -> isize;
    symbols: "read";
    told: fd;
    fails: MinusOne;
    event: ;
    after_alone |call, _n| connects::moved_often(call, fd, call.outcome.ret, Way::In);

    /// read(2) as `_FORTIFY_SOURCE` calls it.
    unsafe fn __read_chk(fd: c_int, buffer: *mut c_void, len: usize, room: usize) -> isize;
    symbols: "__read_chk" as read;
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| connects::moved(call, fd, call.outcome.ret, Way::In);

    /// pread(2).
    unsafe fn pread(fd: c_int, buffer: *mut c_void, len: usize, offset: i64) -> isize;
    symbols: "pread", "pread64";
    told: fd;
    fails: MinusOne;
    event: ;
    after_alone |call, _n| emit::count_often(fd, call.outcome.ret, Way::In);

    /// pread(2) as `_FORTIFY_SOURCE` calls it.
    unsafe fn __pread_chk(fd: c_int, buffer: *mut c_void, len: usize, offset: i64, room: usize) -> isize;
    symbols: "__pread_chk", "__pread64_chk" as pread;
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| emit::count(fd, call.outcome.ret, Way::In);

    /// readv(2).
    unsafe fn readv(fd: c_int, parts: *const c_void, count: c_int) -> isize;
    symbols: "readv";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| connects::moved(call, fd, call.outcome.ret, Way::In);

    /// preadv(2).
    unsafe fn preadv(fd: c_int, parts: *const c_void, count: c_int, offset: i64) -> isize;
    symbols: "preadv", "preadv64";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| emit::count(fd, call.outcome.ret, Way::In);

    /// preadv2(2).
    unsafe fn preadv2(fd: c_int, parts: *const c_void, count: c_int, offset: i64, flags: c_int) -> isize;
    symbols: "preadv2", "preadv64v2";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| emit::count(fd, call.outcome.ret, Way::In);

    /// write(2).
    unsafe fn write(fd: c_int, buffer: *const c_void, len: usize) -> isize;
    symbols: "write";
    told: fd;
    fails: MinusOne;
    event: ;
    after_alone |call, _n| connects::moved_often(call, fd, call.outcome.ret, Way::Out);

    /// pwrite(2).
    unsafe fn pwrite(fd: c_int, buffer: *const c_void, len: usize, offset: i64) -> isize;
    symbols: "pwrite", "pwrite64";
    told: fd;
    fails: MinusOne;
    event: ;
    after_alone |call, _n| emit::count_often(fd, call.outcome.ret, Way::Out);

    /// writev(2).
    unsafe fn writev(fd: c_int, parts: *const c_void, count: c_int) -> isize;
    symbols: "writev";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| connects::moved(call, fd, call.outcome.ret, Way::Out);

    /// pwritev(2).
    unsafe fn pwritev(fd: c_int, parts: *const c_void, count: c_int, offset: i64) -> isize;
    symbols: "pwritev", "pwritev64";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| emit::count(fd, call.outcome.ret, Way::Out);

    /// pwritev2(2).
    unsafe fn pwritev2(fd: c_int, parts: *const c_void, count: c_int, offset: i64, flags: c_int) -> isize;
    symbols: "pwritev2", "pwritev64v2";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| emit::count(fd, call.outcome.ret, Way::Out);

    /// send(2); a query to a name server is reported.
    unsafe fn send(fd: c_int, buffer: *const c_void, len: usize, flags: c_int) -> isize;
    symbols: "send";
    told: fd, buffer "queries to name servers";
    fails: MinusOne;
    event: NetConnected, DnsQuery;
    after |call, _n| net::sent(call, fd, (buffer, len), null(), 0);

    /// sendto(2): the first datagram to a peer is reported as a connection.
    unsafe fn sendto(fd: c_int, buffer: *const c_void, len: usize, flags: c_int, peer: *const c_void, peer_len: u32) -> isize;
    symbols: "sendto";
    told: fd, buffer "queries to name servers", peer, peer_len;
    fails: MinusOne;
    event: NetConnect, NetConnected, DnsQuery;
    after |call, _n| net::sent(call, fd, (buffer, len), peer, peer_len);

    /// sendmsg(2): as sendto.
    unsafe fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> isize;
    symbols: "sendmsg";
    told: fd, message "peer, queries to name servers";
    fails: MinusOne;
    event: NetConnect, NetConnected, DnsQuery;
    after |call, _n| net::message_sent(call, fd, message);

    /// sendmmsg(2): several messages.
    unsafe fn sendmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int;
    symbols: "sendmmsg";
    told: fd, messages "peers, queries to name servers", count;
    fails: MinusOne;
    event: NetConnect, NetConnected, DnsQuery;
    after |call, _n| net::messages_moved(call, fd, messages, flags, Way::Out);

    /// recv(2). Bytes that are only looked at (MSG_PEEK) are not counted.
    unsafe fn recv(fd: c_int, buffer: *mut c_void, len: usize, flags: c_int) -> isize;
    symbols: "recv";
    told: fd, flags "MSG_PEEK alone";
    fails: MinusOne;
    event: ;
    after_alone |call, _n| connects::moved_often(call, fd, unpeeked(call, flags), Way::In);

    /// recv(2) as `_FORTIFY_SOURCE` calls it.
    unsafe fn __recv_chk(fd: c_int, buffer: *mut c_void, len: usize, room: usize, flags: c_int) -> isize;
    symbols: "__recv_chk" as recv;
    told: fd, flags "MSG_PEEK alone";
    fails: MinusOne;
    event: ;
    after |call, _n| connects::moved(call, fd, unpeeked(call, flags), Way::In);

    /// recvfrom(2).
    unsafe fn recvfrom(fd: c_int, buffer: *mut c_void, len: usize, flags: c_int, peer: *mut c_void, peer_len: *mut u32) -> isize;
    symbols: "recvfrom";
    told: fd, flags "MSG_PEEK alone";
    fails: MinusOne;
    event: ;
    after |call, _n| connects::moved(call, fd, unpeeked(call, flags), Way::In);

    /// recvfrom(2) as `_FORTIFY_SOURCE` calls it.
    unsafe fn __recvfrom_chk(fd: c_int, buffer: *mut c_void, len: usize, room: usize, flags: c_int, peer: *mut c_void, peer_len: *mut u32) -> isize;
    symbols: "__recvfrom_chk" as recvfrom;
    told: fd, flags "MSG_PEEK alone";
    fails: MinusOne;
    event: ;
    after_alone |call, _n| connects::moved(call, fd, unpeeked(call, flags), Way::In);

    /// recvmsg(2); descriptors that come with the message become known to the collector.
    unsafe fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> isize;
    symbols: "recvmsg";
    told: fd, message "descriptors", flags "MSG_PEEK, MSG_CMSG_CLOEXEC";
    fails: MinusOne;
    event: ;
    after |call, _n| net::message_received(call, fd, message, flags);

    /// recvmmsg(2): several messages.
    unsafe fn recvmmsg(fd: c_int, messages: *mut mmsghdr, count: c_uint, flags: c_int, timeout: *mut c_void) -> c_int;
    symbols: "recvmmsg";
    told: fd, messages "descriptors", count, flags "MSG_PEEK, MSG_CMSG_CLOEXEC";
    fails: MinusOne;
    event: ;
    after |call, _n| net::messages_moved(call, fd, messages, flags, Way::In);

    /// sendfile(2): from one descriptor to another; counted at both.
    unsafe fn sendfile(to: c_int, from: c_int, offset: *mut i64, len: usize) -> isize;
    symbols: "sendfile", "sendfile64";
    told: to, from;
    fails: MinusOne;
    event: ;
    after |call, _n| fds::moved(call, from, to);

    /// copy_file_range(2): from one file to another; counted at both.
    unsafe fn copy_file_range(from: c_int, from_offset: *mut i64, to: c_int, to_offset: *mut i64, len: usize, flags: c_uint) -> isize;
    symbols: "copy_file_range";
    told: from, to;
    fails: MinusOne;
    event: ;
    after |call, _n| fds::moved(call, from, to);

    /// splice(2): to or from a pipe; counted at both ends.
    unsafe fn splice(from: c_int, from_offset: *mut i64, to: c_int, to_offset: *mut i64, len: usize, flags: c_uint) -> isize;
    symbols: "splice";
    told: from, to;
    fails: MinusOne;
    event: ;
    after |call, _n| fds::moved(call, from, to);

    /// tee(2): from one pipe into another, without taking it out of the first.
    unsafe fn tee(from: c_int, to: c_int, len: usize, flags: c_uint) -> isize;
    symbols: "tee";
    told: to;
    fails: MinusOne;
    event: ;
    after |call, _n| emit::count(to, call.outcome.ret, Way::Out);

    /// vmsplice(2): pages into a pipe; out of one, it is counted as if they went in.
    unsafe fn vmsplice(fd: c_int, parts: *const c_void, count: usize, flags: c_uint) -> isize;
    symbols: "vmsplice";
    told: fd;
    fails: MinusOne;
    event: ;
    after |call, _n| emit::count(fd, call.outcome.ret, Way::Out);

    /// aio_return(3): how a read or write of aio_read(3), aio_write(3) or lio_listio(3) ended.
    unsafe fn aio_return(operation: *mut c_int) -> isize;
    symbols: "aio_return", "aio_return64";
    told: operation "descriptor and direction";
    fails: MinusOne;
    event: ;
    after |call, _n| fds::ended_later(call, operation);
}
