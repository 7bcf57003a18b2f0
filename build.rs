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
        // One segment to execute and one to write (docs/adr/0012): each more is mapped, protected and
        // unmapped by every program that starts.
        "-Wl,-z,noseparate-code",
        "-Wl,-z,norelro",
        "-Wl,-soname,libglassbox.so",
        // References of the sensor to its own wrappers (`src/reach/got.rs`) mean them, even where another
        // library defines the same names.
        "-Wl,-Bsymbolic",
        // A library has no use of its own for an entry point: `glassbox attach` finds there the function to
        // call.
        "-Wl,-e,glassbox_join",
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
    // rustc's linker for this machine keeps constants in a segment of their own unless told otherwise; GNU's
    // does not know the option.
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|machine| machine == "x86_64") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,--no-rosegment");
    }
}
