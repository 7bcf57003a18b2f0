//! Waiting for descriptors: poll(2), select(2), epoll_wait(2). A connect that was under way is reported when
//! it is over.

crate::hooks! { family wait = 17;
    /// poll(2).
    unsafe fn poll(list: *mut c_void, count: u64, timeout: c_int) -> c_int;
    symbols: "poll";
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);

    /// poll(2) as `_FORTIFY_SOURCE` calls it.
    unsafe fn __poll_chk(list: *mut c_void, count: u64, timeout: c_int, room: usize) -> c_int;
    symbols: "__poll_chk" as poll;
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);

    /// ppoll(2): poll with other signals blocked.
    unsafe fn ppoll(list: *mut c_void, count: u64, timeout: *const c_void, mask: *const c_void) -> c_int;
    symbols: "ppoll";
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);

    /// ppoll(2) as `_FORTIFY_SOURCE` calls it.
    unsafe fn __ppoll_chk(list: *mut c_void, count: u64, timeout: *const c_void, mask: *const c_void, room: usize) -> c_int;
    symbols: "__ppoll_chk" as ppoll;
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);

    /// select(2).
    unsafe fn select(count: c_int, read: *mut c_void, write: *mut c_void, except: *mut c_void, timeout: *mut c_void) -> c_int;
    symbols: "select";
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);

    /// pselect(2): select with other signals blocked.
    unsafe fn pselect(count: c_int, read: *mut c_void, write: *mut c_void, except: *mut c_void, timeout: *const c_void, mask: *const c_void) -> c_int;
    symbols: "pselect";
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);

    /// epoll_wait(2).
    unsafe fn epoll_wait(set: c_int, events: *mut c_void, room: c_int, timeout: c_int) -> c_int;
    symbols: "epoll_wait";
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);

    /// epoll_pwait(2): epoll_wait with other signals blocked.
    unsafe fn epoll_pwait(set: c_int, events: *mut c_void, room: c_int, timeout: c_int, mask: *const c_void) -> c_int;
    symbols: "epoll_pwait";
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);

    /// epoll_pwait2(2): epoll_pwait to the nanosecond.
    unsafe fn epoll_pwait2(set: c_int, events: *mut c_void, room: c_int, timeout: *const c_void, mask: *const c_void) -> c_int;
    symbols: "epoll_pwait2";
    told: ;
    fails: MinusOne;
    event: NetConnected;
    after |call, _ret| uring::waited(call);
}
