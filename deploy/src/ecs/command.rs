//! Puts `glassbox exec --notify` before the commands of applications.
//!
//! The health check stays as it is: ECS starts it beside the application, where it has no supervisor.

use serde_json::{Map, Value};

use super::case::function;
use super::task::Task;
use crate::image::COLLECTOR_PATH;
use crate::notify::{Notify, Unknown, say, unsaid};
use crate::{Error, Note};

impl Task<'_> {
    /// Checks that every container at `chosen` says its command, if it is to have a supervisor.
    ///
    /// # Errors
    /// [`Error::Refused`] with every container that does not.
    pub fn check_commands(&self, chosen: &[usize], notify: &Notify) -> Result<(), Error> {
        let unknown = chosen.iter().filter_map(|index| {
            let why = self.entry_point(&self.containers[*index], notify).err()?;
            Some(format!("{}: {why}", self.label(*index)))
        });
        let unknown: Vec<String> = unknown.collect();
        if unknown.is_empty() { Ok(()) } else { Err(Error::Refused(unknown.join("; "))) }
    }

    /// Gives an application its supervisor, or takes it away. `None` if there is nothing to do.
    pub fn supervise(
        &self,
        container: &mut Map<String, Value>,
        label: &str,
        notify: &Notify,
    ) -> Option<Note> {
        let after = self.entry_point(&Value::Object(container.clone()), notify).ok()??;
        container.insert(self.case.key("entryPoint"), after);
        let how = match &notify.level {
            Some(level) => format!("by glassbox exec --notify {level}"),
            None => "without glassbox exec --notify".to_owned(),
        };
        Some(Note::Done(format!("starts {label} {how}")))
    }

    /// The entry point after the patch, if it changes.
    fn entry_point(&self, container: &Value, notify: &Notify) -> Result<Option<Value>, Unknown> {
        let key = self.case.key("entryPoint");
        let unknown = |why: Unknown| if notify.level.is_some() { Err(why) } else { Ok(None) };
        let words = match self.case.get(container, "entryPoint") {
            Some(Value::Array(words)) if !words.is_empty() => words,
            None | Some(Value::Array(_)) => return unknown(unsaid(&key)),
            Some(other) => {
                let by = function(other).filter(|_| self.case.is_function(other));
                let by = by.map_or("is no list".to_owned(), |name| format!("is given by {name}"));
                return unknown(format!("its '{key}' {by}; {}", say(&key)));
            }
        };
        // `Fn::If` may give `AWS::NoValue`, which takes the word away.
        if words.iter().all(|word| function(word) == Some("Fn::If")) {
            return unknown(format!("its '{key}' may be empty, since Fn::If gives its words; {}", say(&key)));
        }
        let after = notify.before_words(COLLECTOR_PATH, words)?;
        Ok((after != *words).then_some(Value::Array(after)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Request, patch};
    use super::*;

    fn asked(level: &str) -> Request {
        let level = (level != "off").then(|| level.to_owned());
        Request { notify: Some(Notify { level, is_required: false }), ..Request::default() }
    }

    /// The text after a patch, which a second one must leave as it is.
    fn patched(text: &str, request: &Request) -> String {
        let once = patch(text, request).unwrap_or_else(|error| panic!("{error}: {text}"));
        for again in [request.clone(), Request { notify: None, ..request.clone() }] {
            assert_eq!(once.text, patch(&once.text, &again).unwrap().text, "twice is not once");
        }
        once.text
    }

    fn why(containers: &Value) -> String {
        patch(&containers.to_string(), &asked("security")).unwrap_err().to_string()
    }

    const TEMPLATE: &str = "\
Resources:
  Task:
    Type: AWS::ECS::TaskDefinition
    Properties:
      ContainerDefinitions:
        - Name: web
          # how it starts
          EntryPoint: [!Ref Shell, '-c']   # a shell
          Command:
            - exec /app   # the app
          HealthCheck: {Command: [CMD, /app, health]}
        - Name: worker
          EntryPoint:
            # the worker itself
            - /worker   # twice
            - !Sub '--queue=${Queue}'
";

    #[test]
    fn supervisor_stands_before_the_entry_point_in_each_style_and_comments_stay() {
        let alone = patched(TEMPLATE, &Request::default());
        let after = patched(TEMPLATE, &asked("security"));

        let expected = alone
            .replace(
                "[!Ref Shell, '-c']   # a shell",
                "[/opt/glassbox/glassbox, exec, \"--notify\", security, \"--\", !Ref Shell, '-c']   # a shell",
            )
            .replace(
                "            # the worker itself\n",
                "            - /opt/glassbox/glassbox
            - exec
            - \"--notify\"
            - security
            - \"--\"
            # the worker itself
",
            );
        assert_eq!(expected, after);
        assert_eq!(expected.replace("security", "full"), patched(&after, &asked("full")));
        assert_eq!(alone, patched(&after, &asked("off")));
    }

    #[test]
    fn json_keeps_its_layout_around_the_supervisor() {
        let text = "[\n\t{ \"name\": \"a\",\n\t  \"entryPoint\": [ \"/a\" ] }\n]\n";

        let after = patched(text, &asked("exec"));

        let entry_point = "[ \"/opt/glassbox/glassbox\", \"exec\", \"--notify\", \"exec\", \"--\", \"/a\" ]";
        assert!(after.starts_with(&text.replace("[ \"/a\" ] }\n]\n", entry_point)), "{after}");
    }

    #[test]
    fn notes_say_how_each_container_is_started() {
        let containers = json!([{"name": "a", "entryPoint": ["/a"]}]).to_string();

        let on = patch(&containers, &asked("exec")).unwrap();
        let off = patch(&on.text, &asked("off")).unwrap();

        let [.., put, started] = on.notes.as_slice() else { panic!("{:?}", on.notes) };
        assert_eq!(&Note::Done("puts the sensor into container 'a'".into()), put);
        assert_eq!(&Note::Done("starts container 'a' by glassbox exec --notify exec".into()), started);
        assert_eq!(vec![Note::Done("starts container 'a' without glassbox exec --notify".into())], off.notes);
    }

    #[test]
    fn every_container_whose_command_the_file_does_not_say_is_refused_with_what_to_do() {
        let message = why(&json!([
            {"name": "a", "command": ["-v"]}, {"name": "b", "entryPoint": ["/b"]}, {"name": "c", "entryPoint": []},
        ]));

        let unknown = "it has no 'entryPoint', and only its image says what it starts; write the whole command into the file, \
                       with 'entryPoint' ('docker image inspect' tells it), or patch this one without --notify";
        assert_eq!(format!("container 'a': {unknown}; container 'c': {unknown}"), message);
    }

    #[test]
    fn entry_points_that_functions_give_are_refused() {
        for (entry_point, words) in [
            (json!({"Fn::Split": [",", "a,b"]}), "its 'EntryPoint' is given by Fn::Split"),
            (json!("/a"), "its 'EntryPoint' is no list"),
            (json!([{"Fn::If": ["C", "/a", {"Ref": "AWS::NoValue"}]}]), "its 'EntryPoint' may be empty"),
        ] {
            let properties = json!({"ContainerDefinitions": [{"Name": "a", "EntryPoint": entry_point}]});
            let task = json!({"Type": "AWS::ECS::TaskDefinition", "Properties": properties});
            let template = json!({"Resources": {"Task": task}});

            let message = why(&template);

            assert!(message.contains(words) && message.contains(&say("EntryPoint")), "{message}");
            patched(&template.to_string(), &asked("off"));
        }
    }

    #[test]
    fn containers_that_get_no_sensor_need_no_command() {
        let containers = json!([{"name": "a", "entryPoint": ["/a"]}, {"name": "b"}]).to_string();
        let request = Request { excluded: vec!["b".into()], ..asked("exec") };

        let after: Value = serde_json::from_str(&patched(&containers, &request)).unwrap();

        assert_eq!((&json!("exec"), &Value::Null), (&after[0]["entryPoint"][1], &after[1]["entryPoint"]));
    }
}
