//! Libraries loaded at run time, and functions looked up: dlopen(3), dlsym(3). The loader looks at the
//! caller's address, so these are jumped to.

crate::hooks! { family load = 8;
    /// dlopen(3): loads a library.
    unsafe fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    symbols: "dlopen";
    told: path, flags;
    fails: Null;
    event: LibLoad;
    jump |row| { exec::library_loaded(row, path, flags); got::before_load(flags) };

    /// dlmopen(3): loads a library into a namespace.
    unsafe fn dlmopen(namespace: isize, path: *const c_char, flags: c_int) -> *mut c_void;
    symbols: "dlmopen";
    told: path, flags;
    fails: Null;
    event: LibLoad;
    jump |row| { let _ = namespace; exec::library_loaded(row, path, flags); got::before_load(flags) };

    /// dlsym(3): a function by its name; the program gets what it would call by that name.
    unsafe fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    symbols: "dlsym";
    told: ;
    fails: Null;
    event: ;
    answer |_row, real| got::answer(handle, name, || real(handle, name));

    /// dlvsym(3): dlsym, of a version.
    unsafe fn dlvsym(handle: *mut c_void, name: *const c_char, version: *const c_char) -> *mut c_void;
    symbols: "dlvsym";
    told: ;
    fails: Null;
    event: ;
    answer |_row, real| got::answer(handle, name, || real(handle, name, version));
}
