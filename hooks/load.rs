//! Libraries loaded at run time: dlopen(3). The loader looks at who calls, so these are jumped to.

crate::hooks! { family load = 8;
    /// dlopen(3): loads a library.
    unsafe fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    symbols: "dlopen";
    fails: Null;
    event: LibLoad;
    jump |row| exec::library_loaded(row, path, flags);

    /// dlmopen(3): loads a library into a namespace.
    unsafe fn dlmopen(namespace: isize, path: *const c_char, flags: c_int) -> *mut c_void;
    symbols: "dlmopen";
    fails: Null;
    event: LibLoad;
    jump |row| { let _ = namespace; exec::library_loaded(row, path, flags) };
}
