//! Memory made executable: mmap(2), mprotect(2); and what may take the sensor's own memory away: munmap(2),
//! mremap(2), mlockall(2).

crate::hooks! { family memory = 15;
    /// mmap(2): maps memory; reported where it is executable.
    unsafe fn mmap(address: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    symbols: "mmap", "mmap64";
    told: address, len, prot "PROT_EXEC alone is reported", flags "MAP_ANONYMOUS alone", fd;
    fails: MapFailed;
    event: MemoryMap;
    instead |row, real| areas::map(row, (address, len), prot, flags, (fd, offset), || real(address, len, prot, flags, fd, offset));

    /// mprotect(2): changes what memory may be used for; reported where it becomes executable.
    unsafe fn mprotect(address: *mut c_void, len: usize, prot: c_int) -> c_int;
    symbols: "mprotect";
    told: address, len, prot "PROT_EXEC alone is reported";
    fails: MinusOne;
    event: MemoryMap;
    instead |row, real| areas::protect(row, address as usize, len, prot, || real(address, len, prot));

    /// pkey_mprotect(2): mprotect with a protection key.
    unsafe fn pkey_mprotect(address: *mut c_void, len: usize, prot: c_int, key: c_int) -> c_int;
    symbols: "pkey_mprotect";
    told: address, len, prot "PROT_EXEC alone is reported";
    fails: MinusOne;
    event: MemoryMap;
    instead |row, real| areas::protect(row, address as usize, len, prot, || real(address, len, prot, key));

    /// munmap(2): ends a mapping; the sensor lets go of its own in time.
    unsafe fn munmap(address: *mut c_void, len: usize) -> c_int;
    symbols: "munmap";
    told: ;
    fails: MinusOne;
    event: ;
    instead |_row, real| areas::unmap(address, len, real);

    /// mremap(2): moves a mapping; the sensor lets go of its own in time.
    unsafe fn mremap(old: *mut c_void, old_len: usize, len: usize, flags: c_int, to: *mut c_void) -> *mut c_void;
    symbols: "mremap";
    told: ;
    fails: MapFailed;
    event: ;
    instead |_row, real| areas::remap((old, old_len), len, flags, to, || real(old, old_len, len, flags, to));

    /// mlockall(2): locks all memory; the sensor's does not count against the program's limit.
    unsafe fn mlockall(flags: c_int) -> c_int;
    symbols: "mlockall";
    told: ;
    fails: MinusOne;
    event: ;
    instead |_row, real| areas::lock_all(flags, || real(flags));
}
