//! Puts `glassbox exec --notify` before the command of a service.
//!
//! Compose starts a service's `entrypoint` with its `command` behind it, and takes the image's entry point
//! where the file has none. The health check stays as it is: the engine starts it beside the application,
//! where it has no supervisor.

use serde_json::{Value, json};

use super::service::{DEEPEST, Service};
use crate::image::COLLECTOR_PATH;
use crate::notify::{Notify, Unknown, WITHOUT, is_without_listener, say, unsaid};

impl Service<'_> {
    /// The entry point after the patch, if it changes.
    ///
    /// # Errors
    /// Why nothing can be put before the command, and what to do.
    pub fn entry_point(&self) -> Result<Option<Value>, Unknown> {
        let Some(notify) = self.notify else { return Ok(None) };
        match self.supervised(notify) {
            Err(_) if notify.level.is_none() => Ok(None),
            Err(why) => Err(why),
            Ok((before, after)) => Ok((*before != after).then_some(after)),
        }
    }

    /// The entry point as it is and with its supervisor.
    fn supervised(&self, notify: &Notify) -> Result<(&Value, Value), Unknown> {
        let runtime = self.before["runtime"].as_str().unwrap_or_default();
        if notify.level.is_some() && is_without_listener(runtime) {
            return Err(format!(
                "its runtime '{runtime}' is gVisor's, which has no seccomp listener (docs/notify.md); {WITHOUT}"
            ));
        }
        let before = self.field("entrypoint")?.ok_or_else(|| unsaid("entrypoint"))?;
        let empty = || {
            format!(
                "its 'entrypoint' may be empty, and its image's command comes then; {}",
                say("entrypoint")
            )
        };
        let after = match before {
            Value::String(text) if !may_be_empty(text) => {
                json!(notify.before_text(COLLECTOR_PATH, text)?)
            }
            Value::Array(words) if !words.iter().all(|word| word.as_str().is_some_and(may_be_empty)) => {
                json!(notify.before_words(COLLECTOR_PATH, words)?)
            }
            // An entry point that says nothing takes the image's away: `command` is the whole command.
            Value::String(text) if text.is_empty() => self.before_command(notify).ok_or_else(empty)?,
            Value::Array(words) if words.is_empty() => self.before_command(notify).ok_or_else(empty)?,
            Value::String(_) | Value::Array(_) => return Err(empty()),
            _ => return Err("its 'entrypoint' is neither a text nor a list; correct it".to_owned()),
        };
        Ok((before, after))
    }

    /// An entry point for a service whose `command` is the whole command.
    fn before_command(&self, notify: &Notify) -> Option<Value> {
        let is_there = match self.field("command").ok()?? {
            Value::String(text) => !may_be_empty(text),
            Value::Array(words) => !words.is_empty(),
            _ => false,
        };
        is_there.then(|| notify.before_words(COLLECTOR_PATH, &[]).ok()).flatten().map(Value::Array)
    }

    /// A field of this service, or of the service in this file that it extends.
    fn field(&self, name: &str) -> Result<Option<&Value>, Unknown> {
        let mut service = self.before;
        for _ in 0..DEEPEST {
            if !service[name].is_null() {
                return Ok(Some(&service[name]));
            }
            let extends = &service["extends"];
            if !extends["file"].is_null() {
                return Err(format!(
                    "its '{name}' may be in the file that it extends, which is not read; {}",
                    say(name)
                ));
            }
            match extends.as_str().or(extends["service"].as_str()).and_then(|name| self.all.get(name)) {
                Some(next) => service = next,
                None => break,
            }
        }
        Ok(None)
    }
}

