use serde_json::{Value, json};

use super::*;

pub fn request() -> Request {
    Request { image: Some("registry.example/glassbox:1".into()), ..Request::default() }
}

fn pod(spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
}

fn annotated(annotations: Value) -> Value {
    let mut pod = pod(json!({"containers": [{"name": "app"}, {"name": "log"}]}));
    pod["metadata"]["annotations"] = annotations;
    pod
}

fn put(pod: &Value, request: &Request) -> Result<(Value, pod::Put), Stop> {
    let mut after = pod.clone();
    let put = pod::put_in(&mut after, request);
    if put.is_err() {
        assert_eq!(pod, &after, "a failure changed something");
    }
    put.map(|put| (after, put))
}

fn after(pod: &Value) -> Value {
    put(pod, &request()).unwrap().0
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn a_pod_gets_two_containers_a_folder_and_an_environment() {
    let before = pod(json!({
        "initContainers": [{"name": "migrate"}],
        "containers": [{"name": "app", "env": [{"name": "A", "value": "1"}]}],
        "volumes": [{"name": "v"}],
    }));

    let after = after(&before);

    let spec = &after["spec"];
    assert_eq!(
        ["glassbox-install", "glassbox-collector", "migrate"],
        names(&spec["initContainers"]).as_slice()
    );
    assert_eq!(json!({"name": "migrate"}), spec["initContainers"][2]);
    assert_eq!(
        json!([
            {"name": "A", "value": "1"},
            {"name": "LD_PRELOAD", "value": "/glassbox/libglassbox.so"},
            {"name": "GLASSBOX_SOCKET", "value": "/glassbox/socket"},
        ]),
        spec["containers"][0]["env"]
    );
    assert_eq!(
        json!([{"name": "glassbox", "mountPath": "/glassbox", "readOnly": true}]),
        spec["containers"][0]["volumeMounts"]
    );
    assert_eq!(json!({"name": "glassbox", "emptyDir": {"sizeLimit": "16Mi"}}), spec["volumes"][1]);
    assert_eq!(json!({"glassbox/injected": "app"}), after["metadata"]["annotations"]);
    let [install, collect] = [&spec["initContainers"][0], &spec["initContainers"][1]];
    assert_eq!(json!(["/opt/glassbox/glassbox", "install", "/glassbox"]), install["command"]);
    assert_eq!(json!(["/opt/glassbox/glassbox", "collect", "-o", "jsonl"]), collect["command"]);
    assert_eq!(
        ("Always", &Value::Null),
        (collect["restartPolicy"].as_str().unwrap(), &install["restartPolicy"])
    );
    assert_eq!(json!(["/opt/glassbox/glassbox", "health"]), collect["startupProbe"]["exec"]["command"]);
}

#[test]
fn patching_again_changes_what_moved_and_nothing_else() {
    let once = after(&pod(json!({"containers": [{"name": "app"}]})));
    let (twice, again) = put(&once, &request()).unwrap();
    let moved = put(&once, &Request { image: Some("other:2".into()), ..request() }).unwrap().0;

    assert_eq!((&once, true), (&twice, again.is_same));
    assert_eq!(
        once,
        put(&once, &Request::default()).unwrap().0,
        "settings that the request does not name stay"
    );
    let text = serde_json::to_string(&once).unwrap().replace("registry.example/glassbox:1", "other:2");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), moved);
}

