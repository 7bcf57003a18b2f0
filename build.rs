//! Linker arguments of the sensor: no libc, no start files, bound at load, never unloaded.

fn main() {
    for argument in [
        "-nostdlib",
        "-nostartfiles",
        "-nodefaultlibs",
        "-Wl,-z,now",
        "-Wl,-z,nodelete",
        "-Wl,--gc-sections",
        "-Wl,-z,defs",
        "-Wl,-soname,libglassbox.so",
        // What the sensor itself says of its wrappers (`src/got.rs`) means them, whoever else defines their names.
        "-Wl,-Bsymbolic",
        // A library has no use for it: `glassbox attach` finds there what it is to call.
        "-Wl,-e,glassbox_join",
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
}
