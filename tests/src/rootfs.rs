//! Makes root file systems of containers, with only the files that a test puts there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Copies a program into `root`/bin, with its loader and libraries.
///
/// # Panics
/// If the program or a library cannot be copied.
pub fn install(root: &Path, program: &Path) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    for file in text.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(Path::new) {
        put(root, file, file);
    }
    let name = program.file_name().expect("a name");
    put(root, program, &Path::new("/bin").join(name));
}

/// Copies musl's loader, which is its libc too, into `root`.
///
/// # Panics
/// If the package musl is not there.
pub fn install_musl(root: &Path) {
    let mut files = fs::read_dir("/lib").expect("/lib").flatten().map(|entry| entry.path());
    let loader = files.find(|path| path.to_string_lossy().contains("/ld-musl-")).expect("package musl");
    let name = loader.file_name().expect("a name");
    put(root, &loader, &Path::new("/lib").join(name));
}

fn put(root: &Path, file: &Path, at: &Path) {
    let to: PathBuf = root.join(at.strip_prefix("/").expect("an absolute path"));
    fs::create_dir_all(to.parent().expect("a folder")).expect("our own directory");
    copy(file, &to);
}

/// Copies a program in a process of its own. A descriptor that this process had open for writing would be
/// inherited by a program that another test starts at that moment, and the copy could not be executed
/// meanwhile (`ETXTBSY`).
///
/// # Panics
/// If it cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--").arg(from).arg(to).status().expect("cp");
    assert!(copied.success(), "cannot copy {} to {}", from.display(), to.display());
}