/// Whether a text is empty, or is nothing but variables that may be.
fn may_be_empty(text: &str) -> bool {
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('$') {
        if !before.trim().is_empty() || behind.starts_with('$') {
            return false;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest = match behind.strip_prefix('{') {
            Some(inside) => {
                let name = inside.trim_start_matches(is_name);
                // `${A:-b}` and `${A:?b}` are never empty; of the rest it is not looked for.
                if name.starts_with(":?") || name.starts_with(":-") && !name.starts_with(":-}") {
                    return false;
                }
                inside.split_once('}').map_or("", |(_, behind)| behind)
            }
            None => behind.trim_start_matches(is_name),
        };
    }
    rest.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::{DEFAULT_NAME, Request, patch};
    use super::*;
    use crate::{Error, Note};

    fn asked(level: &str) -> Request {
        let level = (level != "off").then(|| level.to_owned());
        Request { notify: Some(Notify { level, is_required: false }), ..plain() }
    }

    fn plain() -> Request {
        Request {
            image: None,
            name: DEFAULT_NAME.into(),
            services: Vec::new(),
            is_opt_in: false,
            options: Vec::new(),
            config: None,
            notify: None,
        }
    }

    /// The text after a patch, which a second one must leave as it is.
    fn patched(text: &str, request: &Request) -> String {
        let once = patch(text, request).unwrap_or_else(|error| panic!("{error}: {text}"));
        for again in [request.clone(), Request { notify: None, ..request.clone() }] {
            assert_eq!(once.text, patch(&once.text, &again).unwrap().text, "twice is not once: {text}");
        }
        once.text
    }

    fn file(fields: &str) -> String {
        format!("services:\n  web:\n    image: web\n    {}\n", fields.replace('\n', "\n    "))
    }

    const WORDS: &str = "/opt/glassbox/glassbox, exec, \"--notify\", security, \"--\"";

    fn value(text: &str) -> Value {
        crate::yaml::Documents::read(text).unwrap().values()[0].clone()
    }

    #[test]
    fn supervisor_stands_before_each_form_and_goes_again() {
        for (before, after) in [
            ("entrypoint: /app -v # c", "entrypoint: \"EXEC /app -v\" # c".to_owned()),
            (
                "entrypoint: '/app $$X'\ncommand: [a]",
                "entrypoint: \"EXEC /app $$X\"\ncommand: [a]".to_owned(),
            ),
            ("entrypoint: sh -c \"a; b\"", "entrypoint: \"EXEC sh -c \\\"a; b\\\"\"".to_owned()),
            (
                "entrypoint: >-\n  /app\n  -v\ninit: true",
                "entrypoint: \"EXEC /app -v\"\ninit: true".to_owned(),
            ),
            ("entrypoint: [sh, -c, 'a; b'] # c", format!("entrypoint: [{WORDS}, sh, -c, 'a; b'] # c")),
            (
                "entrypoint:\n  # first\n  - /app # a\n  - ${X}",
                format!(
                    "entrypoint:\n  - {}\n  # first\n  - /app # a\n  - ${{X}}",
                    WORDS.replace(", ", "\n  - ")
                ),
            ),
            ("entrypoint: ${APP:-/app}", "entrypoint: \"EXEC ${APP:-/app}\"".to_owned()),
        ] {
            let after = after.replace("EXEC", "/opt/glassbox/glassbox exec --notify security --");
            let (before, after) = (file(before), file(&after));
            let alone = patched(&before, &plain());

            let on = patched(&before, &asked("security"));

            assert_eq!(alone.replacen(&before, &after, 1), on);
            assert_eq!(value(&alone), value(&patched(&on, &asked("off"))));
            assert_eq!(value(&on.replacen("security", "full", 1)), value(&patched(&on, &asked("full"))));
        }
    }

    #[test]
    fn an_empty_entry_point_leaves_the_command_to_the_supervisor() {
        for entry_point in ["entrypoint: []", "entrypoint: ''"] {
            let on = patched(&file(&format!("{entry_point}\ncommand: /app")), &asked("exec"));

            assert!(
                on.contains("    command: /app\n") && on.contains("- \"--\"\n") || on.contains("\"--\"]"),
                "{on}"
            );
        }
    }

    #[test]
    fn anchors_and_what_is_extended_keep_their_meaning() {
        let text = "x-start: &start [/start, -x]\nservices:\n  a:\n    entrypoint: *start\n  b:\n    extends: a\n  \
                    c:\n    entrypoint: *start\n    labels: {glassbox.sensor: \"off\"}\n";

        let on = patched(text, &asked("security"));

        let services = &value(&on)["services"];
        let expected = json!([COLLECTOR_PATH, "exec", "--notify", "security", "--", "/start", "-x"]);
        assert_eq!([&expected, &expected], [&services["a"]["entrypoint"], &services["b"]["entrypoint"]]);
        assert_eq!(json!(["/start", "-x"]), services["c"]["entrypoint"]);
    }

    fn refusal(fields: &str) -> String {
        let Err(Error::Refused(why)) = patch(&file(fields), &asked("exec")) else { panic!("{fields}") };
        patched(&file(fields), &asked("off"));
        why
    }

    #[test]
    fn commands_that_the_file_does_not_say_are_refused_with_what_to_do() {
        for (fields, words) in [
            ("command: /app", "service 'web': it has no 'entrypoint'"),
            ("entrypoint: []", "its 'entrypoint' may be empty"),
            ("entrypoint: ${APP} ${MORE-x}\ncommand: a", "its 'entrypoint' may be empty"),
            ("entrypoint: ['$APP']", "its 'entrypoint' may be empty"),
            ("extends: {file: base.yaml, service: x}", "the file that it extends, which is not read"),
        ] {
            let why = refusal(fields);

            assert!(why.contains(words) && why.ends_with(&say("entrypoint")), "{why}");
        }
        assert!(refusal("runtime: runsc\nentrypoint: /app").contains("no seccomp listener"));
    }

    #[test]
    fn other_services_are_patched_and_notes_say_how_they_start() {
        let text = "services:\n  a:\n    entrypoint: /a\n  b:\n    command: x\n";

        let notes = patch(text, &asked("full")).unwrap().notes;

        let skipped =
            notes.iter().filter(|note| matches!(note, Note::Skipped(why) if why.starts_with("service 'b'")));
        assert_eq!(1, skipped.count(), "{notes:?}");
        assert!(
            notes.contains(&Note::Done("service 'a': starts by glassbox exec --notify full".into())),
            "{notes:?}"
        );
    }
}
