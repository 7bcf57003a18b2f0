//! `glassbox exec --notify` in front of a container's command: its words, wherever a file says the command.
//!
//! The supervisor must be the parent of what it supervises, so it stands before the command, and only a file
//! that says the whole command can have it: behind an entry point that only the image knows, the words would
//! be arguments of that.

use serde_json::{Value, json};

/// What is asked of the kernel, as `glassbox exec` takes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Notify {
    /// The word of the level; `None` takes the supervisor out.
    pub level: Option<String>,
    /// Whether the container ends where the level cannot be had.
    pub is_required: bool,
}

/// A command that nothing can be put before: why.
pub type Unknown = String;

/// What to do about a container whose supervisor has no place.
pub const WITHOUT: &str = "patch this one without --notify";

/// Why nothing can stand before a command that the file does not say in this field, and what to do.
pub fn unsaid(field: &str) -> Unknown {
    format!("it has no '{field}', and only its image says what it starts; {}", say(field))
}

/// What to do about a field that does not say which program is started.
pub fn say(field: &str) -> String {
    format!(
        "write the whole command into the file, with '{field}' ('docker image inspect' tells it), or {WITHOUT}"
    )
}

/// The names of runtimes whose kernel has no listener: gVisor's (docs/notify.md).
const WITHOUT_LISTENER: [&str; 2] = ["gvisor", "runsc"];

/// The names of programs that run only as the first process of a container (s6-overlay, systemd), which the
/// supervisor would be.
const ONLY_FIRST: [&str; 2] = ["init", "systemd"];

/// Whether a runtime, or a runtime class, has no listener for `--notify`.
pub fn is_without_listener(runtime: &str) -> bool {
    WITHOUT_LISTENER.iter().any(|name| runtime.contains(name))
}

impl Notify {
    /// The options of `glassbox exec` and `glassbox run`.
    pub fn options(&self) -> Vec<String> {
        let Some(level) = &self.level else { return Vec::new() };
        let required = self.is_required.then(|| "--require-notify".to_owned());
        ["--notify".to_owned(), level.clone()].into_iter().chain(required).collect()
    }

    /// A command's words after the patch. `program` is the path of the command line in the container.
    ///
    /// # Errors
    /// A `glassbox exec` of somebody else's making, without `--` behind its options; a program that runs only
    /// as the first process.
    pub fn before_words(&self, program: &str, words: &[Value]) -> Result<Vec<Value>, Unknown> {
        let front = Front::of(program, words.iter().map(Value::as_str))?;
        self.check_first(words.get(front.len).and_then(Value::as_str))?;
        let rest = words.get(front.len..).unwrap_or_default().to_vec();
        Ok(self.front(program, &front).into_iter().map(|word| json!(word)).chain(rest).collect())
    }

    /// A command that is one text of shell words, after the patch.
    ///
    /// # Errors
    /// As [`Self::before_words`].
    pub fn before_text(&self, program: &str, text: &str) -> Result<String, Unknown> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let front = Front::of(program, words.iter().map(|word| Some(*word)))?;
        self.check_first(words.get(front.len).copied())?;
        // The rest as it is written, quotes and line ends included.
        let rest = words[..front.len].iter().fold(text, |rest, word| {
            let rest = rest.trim_ascii_start();
            rest.strip_prefix(word).unwrap_or(rest)
        });
        let rest = if front.len == 0 { rest } else { rest.strip_prefix(' ').unwrap_or(rest) };
        let words = self.front(program, &front).join(" ");
        Ok(if words.is_empty() { rest.to_owned() } else { format!("{words} {rest}") })
    }

    fn check_first(&self, word: Option<&str>) -> Result<(), Unknown> {
        let name = word.map(|word| word.trim_matches(['"', '\'']).rsplit('/').next().unwrap_or_default());
        match name.filter(|name| self.level.is_some() && ONLY_FIRST.contains(name)) {
            Some(name) => Err(format!(
                "its '{name}' may run only as the first process of a container, which the supervisor would be; {WITHOUT}"
            )),
            None => Ok(()),
        }
    }

    /// The words in front of the command.
    fn front(&self, program: &str, present: &Front) -> Vec<String> {
        let is_left = self.level.is_some()
            || !present.others.is_empty()
            || present.len > 0 && present.options == present.others;
        if !is_left {
            return Vec::new();
        }
        let options = self.options().into_iter().chain(present.others.iter().cloned());
        [program, "exec"].map(str::to_owned).into_iter().chain(options).chain(["--".to_owned()]).collect()
    }
}

/// Whether a command begins with the supervisor.
pub fn is_supervised(program: &str, words: &Value) -> bool {
    let is_word = |index: usize, word: &str| words[index] == word;
    is_word(0, program) && is_word(1, "exec")
}

/// The `glassbox exec` in front of a command.
#[derive(Debug, Default)]
pub struct Front {
    /// How many words it has, with its `--`; 0 if it is not there.
    pub len: usize,
    /// Its options.
    options: Vec<String>,
    /// Those among them that this patch does not set.
    others: Vec<String>,
}

