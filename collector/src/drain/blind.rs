//! Programs that were executed and never said hello: why the sensor is not in them.
//!
//! A parent's `process.exec` is all that is heard of such a program. When its process goes on without a hello, or ends
//! without one, `sensor.blind` says so, with the reason as far as the file tells it.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{MOST_INTERPRETERS, interpreter_of};

/// Why a sensor cannot be in the program at `path`: the `reason` of `sensor.blind`.
pub fn reason(path: &Path) -> &'static str {
    let path = final_image(path.to_path_buf());
    let Ok(file) = File::open(&path) else { return UNKNOWN };
    // The loader ignores LD_PRELOAD where the exec raises privileges (ld.so(8), "secure-execution mode").
    if file.metadata().is_ok_and(|metadata| metadata.mode() & 0o6000 != 0) {
        return "setuid";
    }
    if rustix::fs::fgetxattr(&file, "security.capability", &mut [0; 64]).is_ok() {
        return "capabilities";
    }
    match Image::of(&file) {
        Image::Static => "static",
        Image::OtherAbi => "foreign_abi",
        Image::Dynamic | Image::Unknown => UNKNOWN,
    }
}

/// It could have loaded the sensor, and did not: an environment cleared by a raw system call, a loader that failed.
pub const UNKNOWN: &str = "not_loaded";

/// The program behind a script's interpreters.
fn final_image(mut path: PathBuf) -> PathBuf {
    for _ in 0..MOST_INTERPRETERS {
        match interpreter_of(&path) {
            Some(next) => path = next,
            None => break,
        }
    }
    path
}

/// How a program is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Image {
    Dynamic,
    Static,
    /// Of another word size or machine than the sensor.
    OtherAbi,
    Unknown,
}

impl Image {
    /// Looks for a program header that names a loader (elf(5), `PT_INTERP`). Any file may be given.
    fn of(file: &File) -> Self {
        const PT_INTERP: u32 = 3;
        const MOST_HEADERS: u64 = 512;
        let own_machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        let mut header = [0; 64];
        if file.read_exact_at(&mut header, 0).is_err() || !header.starts_with(b"\x7fELF") {
            return Self::Unknown;
        }
        let half =
            |at: usize| header.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        if header[4] != 2 || half(18) != own_machine {
            return Self::OtherAbi;
        }
        let offset =
            header.get(32..40).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (size, count) = (u64::from(half(54)), u64::from(half(56)));
        for index in 0..count.min(MOST_HEADERS) {
            let mut kind = [0; 4];
            let at = offset.saturating_add(index * size);
            if file.read_exact_at(&mut kind, at).is_err() {
                return Self::Unknown;
            }
            if u32::from_le_bytes(kind) == PT_INTERP {
                return Self::Dynamic;
            }
        }
        Self::Static
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn written(name: &str, bytes: &[u8], mode: u32) -> PathBuf {
        let path = std::env::temp_dir().join(format!("glassbox-blind-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn reason_of(name: &str, bytes: &[u8], mode: u32) -> &'static str {
        let path = written(name, bytes, mode);
        let reason = reason(&path);
        std::fs::remove_file(path).unwrap();
        reason
    }

    /// An executable's beginning with one program header of this kind.
    fn elf(class: u8, header_kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..5].copy_from_slice(&[0x7f, b'E', b'L', b'F', class]);
        let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&header_kind.to_le_bytes());
        bytes
    }

    #[test]
    fn file_says_why_the_sensor_is_not_in_it() {
        assert_eq!("static", reason_of("static", &elf(2, 1), 0o755));
        assert_eq!("not_loaded", reason_of("dynamic", &elf(2, 3), 0o755));
        assert_eq!("setuid", reason_of("setuid", &elf(2, 3), 0o4755));
        assert_eq!("foreign_abi", reason_of("32-bit", &elf(1, 3), 0o755));
        assert_eq!("not_loaded", reason_of("text", b"hello", 0o755));
        assert_eq!("not_loaded", reason(Path::new("/nonexistent")));
    }

    #[test]
    fn script_is_what_its_interpreter_is() {
        let program = written("interpreter", &elf(2, 1), 0o755);

        let reason = reason_of("script", format!("#! {} -x\n", program.display()).as_bytes(), 0o755);

        assert_eq!("static", reason);
        std::fs::remove_file(program).unwrap();
    }

    #[test]
    fn cut_headers_never_fault() {
        let whole = elf(2, 1);
        for len in 0..whole.len() {
            reason_of("cut", &whole[..len], 0o755);
        }
        let mut wild = elf(2, 1);
        wild[32..40].fill(0xff);
        wild[56..58].fill(0xff);
        assert_eq!("not_loaded", reason_of("wild", &wild, 0o755));
    }
}
