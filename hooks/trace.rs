//! Other processes inspected: ptrace(2), process_vm_readv(2).

crate::hooks! { family trace = 13;
    /// ptrace(2): watches and changes another process.
    unsafe fn ptrace(request: c_int, target: pid_t, address: usize, value: usize, value2: usize) -> c_long;
    symbols: "ptrace";
    told: request, target;
    fails: MinusOne;
    event: ProcessTrace;
    after |call, _ret| identity::traced(call, request.into(), target);

    /// process_vm_readv(2): reads another process's memory.
    unsafe fn process_vm_readv(target: pid_t, local: *const c_void, local_count: usize, remote: *const c_void, remote_count: usize, flags: usize) -> isize;
    symbols: "process_vm_readv";
    told: target;
    fails: MinusOne;
    event: ProcessTrace;
    after |call, _ret| identity::traced(call, Trace::READ, target);

    /// process_vm_writev(2): writes another process's memory.
    unsafe fn process_vm_writev(target: pid_t, local: *const c_void, local_count: usize, remote: *const c_void, remote_count: usize, flags: usize) -> isize;
    symbols: "process_vm_writev";
    told: target;
    fails: MinusOne;
    event: ProcessTrace;
    after |call, _ret| identity::traced(call, Trace::WRITE, target);
}
