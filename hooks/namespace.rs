//! A process's view of the system: unshare(2), setns(2), chroot(2), mount(2), fsopen(2).

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

    /// fsopen(2): a mount is begun, of a type of file system.
    unsafe fn fsopen(kind: *const c_char, flags: c_uint) -> c_int;
    symbols: "fsopen";
    told: kind, flags;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, fd| { fds::made(call, fd, b"anon_inode:[fscontext]", flags & 1 != 0); identity::mounted(call, b"fsopen", NOWHERE, flags.into(), null(), kind) };

    /// fspick(2): a mount is to be changed.
    unsafe fn fspick(dir: c_int, path: *const c_char, flags: c_uint) -> c_int;
    symbols: "fspick";
    told: dir, path, flags;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, fd| { fds::made(call, fd, b"anon_inode:[fscontext]", flags & 1 != 0); identity::mounted(call, b"fspick", at(dir, path), flags.into(), null(), null()) };

    /// fsconfig(2): a mount that was begun gets its source.
    unsafe fn fsconfig(fd: c_int, command: c_uint, key: *const c_char, value: *const c_void, number: c_int) -> c_int;
    symbols: "fsconfig";
    told: command "FSCONFIG_SET_STRING of the key source alone", key "as command", value "as command";
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::mount_configured(call, command, key, value.cast());

    /// fsmount(2): a mount that was begun is made, attached nowhere.
    unsafe fn fsmount(fd: c_int, flags: c_uint, attributes: c_uint) -> c_int;
    symbols: "fsmount";
    told: flags, attributes;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _fd| identity::mount_changed(call, b"fsmount", NOWHERE, flags.into(), Some(attributes.into()));

    /// open_tree(2): a mount is opened, or a copy of it made, attached nowhere.
    unsafe fn open_tree(dir: c_int, path: *const c_char, flags: c_uint) -> c_int;
    symbols: "open_tree";
    told: dir, path, flags;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _fd| identity::mounted(call, b"open_tree", at(dir, path), flags.into(), null(), null());

    /// move_mount(2): a mount is attached, or moved.
    unsafe fn move_mount(from: c_int, source: *const c_char, dir: c_int, path: *const c_char, flags: c_uint) -> c_int;
    symbols: "move_mount";
    told: source, dir, path, flags;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::mounted(call, b"move_mount", at(dir, path), flags.into(), source, null());

    /// mount_setattr(2): the attributes of a mount change.
    unsafe fn mount_setattr(dir: c_int, path: *const c_char, flags: c_uint, attributes: *const c_void, size: usize) -> c_int;
    symbols: "mount_setattr";
    told: dir, path, flags, attributes "those that are set", size;
    fails: MinusOne;
    event: ProcessNamespace;
    after |call, _ret| identity::mount_changed(call, b"mount_setattr", at(dir, path), flags.into(), identity::mount_attributes(call, attributes.cast(), size));
}