#[test]
fn what_api_servers_and_people_add_to_ours_stays() {
    let mut live = after(&pod(json!({"containers": [{"name": "app"}]})));
    let spec = &mut live["spec"];
    spec["volumes"][0]["emptyDir"]["medium"] = json!("Memory");
    for container in spec["initContainers"].as_array_mut().unwrap() {
        container["imagePullPolicy"] = json!("Always");
        container["terminationMessagePath"] = json!("/dev/termination-log");
        container["volumeMounts"].as_array_mut().unwrap().push(json!({"name": "more", "mountPath": "/more"}));
    }
    let collector = &mut spec["initContainers"][1];
    collector["startupProbe"]["successThreshold"] = json!(1);
    collector["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] = json!("v1");

    let (again, put) = put(&live, &request()).unwrap();

    assert_eq!((&live, true), (&again, put.is_same));
    live["spec"]["initContainers"][1]["startupProbe"]["periodSeconds"] = json!(7);
    live["spec"]["initContainers"][1]["env"][4] = json!({"name": "GLASSBOX_SOCKET", "valueFrom": {}});
    assert_eq!(again, after(&live));
}

#[test]
fn what_is_preloaded_stays_in_front() {
    let entry = |value: Value| {
        pod(json!({"containers": [{"name": "app", "env": [{"name": "LD_PRELOAD", "value": value}]}]}))
    };
    let merged = |value| after(&entry(value))["spec"]["containers"][0]["env"][0]["value"].take();

    assert_eq!("/dd.so:/glassbox/libglassbox.so", merged(json!("/dd.so")));
    assert_eq!("$(OTHER):/glassbox/libglassbox.so", merged(json!("$(OTHER)")));
    assert_eq!("/glassbox/libglassbox.so", merged(Value::Null));
    assert_eq!("/glassbox/libglassbox.so /x.so", merged(json!("/glassbox/libglassbox.so /x.so")));
}

#[test]
fn added_containers_have_the_apps_user_and_are_restricted() {
    let context = |pod_level: Value, container: Value| {
        let before = pod(
            json!({"securityContext": pod_level, "containers": [{"name": "app", "securityContext": container}]}),
        );
        after(&before)["spec"]["initContainers"][1]["securityContext"].take()
    };
    let strict = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
        "seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": true,
    });
    let with = |more: Value| {
        let mut expected = strict.clone();
        more.as_object().unwrap().iter().for_each(|(key, value)| expected[key] = value.clone());
        expected
    };

    assert_eq!(with(json!({"runAsUser": 65532, "runAsGroup": 65532})), context(Value::Null, Value::Null));
    assert_eq!(
        with(json!({"runAsUser": 1, "runAsGroup": 2})),
        context(json!({"runAsUser": 9}), json!({"runAsUser": 1, "runAsGroup": 2, "privileged": true}))
    );
    assert_eq!(strict, context(json!({"runAsUser": 9}), json!({"runAsNonRoot": true})));
    assert_eq!(
        with(json!({"runAsNonRoot": false, "runAsUser": 0})),
        context(Value::Null, json!({"runAsUser": 0}))
    );
}

#[test]
fn a_guaranteed_pod_stays_guaranteed() {
    let exact = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    let of = |resources: Value| {
        let before = pod(json!({"containers": [{"name": "app", "resources": resources}]}));
        after(&before)["spec"]["initContainers"][0]["resources"]["requests"].take()
    };

    assert_eq!(json!({"cpu": "500m", "memory": "128Mi"}), of(exact));
    assert_eq!(json!({"cpu": "10m", "memory": "128Mi"}), of(Value::Null));
}

#[test]
fn pods_on_the_hosts_network_have_sockets_of_their_own() {
    let after = after(&pod(json!({"hostNetwork": true, "containers": [{"name": "app"}]})));

    let environment = &after["spec"]["containers"][0]["env"];
    assert_eq!(["LD_PRELOAD", "GLASSBOX_POD", "GLASSBOX_SOCKET"], names(environment).as_slice());
    assert_eq!("/glassbox/$(GLASSBOX_POD)", environment[2]["value"]);
    assert_eq!("/glassbox/$(GLASSBOX_POD)", after["spec"]["initContainers"][1]["env"][5]["value"]);
}

