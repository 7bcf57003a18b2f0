//! Puts `glassbox exec --notify` before the commands of a pod's containers.
//!
//! Probes and lifecycle hooks stay as they are: the kubelet starts them beside the application, where they
//! have no supervisor.

use serde_json::{Map, Value};

use super::names::{LISTS, PROGRAM};
use super::request::Request;
use crate::notify::{Unknown, WITHOUT, is_supervised, is_without_listener, unsaid};

/// A container's command after the patch, if it changes. `args` belongs to the command, and stays.
///
/// # Errors
/// Why nothing can be put before it, and what to do.
pub fn command(
    spec: &Map<String, Value>,
    container: &Value,
    request: &Request,
) -> Result<Option<Value>, Unknown> {
    let Some(notify) = &request.notify else { return Ok(None) };
    let words = container.get("command").and_then(Value::as_array).filter(|words| !words.is_empty());
    let (words, class) = match (words, &notify.level) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err(unsaid("command")),
        (Some(words), None) => (words, None),
        (Some(words), Some(_)) => (words, spec.get("runtimeClassName").and_then(Value::as_str)),
    };
    if let Some(class) = class.filter(|class| is_without_listener(class)) {
        return Err(format!(
            "its runtimeClassName '{class}' is gVisor, which has no seccomp listener (docs/notify.md); {WITHOUT}"
        ));
    }
    let after = notify.before_words(PROGRAM, words)?;
    Ok((after != *words).then_some(Value::Array(after)))
}

/// Whether a container of the pod is started by the command line, which the installer copies then too.
pub fn has_supervised(spec: &Map<String, Value>) -> bool {
    let mut all = LISTS.into_iter().filter_map(|key| spec.get(key)?.as_array()).flatten();
    all.any(|container| is_supervised(PROGRAM, &container["command"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::pod::{Put, put_in};
    use super::super::stop::Stop;
    use super::*;
    use crate::notify::Notify;

    fn asked(level: &str) -> Request {
        let level = (level != "off").then(|| level.to_owned());
        Request { notify: Some(Notify { level, is_required: false }), ..Request::default() }
    }

    fn pod(spec: &Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": spec})
    }

    fn put(pod: &Value, request: &Request) -> Result<(Value, Put), Stop> {
        let mut after = pod.clone();
        put_in(&mut after, request).map(|put| (after, put))
    }

    /// The pod after a patch, which a second one must leave as it is.
    fn after(pod: &Value, request: &Request) -> Value {
        let once = put(pod, request).unwrap().0;
        for again in [request.clone(), Request { notify: None, ..request.clone() }] {
            assert_eq!(
                (&once, true),
                put(&once, &again).as_ref().map(|(pod, put)| (pod, put.is_same)).unwrap()
            );
        }
        once
    }

    #[test]
    fn supervisor_stands_before_the_command_and_its_program_is_carried() {
        let probe = json!({"exec": {"command": ["/app", "alive"]}});
        let app = json!({"name": "app", "command": ["/app", "$(MODE)"], "args": ["-v"], "livenessProbe": probe,
                         "lifecycle": {"preStop": {"exec": {"command": ["/app", "stop"]}}}});
        let before = pod(&json!({"containers": [app]}));
        let alone = after(&before, &Request::default());

        let on = after(&before, &asked("security"));

        let mut expected = alone.clone();
        expected["spec"]["containers"][0]["command"] =
            json!(["/glassbox/glassbox", "exec", "--notify", "security", "--", "/app", "$(MODE)"]);
        expected["spec"]["initContainers"][0]["command"] =
            json!(["/opt/glassbox/glassbox", "install", "--with-command", "/glassbox"]);
        expected["spec"]["volumes"][0]["emptyDir"]["sizeLimit"] = json!("48Mi");
        assert_eq!(expected, on);
        expected["spec"]["containers"][0]["command"][3] = json!("full");
        assert_eq!(expected, after(&on, &asked("full")));
        assert_eq!(alone, after(&on, &asked("off")));
    }

    #[test]
    fn containers_whose_command_is_the_images_are_left_and_a_pod_of_them_is_refused() {
        let [with, without] = [json!({"name": "a", "command": ["/a"]}), json!({"name": "b", "args": ["-v"]})];
        let both = pod(&json!({"containers": [with, without]}));

        let (after, put_both) = put(&both, &asked("exec")).unwrap();
        let refused = put(&pod(&json!({"containers": [without]})), &asked("exec")).unwrap_err();

        assert_eq!((vec!["a".to_owned()], &without), (put_both.containers, &after["spec"]["containers"][1]));
        assert!(put_both.left[0].1 == unsaid("command"), "{:?}", put_both.left);
        let Stop::Refused(why) = refused else { panic!("{refused:?}") };
        assert!(why == format!("'b': {}", unsaid("command")), "{why}");
    }

    #[test]
    fn a_webhook_gives_such_a_container_the_sensor_alone_and_says_so() {
        let request = Request { has_sensor_alone: true, ..asked("exec") };

        let (after, put) =
            put(&pod(&json!({"containers": [{"name": "a", "command": []}]})), &request).unwrap();

        let container = &after["spec"]["containers"][0];
        assert_eq!((&json!([]), &json!("LD_PRELOAD")), (&container["command"], &container["env"][0]["name"]));
        assert!(put.warnings[0].starts_with("'a' has the sensor alone: it has no 'command'"), "{put:?}");
    }

    #[test]
    fn gvisor_has_no_listener() {
        let pod =
            pod(&json!({"runtimeClassName": "gvisor", "containers": [{"name": "a", "command": ["/a"]}]}));

        let Stop::Refused(why) = put(&pod, &asked("full")).unwrap_err() else { panic!("not refused") };

        assert!(why.contains("no seccomp listener"), "{why}");
        after(&pod, &asked("off"));
    }

    #[test]
    fn init_containers_are_supervised_where_they_get_the_sensor() {
        let containers = json!([{"name": "a", "command": ["/a"]}]);
        let pod =
            pod(&json!({"initContainers": [{"name": "i", "command": ["/i"]}], "containers": containers}));

        let by_default = after(&pod, &asked("exec"));
        let with = after(&pod, &Request { with_init_containers: true, ..asked("exec") });

        assert_eq!(json!(["/i"]), by_default["spec"]["initContainers"][2]["command"]);
        assert_eq!(json!("exec"), with["spec"]["initContainers"][2]["command"][1]);
    }
}
