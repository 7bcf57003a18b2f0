//! Memory made executable: mmap(2), mprotect(2).

crate::hooks! { family memory = 15;
    /// mmap(2): maps memory; reported where it is executable.
    unsafe fn mmap(address: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    symbols: "mmap", "mmap64";
    fails: MapFailed;
    event: MemoryMap;
    after |call, _ret| identity::mapped(call, address, len, prot, flags, fd);

    /// mprotect(2): changes what memory may be used for; reported where it becomes executable.
    unsafe fn mprotect(address: *mut c_void, len: usize, prot: c_int) -> c_int;
    symbols: "mprotect";
    fails: MinusOne;
    event: MemoryMap;
    after |call, _ret| identity::protected(call, address as usize, len, prot, -1);

    /// pkey_mprotect(2): mprotect with a protection key.
    unsafe fn pkey_mprotect(address: *mut c_void, len: usize, prot: c_int, key: c_int) -> c_int;
    symbols: "pkey_mprotect";
    fails: MinusOne;
    event: MemoryMap;
    after |call, _ret| identity::protected(call, address as usize, len, prot, -1);
}