impl Front {
    fn of<'w>(program: &str, words: impl Iterator<Item = Option<&'w str>>) -> Result<Self, Unknown> {
        let mut words = words.enumerate();
        let mut is_next = |wanted: &str| words.next().is_some_and(|(_, word)| word == Some(wanted));
        if !(is_next(program) && is_next("exec")) {
            return Ok(Self::default());
        }
        let mut options = Vec::new();
        for (index, word) in words {
            match word {
                Some("--") => {
                    let others = others(&options);
                    return Ok(Self { len: index + 1, options, others });
                }
                Some(word) => options.push(word.to_owned()),
                None => break,
            }
        }
        Err("its 'glassbox exec' has no '--' behind its options; put one before the command".into())
    }
}

/// The options that are neither `--notify` nor `--require-notify`.
pub fn others(options: &[String]) -> Vec<String> {
    let mut others = Vec::new();
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--notify" => drop(words.next()),
            "--require-notify" => {}
            word if word.starts_with("--notify=") => {}
            word => others.push(word.to_owned()),
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = "/g/glassbox";

    fn notify(level: &str) -> Notify {
        Notify { level: (level != "off").then(|| level.to_owned()), is_required: false }
    }

    /// A command as a list and as a text, after a patch; both must be alike.
    fn after(level: &str, command: &str) -> String {
        let words: Vec<Value> = command.split(' ').map(|word| json!(word)).collect();
        let words = notify(level).before_words(PROGRAM, &words).unwrap();
        let text = notify(level).before_text(PROGRAM, command).unwrap();

        let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(words.join(" "), text);
        text
    }

    #[test]
    fn supervisor_comes_changes_its_level_and_goes() {
        let on = after("security", "/app -v -- x");

        assert_eq!("/g/glassbox exec --notify security -- /app -v -- x", on);
        assert_eq!(on, after("security", &on));
        assert_eq!("/g/glassbox exec --notify full -- /app -v -- x", after("full", &on));
        assert_eq!("/app -v -- x", after("off", &on));
        assert_eq!("/app -v -- x", after("off", "/app -v -- x"));
    }

    #[test]
    fn options_of_others_stay_and_ours_are_said_once() {
        for (level, before, expected) in [
            ("exec", "--notify=full --require-notify", "--notify exec"),
            ("exec", "--new --notify full -x", "--notify exec --new -x"),
            ("off", "--new --notify full", "--new"),
        ] {
            let command = |options: &str| format!("/g/glassbox exec {options} -- /app");

            assert_eq!(command(expected), after(level, &command(before)));
        }
        assert_eq!("/g/glassbox exec -- /app", after("off", "/g/glassbox exec -- /app"));
        assert_eq!("/g/glassbox exec --notify exec -- /app", after("exec", "/g/glassbox exec -- /app"));
    }

    #[test]
    fn a_supervisor_without_an_end_of_its_options_is_left_to_its_maker() {
        for command in ["/g/glassbox exec /app", "/g/glassbox exec --notify full"] {
            assert!(notify("exec").before_text(PROGRAM, command).unwrap_err().contains("'--'"));
        }
    }

    #[test]
    fn programs_that_must_be_first_are_left_without() {
        for (command, is_refused) in [
            ("/init", true),
            ("/lib/systemd/systemd --x", true),
            ("'/init' x", true),
            ("/tini -- /init", false),
        ] {
            assert_eq!(is_refused, notify("exec").before_text(PROGRAM, command).is_err(), "{command}");
        }
        assert!(notify("exec").before_words(PROGRAM, &[json!("/sbin/init")]).is_err());
        let supervised = "/g/glassbox exec --notify exec -- /init";
        assert_eq!("/init", notify("off").before_text(PROGRAM, supervised).unwrap());
    }

    #[test]
    fn rest_of_a_text_keeps_its_quotes_and_lines() {
        let text = " sh -c  'a\n  b' \n";

        let on = notify("exec").before_text(PROGRAM, text).unwrap();

        assert_eq!(format!("/g/glassbox exec --notify exec -- {text}"), on);
        assert_eq!(text, notify("off").before_text(PROGRAM, &on).unwrap());
    }

    #[test]
    fn words_that_a_function_gives_stay_where_they_are() {
        let words = [json!({"Ref": "Program"}), json!("-v")];

        let after = notify("exec").before_words(PROGRAM, &words).unwrap();

        assert_eq!(
            json!([PROGRAM, "exec", "--notify", "exec", "--", {"Ref": "Program"}, "-v"]),
            json!(after)
        );
    }

    #[test]
    fn requiring_is_said_behind_the_level() {
        let notify = Notify { level: Some("full".into()), is_required: true };

        assert_eq!(
            "/g/glassbox exec --notify full --require-notify -- a",
            notify.before_text(PROGRAM, "a").unwrap()
        );
    }
}
