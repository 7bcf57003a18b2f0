//! The words of `glassbox collect` to a person at a terminal: where it listens, and how a program gets there.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use deploy::visible::visible;

use crate::settings::keys::SOCKET;
use crate::shell::socket::Name;
use crate::shell::usage::shell_word;

/// The words, where stderr is a terminal.
pub fn of(socket: &Name) -> Option<String> {
    let program = std::env::current_exe().ok().filter(|_| io::stderr().is_terminal())?;
    Some(text(socket, &program))
}

/// Writes them, in one system call.
pub fn show(greeting: &str) {
    // There is no other place to say that it cannot be said.
    let _ = io::stderr().write_all(greeting.as_bytes());
}

/// Two lines: the second one stands alone, to be pasted into any shell.
fn text(socket: &Name, program: &Path) -> String {
    let spelling = socket.spelling();
    let address = spelling.to_string_lossy();
    let variable = match SOCKET.default == address {
        true => String::new(),
        false => format!("{}={} ", SOCKET.variable, shell_word(&address)),
    };
    format!(
        "glassbox: listening at '{}' (^C ends); this starts a shell whose programs are seen:\n\
         {variable}{} exec -- \"$SHELL\"\n",
        visible(&address),
        shell_word(&program.to_string_lossy())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second_line(socket: &str) -> String {
        let name = match socket.strip_prefix('@') {
            Some(name) => Name::Abstract(name.as_bytes().to_vec()),
            None => Name::Path(socket.into()),
        };
        let text = text(&name, Path::new("/opt/my tools/glassbox"));
        assert!(text.starts_with(&format!("glassbox: listening at '{socket}' ")), "{text}");
        let mut lines = text.lines().skip(1);
        let second = lines.next().unwrap().to_owned();
        assert_eq!(None, lines.next());
        second
    }

    #[test]
    fn second_line_can_be_pasted_and_has_the_address_where_it_is_not_the_default() {
        assert_eq!("'/opt/my tools/glassbox' exec -- \"$SHELL\"", second_line("@glassbox"));
        assert_eq!(
            "GLASSBOX_SOCKET='/run/a b' '/opt/my tools/glassbox' exec -- \"$SHELL\"",
            second_line("/run/a b")
        );
    }
}
