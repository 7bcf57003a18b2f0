//! A process's view of the system: unshare(2), setns(2), chroot(2), mount(2).

crate::hooks! { family namespace = 14;
    /// setns(2): enters a namespace, or those of a process.
    unsafe fn setns(fd: c_int, kind: c_int) -> c_int;
    symbols: "setns";
    told: fd, kind;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::view_changed(call, b"setns", open_as(fd), kind as u32 as u64, null());

    /// unshare(2): leaves what it shares with others.
    unsafe fn unshare(flags: c_int) -> c_int;
    symbols: "unshare";
    told: flags;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::view_changed(call, b"unshare", NOWHERE, flags as u32 as u64, null());

    /// chroot(2): another root directory.
    unsafe fn chroot(path: *const c_char) -> c_int;
    symbols: "chroot";
    told: path;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::view_changed(call, b"chroot", here(path), 0, null());

    /// pivot_root(2): another root mount.
    unsafe fn pivot_root(new: *const c_char, old: *const c_char) -> c_int;
    symbols: "pivot_root";
    told: new, old;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::view_changed(call, b"pivot_root", here(new), 0, old);

    /// mount(2): a file system is attached or changed.
    unsafe fn mount(source: *const c_char, target: *const c_char, kind: *const c_char, flags: u64, options: *const c_void) -> c_int;
    symbols: "mount";
    told: source, target, kind, flags;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::mounted(call, b"mount", here(target), flags, source, kind);

    /// umount(2): a file system is detached.
    unsafe fn umount(target: *const c_char) -> c_int;
    symbols: "umount";
    told: target;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::view_changed(call, b"umount", here(target), 0, null());

    /// umount2(2): umount with flags.
    unsafe fn umount2(target: *const c_char, flags: c_int) -> c_int;
    symbols: "umount2";
    told: target, flags;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::view_changed(call, b"umount", here(target), flags as u32 as u64, null());
}
