//! Replaces files as a whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::shell::failure::Failure;

/// Replaces the file at `path` and keeps its mode and owner. A reader sees the whole old file or the whole
/// new one.
pub fn replace(path: &Path, text: &[u8]) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().display();
    let beside = path.with_file_name(format!(".{name}.glassbox-{}", std::process::id()));
    let write = || {
        let present = fs::metadata(path).ok();
        let mode = present.as_ref().map_or(0o644, |present| present.mode() & 0o7777);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        if let Some(present) = present {
            let owner = file.metadata()?;
            if (owner.uid(), owner.gid()) != (present.uid(), present.gid()) {
                std::os::unix::fs::fchown(&file, Some(present.uid()), Some(present.gid()))?;
            }
        }
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&beside);
        Failure::output(format!("cannot replace '{}': {error}", path.display()))
    })
}