#[test]
fn containers_are_chosen_by_flag_or_annotation() {
    let chosen = |annotations: Value, containers: &[&str], with_init_containers: bool| {
        let mut before = annotated(annotations);
        before["spec"]["initContainers"] = json!([{"name": "init"}]);
        before["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "istio-proxy"}));
        let containers = containers.iter().map(|name| (*name).to_owned()).collect();
        put(&before, &Request { containers, with_init_containers, ..request() })
            .map(|(_, put)| put.containers)
    };

    assert_eq!(vec!["app", "log"], chosen(Value::Null, &[], false).unwrap());
    assert_eq!(vec!["app", "log", "init"], chosen(Value::Null, &[], true).unwrap());
    assert_eq!(vec!["log"], chosen(Value::Null, &["log", "none"], false).unwrap());
    assert_eq!(vec!["init"], chosen(Value::Null, &["init"], false).unwrap());
    let excluding = Request { excluded: vec!["app".into()], ..request() };
    assert_eq!(vec!["log"], put(&annotated(Value::Null), &excluding).unwrap().1.containers);
    assert_eq!(vec!["istio-proxy"], chosen(Value::Null, &["istio-proxy"], false).unwrap());
    assert_eq!(vec!["app"], chosen(json!({"glassbox/containers": " app ,"}), &["log"], false).unwrap());
    assert_eq!(
        Stop::LeftAlone("it has no container 'x'".into()),
        chosen(Value::Null, &["x"], false).unwrap_err()
    );
    assert!(matches!(
        chosen(json!({"glassbox/containers": "x"}), &[], false).unwrap_err(),
        Stop::Refused(why) if why.ends_with("names 'x'; it has 'app', 'log', 'istio-proxy', 'init'")
    ));
}

#[test]
fn pods_say_whether_they_want_it() {
    let wants =
        |annotations: Value, is_opt_in| put(&annotated(annotations), &Request { is_opt_in, ..request() });
    let said = |word: &str| json!({"glassbox/sensor": word});

    assert!(wants(said("on"), true).is_ok() && wants(json!({"other/one": 3}), false).is_ok());
    assert!(matches!(wants(said("off"), false), Err(Stop::LeftAlone(_))));
    assert!(matches!(wants(Value::Null, true), Err(Stop::LeftAlone(_))));
    for odd in [said("maybe"), json!({"glassbox/sensor": false})] {
        assert!(matches!(
            wants(odd, false),
            Err(Stop::Malformed(at, _)) if at == "/metadata/annotations/glassbox~1sensor"
        ));
    }
}

#[test]
fn what_cannot_be_done_is_refused_or_left_out_by_name() {
    let app = || json!({"name": "app"});
    let foreign = || json!({"name": "log", "env": [{"name": "LD_PRELOAD", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]});
    let refused = |spec: Value| match put(&pod(spec), &request()) {
        Err(Stop::Refused(why)) => why,
        other => panic!("{other:?}"),
    };

    assert!(refused(json!({"os": {"name": "windows"}, "containers": [app()]})).contains("for Windows"));
    assert!(
        refused(json!({"nodeSelector": {"kubernetes.io/os": "windows"}, "containers": [app()]}))
            .contains("for Windows")
    );
    assert!(
        refused(json!({"containers": [foreign()]})).contains("'log': its LD_PRELOAD comes from elsewhere")
    );
    assert!(
        refused(json!({"containers": [{"name": "glassbox-install"}]}))
            .contains("'glassbox-install' that is not ours")
    );
    assert!(
        refused(json!({"containers": [app()], "volumes": [{"name": "glassbox"}]}))
            .contains("volume 'glassbox'")
    );
    let mounted = json!({"name": "app", "volumeMounts": [{"name": "x", "mountPath": "/glassbox/"}]});
    assert!(refused(json!({"containers": [mounted]})).contains("mounted at /glassbox"));
    let (after, put) = put(&pod(json!({"containers": [app(), foreign()]})), &request()).unwrap();
    assert_eq!((vec!["app".to_owned()], "log"), (put.containers, put.left[0].0.as_str()));
    assert!(
        after["metadata"]["annotations"]["glassbox/left"]
            .as_str()
            .unwrap()
            .starts_with("log: its LD_PRELOAD")
    );
}

#[test]
fn containers_that_do_not_want_it_are_left_alone() {
    for (entry, words) in [
        (json!({"name": "GLASSBOX", "value": "off"}), "GLASSBOX=off"),
        (json!({"name": "LD_PRELOAD", "value": "/a.so:/opt/libglassbox.so"}), "a sensor of its own"),
    ] {
        let before = pod(json!({"containers": [{"name": "app", "env": [entry]}]}));

        assert!(
            matches!(put(&before, &request()), Err(Stop::LeftAlone(why)) if why.contains(words)),
            "{words}"
        );
    }
}

#[test]
fn an_environment_from_elsewhere_is_warned_of() {
    let from = json!([{"configMapRef": {"name": "c"}}]);
    let (_, put) = put(&pod(json!({"containers": [{"name": "app", "envFrom": from}]})), &request()).unwrap();

    assert_eq!(1, put.warnings.len());
    assert!(put.warnings[0].contains("envFrom"));
}

#[test]
fn wrong_shapes_are_named_by_line() {
    let why = |spec: &str| {
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  template:\n{spec}"
        );
        match patch(&text, &request()) {
            Err(Error::Malformed(why)) => why,
            other => panic!("{other:?}"),
        }
    };

    for (spec, words) in [
        ("    spec: 3\n", "line 6: Deployment 'web': 'spec' is missing or no object"),
        ("    spec: {}\n", "line 6: Deployment 'web': 'containers' is missing or no list"),
        (
            "    spec:\n      containers:\n      - image: x\n",
            "line 8: Deployment 'web': a container without a name",
        ),
        (
            "    spec:\n      containers:\n      - name: a\n        env: {}\n",
            "line 9: Deployment 'web': 'env' is not a list",
        ),
        (
            "    spec:\n      containers:\n      - name: a\n        env:\n        - A=1\n",
            "line 10: Deployment 'web': 'env' holds",
        ),
        (
            "    spec:\n      volumes: 1\n      containers: [{name: a}]\n",
            "line 7: Deployment 'web': 'volumes' is not a list",
        ),
        (
            "    metadata: []\n    spec: {containers: [{name: a}]}\n",
            "line 6: Deployment 'web': 'metadata' is not an object",
        ),
        ("    - x\n", "line 5: Deployment 'web': a pod is not an object"),
    ] {
        assert!(why(spec).starts_with(words), "{spec}: {}", why(spec));
    }
    let missing =
        patch("apiVersion: batch/v1\nkind: CronJob\nspec: {}\n", &request()).unwrap_err().to_string();
    assert_eq!(
        "line 3: CronJob 'without a name': it has no 'spec.jobTemplate.spec.template' \
         (a patch of kustomize? patch what 'kustomize build' makes)",
        missing
    );
    let template = patch("a: {{ .Values.x }}\nb: {{- end }}\n", &request()).unwrap_err().to_string();
    assert!(template.contains("helm template"), "{template}");
}

#[test]
fn only_documents_that_make_pods_are_touched() {
    let text = "\
# Everything.
kind:   Service   # stays
apiVersion: v1
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: nightly   # stays
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - name: app
            image: 'x'
          restartPolicy: Never
---
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
spec: {tasks: []}
";

    let patched = patch(text, &request()).unwrap();

    let mut lines = patched.text.lines();
    assert!(text.lines().all(|line| lines.any(|patched| patched == line)), "{}", patched.text);
    assert!(patched.text.starts_with(text.split("---").next().unwrap()));
    assert!(
        patched.text.ends_with("---\napiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec: {tasks: []}\n")
    );
    assert_eq!(
        vec![Note::Done("CronJob 'nightly': the sensor is in 'app', a collector beside it".into())],
        patched.notes
    );
    assert_eq!(
        Patched { text: patched.text.clone(), notes: Vec::new() },
        patch(&patched.text, &request()).unwrap()
    );
}

#[test]
fn lists_are_looked_into_and_json_stays_json() {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        pod(json!({"containers": [{"name": "a"}]})),
        {"apiVersion": "v1", "kind": "ConfigMap"},
        {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": pod(json!({"containers": [{"name": "b"}]}))}}
        ]},
    ]});

    for text in [list.to_string(), serde_json::to_string_pretty(&list).unwrap()] {
        let patched = patch(&text, &request()).unwrap();

        let after: Value = serde_json::from_str(&patched.text).unwrap();
        assert_eq!(2, patched.notes.len());
        assert!(after["items"][0]["spec"]["volumes"].is_array());
        assert!(after["items"][2]["items"][0]["spec"]["template"]["spec"]["volumes"].is_array());
        assert_eq!(text.contains('\n'), patched.text.contains('\n'));
    }
}

