//! Identity: setuid(2), setgroups(2), capset(2).

crate::hooks! { family credentials = 11;
    /// setuid(2): the effective user id; all three for a privileged process.
    unsafe fn setuid(uid: uid_t) -> c_int;
    symbols: "setuid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"uid", &[uid]);

    /// setgid(2): the effective group id; all three for a privileged process.
    unsafe fn setgid(gid: gid_t) -> c_int;
    symbols: "setgid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"gid", &[gid]);

    /// seteuid(2): the effective user id.
    unsafe fn seteuid(uid: uid_t) -> c_int;
    symbols: "seteuid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"euid", &[uid]);

    /// setegid(2): the effective group id.
    unsafe fn setegid(gid: gid_t) -> c_int;
    symbols: "setegid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"egid", &[gid]);

    /// setreuid(2): the real and the effective user id.
    unsafe fn setreuid(real_uid: uid_t, effective: uid_t) -> c_int;
    symbols: "setreuid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"reuid", &[real_uid, effective]);

    /// setregid(2): the real and the effective group id.
    unsafe fn setregid(real_gid: gid_t, effective: gid_t) -> c_int;
    symbols: "setregid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"regid", &[real_gid, effective]);

    /// setresuid(2): the real, effective and saved user id.
    unsafe fn setresuid(real_uid: uid_t, effective: uid_t, saved: uid_t) -> c_int;
    symbols: "setresuid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"resuid", &[real_uid, effective, saved]);

    /// setresgid(2): the real, effective and saved group id.
    unsafe fn setresgid(real_gid: gid_t, effective: gid_t, saved: gid_t) -> c_int;
    symbols: "setresgid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"resgid", &[real_gid, effective, saved]);

    /// setfsuid(2): the user id that files are opened under. Never fails; returns the former one.
    unsafe fn setfsuid(uid: uid_t) -> c_int;
    symbols: "setfsuid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"fsuid", &[uid]);

    /// setfsgid(2): the group id that files are opened under. Never fails; returns the former one.
    unsafe fn setfsgid(gid: gid_t) -> c_int;
    symbols: "setfsgid";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"fsgid", &[gid]);

    /// setgroups(2): the supplementary groups.
    unsafe fn setgroups(count: usize, groups: *const gid_t) -> c_int;
    symbols: "setgroups";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::groups_set(call, count, groups);

    /// initgroups(3): the supplementary groups of a user, and one more; only that one is reported.
    unsafe fn initgroups(user: *const c_char, group: gid_t) -> c_int;
    symbols: "initgroups";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| { let _ = user; identity::ids_set(call, b"groups", &[group]) };

    /// capset(2): the capabilities.
    unsafe fn capset(header: *mut u32, sets: *const [u32; 3]) -> c_int;
    symbols: "capset";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::capabilities_set(call, header, sets);
}
