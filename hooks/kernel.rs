//! The kernel's own machinery: init_module(2), bpf(2), userfaultfd(2), io_uring_setup(2).

crate::hooks! { family kernel = 16;
    /// init_module(2): loads a kernel module from memory.
    unsafe fn init_module(image: *const c_void, len: usize, parameters: *const c_char) -> c_int;
    symbols: "init_module";
    told: ;
    fails: MinusOne;
    event: KernelModule;
    after |call, _ret| identity::module_changed(call, None, null());

    /// delete_module(2): removes a kernel module.
    unsafe fn delete_module(name: *const c_char, flags: c_uint) -> c_int;
    symbols: "delete_module";
    told: name;
    fails: MinusOne;
    event: KernelModule;
    after |call, _ret| identity::module_changed(call, None, name);

    /// io_uring_queue_init(3): makes a queue, by liburing.
    unsafe fn io_uring_queue_init(entries: c_uint, ring: *mut c_void, flags: c_uint) -> c_int;
    symbols: "io_uring_queue_init";
    told: entries;
    fails: NegativeErrno;
    event: KernelIoUring;
    instead |row, real| uring::initialised(row, entries, || real(entries, ring, flags));

    /// io_uring_queue_init_params(3): io_uring_queue_init with parameters.
    unsafe fn io_uring_queue_init_params(entries: c_uint, ring: *mut c_void, parameters: *mut c_void) -> c_int;
    symbols: "io_uring_queue_init_params";
    told: entries;
    fails: NegativeErrno;
    event: KernelIoUring;
    after |call, _ret| uring::made(call, entries);

    /// io_uring_submit(3): has the kernel carry out what the program asks.
    unsafe fn io_uring_submit(ring: *const uring::Library) -> c_int;
    symbols: "io_uring_submit";
    told: ring "opens, names, addresses; no transfers";
    fails: NegativeErrno;
    event: FileOpen, FileClose, FileUnlink, FileRmdir, FileMkdir, FileLink;
    instead |row, real| { uring::submitting(row, ring); real(ring) };

    /// io_uring_submit_and_wait(3): io_uring_submit that waits.
    unsafe fn io_uring_submit_and_wait(ring: *const uring::Library, count: c_uint) -> c_int;
    symbols: "io_uring_submit_and_wait";
    told: ring "as io_uring_submit";
    fails: NegativeErrno;
    event: FileOpen, FileClose, FileUnlink, FileRmdir, FileMkdir, FileLink;
    instead |row, real| { uring::submitting(row, ring); real(ring, count) };

    /// io_uring_submit_and_wait_timeout(3): io_uring_submit that waits for so long.
    unsafe fn io_uring_submit_and_wait_timeout(ring: *const uring::Library, completion: *mut c_void, count: c_uint, timeout: *const c_void, mask: *const c_void) -> c_int;
    symbols: "io_uring_submit_and_wait_timeout";
    told: ring "as io_uring_submit";
    fails: NegativeErrno;
    event: FileOpen, FileClose, FileUnlink, FileRmdir, FileMkdir, FileLink;
    instead |row, real| { uring::submitting(row, ring); real(ring, completion, count, timeout, mask) };

    /// io_uring_submit_and_get_events(3): io_uring_submit that takes what is complete.
    unsafe fn io_uring_submit_and_get_events(ring: *const uring::Library) -> c_int;
    symbols: "io_uring_submit_and_get_events";
    told: ring "as io_uring_submit";
    fails: NegativeErrno;
    event: FileOpen, FileClose, FileUnlink, FileRmdir, FileMkdir, FileLink;
    instead |row, real| { uring::submitting(row, ring); real(ring) };

    names: finit_module "fd", bpf "command", userfaultfd "flags", io_uring_setup "entries", io_uring_enter "what is asked";
}
