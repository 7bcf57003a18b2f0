//! The environment of a program that starts under the sensor: the caller's, with `LD_PRELOAD` appended to.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::system::program::{FOREIGN_ABI, Program, Root};
use crate::system::search;

/// The caller's environment for `command`, a name and its arguments, as it is under the sensor. The loader of
/// a program for another word size or processor could only complain of the sensor, so that one is not named.
pub fn under_sensor(command: &[OsString], sensor: &Path, settings: &[(&str, &OsStr)]) -> Vec<CString> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let path = command.first().and_then(|name| search::find(name, &folders));
    let is_in_vain = path.is_some_and(|path| {
        let program = Program::at(&path, &Root::own());
        program.is_some_and(|program| {
            *program.reason == FOREIGN_ABI
                && !program.kind.starts_with("static")
                // A sensor for another machine is for that one's programs, under an emulator (binfmt_misc).
                && abi_of(&path) != abi_of(sensor)
        })
    });
    with_settings(std::env::vars_os(), (!is_in_vain).then_some(sensor), settings)
}

/// Word size, byte order and processor of an ELF file: `EI_CLASS`, `EI_DATA` and `e_machine` (elf(5)).
fn abi_of(path: &Path) -> Option<[u8; 4]> {
    let mut head = [0; 20];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).ok()?;
    Some([head[4], head[5], head[18], head[19]])
}

/// The environment with the sensor appended to `LD_PRELOAD` and the variables in `settings` set.
///
/// A variable that occurs twice is changed in both places, because glibc's loader takes the last
/// `LD_PRELOAD` and getenv(3) the first.
fn with_settings(
    variables: impl Iterator<Item = (OsString, OsString)>,
    sensor: Option<&Path>,
    settings: &[(&str, &OsStr)],
) -> Vec<CString> {
    let mut has_preload = false;
    let mut merged: Vec<(OsString, OsString)> = Vec::new();
    for (name, value) in variables {
        if let (true, Some(sensor)) = (name == "LD_PRELOAD", sensor) {
            has_preload = true;
            merged.push((name, append_preload(&value, sensor.as_os_str())));
        } else if !settings.iter().any(|(setting, _)| name == *setting) {
            merged.push((name, value));
        }
    }
    if let (false, Some(sensor)) = (has_preload, sensor) {
        merged.push(("LD_PRELOAD".into(), sensor.into()));
    }
    merged.extend(settings.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
    spell(merged.into_iter())
}

/// The environment in the form that execve(2) takes.
///
/// A string with a NUL inside cannot come out of `environ` and is left out.
pub fn spell(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<CString> {
    variables
        .filter_map(|(name, value)| {
            let mut entry = name.into_vec();
            entry.push(b'=');
            entry.extend_from_slice(value.as_bytes());
            CString::new(entry).ok()
        })
        .collect()
}

/// `present` with `sensor` at its end, unless it contains the sensor already.
///
/// The loader separates entries by colons and spaces alike (ld.so(8)), so both are taken; a colon is written.
pub fn append_preload(present: &OsStr, sensor: &OsStr) -> OsString {
    let is_there = present
        .as_bytes()
        .split(|byte| *byte == b':' || *byte == b' ')
        .any(|entry| entry == sensor.as_bytes());
    if is_there {
        return present.into();
    }
    let mut merged = present.to_os_string();
    if !present.is_empty() {
        merged.push(":");
    }
    merged.push(sensor);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(variables: &[(&str, &str)], socket: Option<&str>) -> Vec<String> {
        with_settings(
            variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))),
            Some(Path::new("/l/libglassbox.so")),
            &socket.map_or(vec![], |socket| vec![("GLASSBOX_SOCKET", OsStr::new(socket))]),
        )
        .into_iter()
        .map(|entry| entry.into_string().unwrap())
        .collect()
    }

    #[test]
    fn everything_else_stays_as_it_was_and_in_order() {
        assert_eq!(
            vec!["B=2", "A=", "LD_PRELOAD=/l/libglassbox.so", "GLASSBOX_SOCKET=/s"],
            merge(&[("B", "2"), ("A", "")], Some("/s"))
        );
    }

    #[test]
    fn present_preload_is_appended_to() {
        assert_eq!(
            vec!["LD_PRELOAD=/a.so b.so:/l/libglassbox.so"],
            merge(&[("LD_PRELOAD", "/a.so b.so")], None)
        );
    }

    #[test]
    fn sensor_is_never_there_twice() {
        for present in ["/l/libglassbox.so", "/a.so:/l/libglassbox.so", "/l/libglassbox.so /a.so"] {
            assert_eq!(vec![format!("LD_PRELOAD={present}")], merge(&[("LD_PRELOAD", present)], None));
        }
    }

    #[test]
    fn empty_preload_gets_no_colon() {
        assert_eq!(vec!["LD_PRELOAD=/l/libglassbox.so"], merge(&[("LD_PRELOAD", "")], None));
    }

    #[test]
    fn socket_of_an_outer_run_is_replaced() {
        assert_eq!(
            vec!["LD_PRELOAD=/l/libglassbox.so", "GLASSBOX_SOCKET=/inner"],
            merge(&[("GLASSBOX_SOCKET", "/outer")], Some("/inner"))
        );
    }

    #[test]
    fn callers_socket_stays_without_one_of_our_own() {
        assert_eq!(
            vec!["GLASSBOX_SOCKET=@x", "LD_PRELOAD=/l/libglassbox.so"],
            merge(&[("GLASSBOX_SOCKET", "@x")], None)
        );
    }
}
