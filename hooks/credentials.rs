//! Identity: setuid(2), setgroups(2), capset(2).

crate::hooks! { family credentials = 11;
    /// setuid(2): the effective user id; all three for a privileged process.
    unsafe fn setuid(uid: uid_t) -> c_int;
    symbols: "setuid";
    told: uid;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"uid", &[uid]);

    /// setgid(2): the effective group id; all three for a privileged process.
    unsafe fn setgid(gid: gid_t) -> c_int;
    symbols: "setgid";
    told: gid;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"gid", &[gid]);

    /// seteuid(2): the effective user id.
    unsafe fn seteuid(uid: uid_t) -> c_int;
    symbols: "seteuid";
    told: uid;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"euid", &[uid]);

    /// setegid(2): the effective group id.
    unsafe fn setegid(gid: gid_t) -> c_int;
    symbols: "setegid";
    told: gid;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"egid", &[gid]);

    /// setreuid(2): the real and the effective user id.
    unsafe fn setreuid(real_uid: uid_t, effective: uid_t) -> c_int;
    symbols: "setreuid";
    told: real_uid, effective;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"reuid", &[real_uid, effective]);

    /// setregid(2): the real and the effective group id.
    unsafe fn setregid(real_gid: gid_t, effective: gid_t) -> c_int;
    symbols: "setregid";
    told: real_gid, effective;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"regid", &[real_gid, effective]);

    /// setresuid(2): the real, effective and saved user id.
    unsafe fn setresuid(real_uid: uid_t, effective: uid_t, saved: uid_t) -> c_int;
    symbols: "setresuid";
    told: real_uid, effective, saved;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"resuid", &[real_uid, effective, saved]);

    /// setresgid(2): the real, effective and saved group id.
    unsafe fn setresgid(real_gid: gid_t, effective: gid_t, saved: gid_t) -> c_int;
    symbols: "setresgid";
    told: real_gid, effective, saved;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"resgid", &[real_gid, effective, saved]);

    /// setfsuid(2): the user id that files are opened under. Never fails; returns the former one.
    unsafe fn setfsuid(uid: uid_t) -> c_int;
    symbols: "setfsuid";
    told: uid;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"fsuid", &[uid]);

    /// setfsgid(2): the group id that files are opened under. Never fails; returns the former one.
    unsafe fn setfsgid(gid: gid_t) -> c_int;
    symbols: "setfsgid";
    told: gid;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::ids_set(call, b"fsgid", &[gid]);

    /// setgroups(2): the supplementary groups.
    unsafe fn setgroups(count: usize, groups: *const gid_t) -> c_int;
    symbols: "setgroups";
    told: count, groups "the first 64";
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::groups_set(call, count, groups);

    /// initgroups(3): the supplementary groups of a user, and one more; only that one is reported.
    unsafe fn initgroups(user: *const c_char, group: gid_t) -> c_int;
    symbols: "initgroups";
    told: group;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| { let _ = user; identity::ids_set(call, b"groups", &[group]) };

    /// capset(2): the capabilities.
    unsafe fn capset(header: *mut u32, sets: *const [u32; 3]) -> c_int;
    symbols: "capset";
    told: header "its version", sets;
    fails: MinusOne;
    event: ProcessCredentials;
    after |call, _ret| identity::capabilities_set(call, header, sets);
}
