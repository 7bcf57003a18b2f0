//! The kernel's own machinery: init_module(2), bpf(2), userfaultfd(2), io_uring_setup(2).

crate::hooks! { family kernel = 16;
    /// init_module(2): loads a kernel module from memory.
    unsafe fn init_module(image: *const c_void, len: usize, parameters: *const c_char) -> c_int;
    symbols: "init_module";
    told: ;
    fails: MinusOne;
    event: KernelModule;
    after |call, _ret| identity::module_changed(call, None, null());

    /// delete_module(2): removes a kernel module.
    unsafe fn delete_module(name: *const c_char, flags: c_uint) -> c_int;
    symbols: "delete_module";
    told: name;
    fails: MinusOne;
    event: KernelModule;
    after |call, _ret| identity::module_changed(call, None, name);

    names: finit_module "fd", bpf "command", userfaultfd "flags", io_uring_setup "entries";
}
