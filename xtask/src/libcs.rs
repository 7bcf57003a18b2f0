//! Compilers for other C libraries than this system's, unpacked beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Writes a compiler to `path` whose programs are started by `loader` and find their libraries beside it,
/// wherever they run.
pub fn compiler(path: &Path, gcc: &str, loader: &Path, flags: &str) -> Result<PathBuf> {
    let beside = loader.parent().unwrap_or(Path::new("/"));
    let script = format!(
        "#!/bin/sh\nexec {gcc} \"$@\" {flags} -Wl,--dynamic-linker='{}' -Wl,--disable-new-dtags -Wl,-rpath='{}'\n",
        loader.display(),
        beside.display()
    );
    fs::write(path, script).with_context(|| format!("cannot write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(path.to_owned())
}

/// Writes a compiler for the musl that was unpacked to `musl`: `gcc` with musl's specs, which name the
/// folders of an installed musl. The kernel's headers, in `headers`, are not part of musl's.
pub fn musl_compiler(gcc: &str, machine: &str, musl: &Path, headers: &str) -> Result<PathBuf> {
    let (lib, include) =
        (format!("/usr/lib/{machine}-linux-musl"), format!("/usr/include/{machine}-linux-musl"));
    let ours = musl.display();
    let specs = fs::read_to_string(musl.join(lib.trim_start_matches('/')).join("musl-gcc.specs"))?;
    let moved = specs.replace(&lib, &format!("{ours}{lib}")).replace(&include, &format!("{ours}{include}"));
    let file = musl.with_extension("specs");
    fs::write(&file, moved)?;
    // libgcc's unwinder needs glibc; musl cancels without it.
    let flags = format!("-specs '{}' -idirafter {headers} -fno-exceptions", file.display());
    compiler(
        &musl.with_extension("gcc"),
        gcc,
        &musl.join(lib.trim_start_matches('/')).join("libc.so"),
        &flags,
    )
}
