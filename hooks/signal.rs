//! Signals sent: kill(2), tgkill(2), pidfd_send_signal(2).

crate::hooks! { family signal = 12;
    /// kill(2): a signal to a process, a group, or all. One that may reach the caller is reported before the
    /// call.
    unsafe fn kill(target: pid_t, signal: c_int) -> c_int;
    symbols: "kill";
    told: target, signal;
    fails: MinusOne;
    event: ProcessSignal;
    instead |row, real| identity::signalled::<MinusOne>(row, target, signal, identity::is_us(target), || real(target, signal));

    /// killpg(3): a signal to a process group; its number is reported negative.
    unsafe fn killpg(group: pid_t, signal: c_int) -> c_int;
    symbols: "killpg";
    told: group, signal;
    fails: MinusOne;
    event: ProcessSignal;
    instead |row, real| identity::signalled::<MinusOne>(row, group.wrapping_neg(), signal, true, || real(group, signal));

    /// tgkill(2): a signal to a thread of a process, which is the reported target.
    unsafe fn tgkill(target: pid_t, thread: pid_t, signal: c_int) -> c_int;
    symbols: "tgkill";
    told: target, signal;
    fails: MinusOne;
    event: ProcessSignal;
    instead |row, real| identity::signalled::<MinusOne>(row, target, signal, identity::is_us(target), || real(target, thread, signal));

    /// raise(3): a signal to the caller.
    unsafe fn raise(signal: c_int) -> c_int;
    symbols: "raise";
    told: signal;
    fails: MinusOne;
    event: ProcessSignal;
    instead |row, real| identity::signalled::<MinusOne>(row, identity::ourselves(), signal, true, || real(signal));

    /// pthread_kill(3): a signal to a thread of the caller's process.
    unsafe fn pthread_kill(thread: usize, signal: c_int) -> c_int;
    symbols: "pthread_kill";
    told: signal;
    fails: ErrorNumber;
    event: ProcessSignal;
    instead |row, real| identity::signalled::<ErrorNumber>(row, identity::ourselves(), signal, true, || real(thread, signal));

    /// pthread_sigqueue(3): pthread_kill with a value.
    unsafe fn pthread_sigqueue(thread: usize, signal: c_int, value: usize) -> c_int;
    symbols: "pthread_sigqueue";
    told: signal;
    fails: ErrorNumber;
    event: ProcessSignal;
    instead |row, real| identity::signalled::<ErrorNumber>(row, identity::ourselves(), signal, true, || real(thread, signal, value));

    /// sigqueue(3): kill with a value.
    unsafe fn sigqueue(target: pid_t, signal: c_int, value: usize) -> c_int;
    symbols: "sigqueue";
    told: target, signal;
    fails: MinusOne;
    event: ProcessSignal;
    instead |row, real| identity::signalled::<MinusOne>(row, target, signal, identity::is_us(target), || real(target, signal, value));

    /// pidfd_send_signal(2): a signal to the process that a descriptor stands for.
    unsafe fn pidfd_send_signal(pidfd: c_int, signal: c_int, info: *const c_void, flags: c_uint) -> c_int;
    symbols: "pidfd_send_signal";
    told: pidfd, signal;
    fails: MinusOne;
    event: ProcessSignal;
    after |call, _ret| identity::signalled_by_descriptor(call, pidfd, signal);

    /// pidfd_open(2): a descriptor for a process; the collector keeps it.
    unsafe fn pidfd_open(target: pid_t, flags: c_uint) -> c_int;
    symbols: "pidfd_open";
    told: target;
    fails: MinusOne;
    event: ;
    after |call, _ret| identity::process_opened(call, target);

    names: tkill "thread, signal";
}
