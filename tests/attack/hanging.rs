//! A file system that never answers: FUSE, whose server this is, and does not read.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A mounted one. Dropping it ends the connection, so that everything that waits fails, and unmounts.
pub struct Hanging {
    server: Option<File>,
    at: PathBuf,
}

impl Hanging {
    /// Mounts at a new folder. An error says what this machine lacks.
    pub fn mount(at: &Path) -> Result<Hanging, String> {
        let server = File::options().read(true).write(true).open("/dev/fuse");
        let server = server.map_err(|error| format!("no FUSE here: /dev/fuse: {error}"))?;
        fs::create_dir(at).map_err(|error| error.to_string())?;
        let options =
            format!("fd={},rootmode=40000,user_id=65534,group_id=65534,allow_other\0", server.as_raw_fd());
        let target = [at.as_os_str().as_bytes(), b"\0"].concat();
        // SAFETY: strings ended by a NUL, which live for the call.
        let mounted = unsafe {
            let kind = c"fuse".as_ptr();
            libc::mount(kind, target.as_ptr().cast(), kind, libc::MS_NODEV, options.as_ptr().cast())
        };
        match mounted {
            0 => Ok(Hanging { server: Some(server), at: at.to_path_buf() }),
            _ => Err(format!("no FUSE here: {}", std::io::Error::last_os_error())),
        }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.server = None;
        let target = [self.at.as_os_str().as_bytes(), b"\0"].concat();
        // SAFETY: a string ended by a NUL.
        unsafe { libc::umount2(target.as_ptr().cast(), libc::MNT_DETACH) };
    }
}
