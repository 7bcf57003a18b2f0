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
        // One segment to execute and one to write (docs/adr/0012): each more is mapped, protected and unmapped by every
        // program that starts.
        "-Wl,-z,noseparate-code",
        "-Wl,-z,norelro",
        "-Wl,-soname,libglassbox.so",
        // What the sensor itself says of its wrappers (`src/got.rs`) means them, whoever else defines their names.
        "-Wl,-Bsymbolic",
        // A library has no use for it: `glassbox attach` finds there what it is to call.
        "-Wl,-e,glassbox_join",
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
    // The linker that rustc brings for this machine keeps constants apart unless told; GNU's does not know the word.
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|machine| machine == "x86_64") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--no-rosegment");
    }
}
