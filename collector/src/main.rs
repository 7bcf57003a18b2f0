//! `glassbox`: see the library beside this file.

fn main() {
    std::process::exit(collector::run());
}