#[test]
fn pods_that_share_text_are_each_patched() {
    let text = "\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
  - &app
    name: a
    env: &env
    - {name: X, value: y}
  - name: b
    env: *env
  - <<: *app
    name: c
";

    let patched = patch(text, &request()).unwrap();

    let after = Documents::read(&patched.text).unwrap();
    for container in after.values()[0]["spec"]["containers"].as_array().unwrap() {
        assert_eq!(["X", "LD_PRELOAD", "GLASSBOX_SOCKET"], names(&container["env"]).as_slice());
    }
    assert_eq!(patched.text, patch(&patched.text, &request()).unwrap().text);
}

#[test]
fn kinds_that_make_pods_and_are_not_taken_are_missed() {
    let pods = "spec: {template: {spec: {containers: [{name: a, image: b}]}}}\n";
    for head in
        ["apiVersion: argoproj.io/v1alpha1\nkind: Rollout\n", "apiVersion: v1\nkind: DeploymentConfig\n"]
    {
        let text = format!("{head}metadata: {{name: web}}\n{pods}");
        let listed = format!("apiVersion: v1\nkind: List\nitems:\n- {}", text.replace('\n', "\n  "));
        for text in [text, listed] {
            let patched = patch(&text, &request()).unwrap();

            assert_eq!(text, patched.text);
            let missed = |note: &Note| matches!(note, Note::Missed(what) if what.contains("'web'"));
            assert_eq!(1, patched.notes.iter().filter(|note| missed(note)).count(), "{:?}", patched.notes);
        }
    }
    let old = patch(&format!("apiVersion: extensions/v1beta1\nkind: DaemonSet\n{pods}"), &request()).unwrap();
    assert!(old.text.contains("glassbox-collector"), "{}", old.text);
    let other = patch("apiVersion: v1\nkind: Service\nspec: {ports: [{name: a}]}\n", &request()).unwrap();
    assert!(!other.notes.iter().any(|note| matches!(note, Note::Missed(_))), "{:?}", other.notes);
}

#[test]
fn compose_file_is_no_manifest() {
    let why = patch("services:\n  web: {image: a}\n", &request()).unwrap_err().to_string();

    assert!(why.contains("glassbox patch compose"), "{why}");
}
