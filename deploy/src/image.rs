//! The image that brings the sensor (`cargo xtask dist` makes it): its paths, its name, and checks of names.

/// The folder of the pair, which is the image's volume.
pub const FOLDER: &str = "/opt/glassbox";

/// The sensor's path in the image.
pub const SENSOR_PATH: &str = "/opt/glassbox/libglassbox.so";

/// The path of the command line, which is the collector too: a static program.
pub const COLLECTOR_PATH: &str = "/opt/glassbox/glassbox";

/// Where the collector listens; the image's environment names the same path.
pub const SOCKET_PATH: &str = "/opt/glassbox/socket";

/// The place of a configuration file that an image of its own brings.
pub const CONFIG_PATH: &str = "/etc/glassbox/glassbox.yaml";

/// The image that a request means if it names none.
pub const DEFAULT_IMAGE: &str = concat!("glassbox:", env!("CARGO_PKG_VERSION"));

/// The longest path of a socket (unix(7): 108 bytes with the terminating NUL).
const LONGEST_SOCKET: usize = 107;

/// Checks that an image's name can stand in a deployment file without quotes.
///
/// # Errors
/// A message that says how a name is written.
pub fn checked_name(name: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "./:@_-".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) || name.starts_with('-') {
        return Err("an image is named as in registry.example/glassbox:1.0".into());
    }
    Ok(name.to_owned())
}

/// Checks that a value of `GLASSBOX_SOCKET` can stand in a deployment file without quotes.
///
/// # Errors
/// A message that says how a socket is written.
pub fn checked_socket(socket: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "./:@_-".contains(c);
    if !socket.starts_with(['/', '@']) || socket.len() < 2 || !socket.chars().all(is_plain) {
        return Err("a socket is an absolute path, or @name, of letters, digits and ./:@_-".into());
    }
    if socket.len() > LONGEST_SOCKET {
        return Err(format!("a socket's name has at most {LONGEST_SOCKET} bytes"));
    }
    Ok(socket.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_file_would_read_otherwise_are_refused() {
        for name in ["", "a b", "a\nRUN x", "$X", "\"a\"", "-a", "a#b"] {
            assert!(checked_name(name).is_err(), "{name}");
        }
        let name = "registry.example:5000/a/glassbox@sha256:0123";
        assert_eq!(Ok(name.to_owned()), checked_name(name));
    }

    #[test]
    fn sockets_are_absolute_or_abstract() {
        for socket in ["", "/", "@", "run/x", "/a b", "/$X"] {
            assert!(checked_socket(socket).is_err(), "{socket}");
        }
        assert!(checked_socket(&format!("/{}", "a".repeat(107))).is_err());
        assert_eq!(Ok("@glassbox".to_owned()), checked_socket("@glassbox"));
    }
}
