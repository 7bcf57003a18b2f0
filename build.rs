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
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
}
