use super::*;

const COLLECTOR: &str = "  glassbox:
    image: glassbox:0.1.0
    command:
      - \"-o\"
      - jsonl
    volumes:
      - glassbox-0.1.0:/opt/glassbox
    healthcheck:
      test:
        - CMD
        - /opt/glassbox/glassbox
        - health
      interval: 2s
      timeout: 5s
    restart: unless-stopped
    network_mode: none
    read_only: true
    cap_drop:
      - ALL
    security_opt:
      - no-new-privileges:true
";
const ENVIRONMENT: &str = "    environment:
      LD_PRELOAD: /opt/glassbox/libglassbox.so
      GLASSBOX_SOCKET: /opt/glassbox/socket
";
const MOUNT: &str = "    volumes:
      - glassbox-0.1.0:/opt/glassbox:ro
";
const WAIT: &str = "    depends_on:
      glassbox:
        condition: service_healthy
        required: false
";
const VOLUMES: &str = "volumes:
  glassbox-0.1.0: {}
";

fn request() -> Request {
    Request {
        image: None,
        name: DEFAULT_NAME.into(),
        services: Vec::new(),
        is_opt_in: false,
        config: None,
        notify: None,
        options: Vec::new(),
    }
}

/// Patches, and checks what holds of every patch: doing it again changes nothing.
fn patched(text: &str, request: &Request) -> String {
    let once = patch(text, request).unwrap_or_else(|error| panic!("{error}: {text}"));
    let twice = patch(&once.text, request).unwrap();

    assert_eq!(once.text, twice.text, "twice is not once");
    assert!(!twice.notes.iter().any(|note| matches!(note, Note::Done(_))), "{:?}", twice.notes);
    once.text
}

/// The value of a patched service.
fn service(text: &str, name: &str) -> Value {
    let text = patched(text, &request());
    Documents::read(&text).unwrap().values()[0]["services"][name].clone()
}

fn web(fields: &str) -> Value {
    service(&format!("services:\n  web:\n    image: web\n{fields}"), "web")
}

fn notes(text: &str, request: &Request) -> Vec<Note> {
    patch(text, request).unwrap().notes
}

#[test]
fn a_collector_is_added_and_every_service_is_given_the_sensor() {
    let text =
        "# ours\nname: shop\nservices:\n  web: # the front\n    image: \"web:1\"\n\n  db:\n    image: db\n";

    let expected = format!(
        "# ours\nname: shop\nservices:\n  web: # the front\n    image: \"web:1\"\n{ENVIRONMENT}{MOUNT}{WAIT}\n  db:\n    image: db\n\
         {ENVIRONMENT}{MOUNT}{WAIT}{COLLECTOR}{VOLUMES}"
    );
    assert_eq!(expected, patched(text, &request()));
}

#[test]
fn both_forms_of_environment_are_appended_to() {
    for (fields, expected) in [
        (
            "    environment:\n      A: 1\n",
            json!({"A": 1, "LD_PRELOAD": "/opt/glassbox/libglassbox.so", "GLASSBOX_SOCKET": "/opt/glassbox/socket"}),
        ),
        (
            "    environment: [A=1, B]\n",
            json!([
                "A=1",
                "B",
                "LD_PRELOAD=/opt/glassbox/libglassbox.so",
                "GLASSBOX_SOCKET=/opt/glassbox/socket"
            ]),
        ),
        (
            "    environment:\n      LD_PRELOAD: ${JEMALLOC:-/a.so}\n      GLASSBOX_SOCKET: '@mine'\n",
            json!({"LD_PRELOAD": "${JEMALLOC:-/a.so}:/opt/glassbox/libglassbox.so", "GLASSBOX_SOCKET": "@mine"}),
        ),
        (
            "    environment:\n      - LD_PRELOAD=/a.so /opt/datadog/launcher.preload.so # two\n",
            json!([
                "LD_PRELOAD=/a.so /opt/datadog/launcher.preload.so:/opt/glassbox/libglassbox.so",
                "GLASSBOX_SOCKET=/opt/glassbox/socket"
            ]),
        ),
    ] {
        assert_eq!(expected, web(fields)["environment"], "{fields}");
    }
}

#[test]
fn both_forms_of_depends_on_get_the_condition() {
    let condition = json!({"condition": "service_healthy", "required": false});
    for (fields, expected) in [
        ("    depends_on: [db]\n", json!({"db": {"condition": "service_started"}, "glassbox": condition})),
        (
            "    depends_on:\n      db:\n        condition: service_completed_successfully\n",
            json!({"db": {"condition": "service_completed_successfully"}, "glassbox": condition}),
        ),
        (
            "    depends_on:\n      glassbox:\n        condition: service_started\n",
            json!({"glassbox": {"condition": "service_started"}}),
        ),
    ] {
        assert_eq!(expected, web(fields)["depends_on"], "{fields}");
    }
}

#[test]
fn volumes_of_both_forms_stay() {
    for (fields, expected) in [
        ("    volumes: ['./a:/a:rw']\n", json!(["./a:/a:rw", "glassbox-0.1.0:/opt/glassbox:ro"])),
        (
            "    volumes:\n      - type: bind\n        source: /a\n        target: /a\n",
            json!([{"type": "bind", "source": "/a", "target": "/a"}, "glassbox-0.1.0:/opt/glassbox:ro"]),
        ),
        (
            "    volumes:\n      - type: volume\n        source: glassbox-0.0.9\n        target: /opt/glassbox/\n        read_only: true\n",
            json!([{"type": "volume", "source": "glassbox-0.1.0", "target": "/opt/glassbox/", "read_only": true}]),
        ),
    ] {
        assert_eq!(expected, web(fields)["volumes"], "{fields}");
    }
}

#[test]
fn what_an_anchor_says_is_kept_for_others() {
    let text = "x-env: &env\n  A: 1\nx-common: &common\n  image: web\n  environment: *env\n\
                services:\n  web:\n    <<: *common\n    environment:\n      <<: *env\n      B: 2\n  other:\n    <<: *common\n    \
                labels: [glassbox.sensor=off]\n  third:\n    <<: *common\n";
    let result = patched(text, &request());

    let value = Documents::read(&result).unwrap().values()[0].clone();
    let ours = json!({"A": 1, "LD_PRELOAD": "/opt/glassbox/libglassbox.so", "GLASSBOX_SOCKET": "/opt/glassbox/socket"});
    assert_eq!(ours, value["services"]["third"]["environment"]);
    assert_eq!(json!(2), value["services"]["web"]["environment"]["B"]);
    assert_eq!(json!({"A": 1}), value["services"]["other"]["environment"]);
    assert_eq!(json!({"A": 1}), value["x-env"]);
    assert!(
        result.starts_with(
            "x-env: &env\n  A: 1\nx-common: &common\n  image: web\n  environment: *env\nservices:\n"
        ),
        "{result}"
    );
    assert!(result.contains("      <<: *env\n      B: 2\n      LD_PRELOAD:"), "{result}");
}

#[test]
fn what_a_service_of_the_file_extends_is_appended_to() {
    let text = "services:\n  base:\n    image: a\n    environment: [LD_PRELOAD=/a.so]\n  web:\n    extends: base\n  \
                app:\n    extends: {service: web}\n";

    assert_eq!("/a.so:/opt/glassbox/libglassbox.so", service(text, "app")["environment"]["LD_PRELOAD"]);
    let circle = "services:\n  a:\n    extends: b\n  b:\n    extends: a\n";
    assert_eq!("/opt/glassbox/libglassbox.so", service(circle, "a")["environment"]["LD_PRELOAD"]);
}

#[test]
fn services_say_no_and_are_chosen() {
    for (fields, words) in [
        ("    labels: {glassbox.sensor: \"off\"}\n", "its label glassbox.sensor says off"),
        ("    labels:\n      - glassbox/sensor=off\n", "its label glassbox/sensor says off"),
        ("    labels:\n      glassbox.sensor: false\n", "its label glassbox.sensor says off"),
        ("    environment: {GLASSBOX: \"off\"}\n", "GLASSBOX=off is in its environment"),
        ("    environment: {LD_PRELOAD: }\n", "compose takes its LD_PRELOAD from the shell that starts it"),
        ("    environment: [LD_PRELOAD]\n", "compose takes its LD_PRELOAD from the shell that starts it"),
        ("    environment: [LD_PRELOAD=/x/libglassbox.so]\n", "it brings a sensor of its own"),
        ("    volumes: [./mine:/opt/glassbox]\n", "it mounts something of its own at /opt/glassbox"),
        ("    platform: windows/amd64\n", "it is for Windows"),
        ("    runtime: glassbox\n", "its runtime puts the sensor in"),
    ] {
        let text = format!("services:\n  web:\n    image: web\n{fields}");
        let result = patch(&text, &request()).unwrap();

        assert_eq!(text, result.text);
        assert!(
            matches!(result.notes.as_slice(), [Note::Skipped(why), Note::Warning(_)] if why.contains(words)),
            "{fields}: {:?}",
            result.notes
        );
    }
    let text = "services:\n  a: {image: a}\n  b: {image: b, labels: {glassbox.sensor: 'on'}}\n";
    let has = |text: &str, name: &str| {
        !Documents::read(text).unwrap().values()[0]["services"][name]["depends_on"].is_null()
    };
    for request in
        [Request { services: vec!["b".into()], ..request() }, Request { is_opt_in: true, ..request() }]
    {
        let text = patched(text, &request);

        assert_eq!((false, true), (has(&text, "a"), has(&text, "b")));
    }
}

#[test]
fn what_may_not_work_is_warned_of() {
    for (fields, words) in [
        ("    env_file: .env\n", "its env_file is not read"),
        ("    extends: {file: a.yml, service: b}\n", "the file that it extends is not read"),
        ("    platform: linux/arm64\n", "the sensor is for the platform of the collector's image"),
        ("    deploy: {mode: global}\n", "a swarm ignores depends_on"),
    ] {
        let notes = notes(&format!("services:\n  web:\n    image: web\n{fields}"), &request());

        assert!(
            notes.iter().any(|note| matches!(note, Note::Warning(what) if what.contains(words))),
            "{fields}: {notes:?}"
        );
    }
    for fields in [
        "    deploy: {replicas: 2}\n    profiles: [x]\n",
        "    env_file: .env\n    environment: [LD_PRELOAD=]\n",
    ] {
        let notes = notes(&format!("services:\n  web:\n    image: web\n{fields}"), &request());

        assert!(!notes.iter().any(|note| matches!(note, Note::Warning(_))), "{notes:?}");
    }
    let latest = Request { image: Some("r.example:5000/glassbox".into()), ..request() };
    let notes = notes("services: {web: {image: web}}", &latest);
    assert!(matches!(&notes[0], Note::Warning(what) if what.contains("may be another image tomorrow")));
}

#[test]
fn another_image_brings_another_volume() {
    let once = patched("services:\n  web:\n    image: web\n", &request());
    let request = Request { image: Some("r.example/glassbox:2".into()), ..request() };
    let moved = patched(&once, &request);

    let expected = once
        .replace("image: glassbox:0.1.0", "image: r.example/glassbox:2")
        .replace("glassbox-0.1.0", "glassbox-2");
    assert_eq!(expected, moved);
    let digest = Request { image: Some("glassbox@sha256:0123456789abcdef0123".into()), ..request };
    assert_eq!(
        expected
            .replace("r.example/glassbox:2", "glassbox@sha256:0123456789abcdef0123")
            .replace("glassbox-2", "glassbox-0123456789ab"),
        patched(&moved, &digest)
    );
}

#[test]
fn a_changed_collector_service_stays() {
    let once = patched("services:\n  web:\n    image: web\n", &request());
    let changed = once
        .replace("      - jsonl\n", "      - human # for people\n")
        .replace("network_mode: none", "network_mode: host");

    assert_eq!(changed, patched(&changed, &request()));
    let request = Request { options: vec!["-o".into(), "otlp:http://x:1".into()], ..request() };
    assert!(patched(&changed, &request).contains("otlp:http://x:1"));
    assert!(
        !patched("services:\n  web:\n    image: web\n", &request).contains("network_mode"),
        "it could not send anything"
    );
}

#[test]
fn another_name_is_known_again() {
    let text = "services:\n  web:\n    image: web\n  glassbox:\n    image: somebody/glassbox\n";
    let Err(Error::Refused(why)) = patch(text, &request()) else { panic!() };
    assert!(why.contains("another name with --name"), "{why}");

    let request = Request { name: "sentinel".into(), ..request() };
    let result = patched(text, &request);
    assert!(result.contains("      - sentinel-0.1.0:/opt/glassbox:ro\n"), "{result}");
}

#[test]
fn json_and_line_ends_stay_what_they_are() {
    let json = patched("{\"services\": {\"web\": {\"image\": \"web\"}}}", &request());
    assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json}");

    let windows = patched("services:\r\n  web:\r\n    image: web\r\n", &request());
    assert_eq!(windows.matches('\n').count(), windows.matches("\r\n").count());
}

#[test]
fn what_is_no_compose_file_is_told_by_line() {
    for (text, words) in [
        ("", "it has no 'services'"),
        ("web:\n  image: a\n", "it has no 'services'"),
        ("services: [a]\n", "line 1: services is not a mapping"),
        ("services:\n  web:\n", "line 2: services.web is not a mapping"),
        (
            "services:\n  web:\n    image: a\n    environment: A=1\n",
            "line 4: services.web.environment is neither",
        ),
        (
            "services:\n  web:\n    image: a\n    environment: [{A: 1}]\n",
            "line 4: services.web.environment holds",
        ),
        ("services:\n  web:\n    volumes: a\n", "line 3: services.web.volumes is not a list"),
        ("services:\n  web:\n    depends_on: 3\n", "line 3: services.web.depends_on is neither"),
        ("services:\n  web:\n    depends_on: [3]\n", "line 3: services.web.depends_on holds"),
        ("services: {web: {}}\nvolumes: []\n", "line 2: volumes is not a mapping"),
        ("a: 1\n---\nb: 1\n", "it has several documents"),
        ("services:\n\tweb: x\n", "line 2, column"),
    ] {
        let Err(Error::Malformed(why)) = patch(text, &request()) else { panic!("{text}") };

        assert!(why.starts_with(words), "{text}: {why}");
    }
    for (text, request, words) in [
        (
            "services: {a: {}, b: {}}",
            Request { services: vec!["c".into()], ..request() },
            "no service is called 'c'; there are a, b",
        ),
        (
            "services: {a: {labels: [glassbox.sensor=maybe]}}",
            request(),
            "service 'a': its label glassbox.sensor is 'maybe'",
        ),
    ] {
        let Err(Error::Refused(why)) = patch(text, &request) else { panic!("{text}") };

        assert!(why.starts_with(words), "{why}");
    }
}

/// Fields of services, good and bad.
const FIELDS: &[&str] = &[
    "    image: web # one\n",
    "    <<: *common\n",
    "    environment: *env\n",
    "    environment: [A=1, LD_PRELOAD=/a.so]\n",
    "    environment:\n      LD_PRELOAD: '/a.so /b.so'\n      # within\n      C: 3\n",
    "    environment:\n      - GLASSBOX=off\n",
    "    depends_on: [other]\n",
    "    depends_on:\n      - other # first\n",
    "    depends_on:\n      other: {condition: service_started}\n",
    "    volumes:\n    - a:/a\n",
    "    volumes: [{type: bind, source: ., target: /opt/glassbox}]\n",
    "    volumes:\n      - glassbox-0.0.1:/opt/glassbox\n",
    "    labels: {glassbox.sensor: 'on'}\n",
    "    labels:\n      - glassbox.sensor=off\n",
    "    extends: {service: other}\n",
    "    env_file: x\n",
    "    command: |\n      a\n      b\n",
];

proptest::proptest! {
    #[test]
    fn whatever_is_patched_is_patched_once(
        web in proptest::collection::vec(proptest::sample::select(FIELDS), 1..6),
        other in proptest::collection::vec(proptest::sample::select(FIELDS), 1..6),
        tail in proptest::sample::select(&["", "volumes: {a: }\n", "volumes:\n  glassbox-0.0.1:\n  a: # mine\n", "name: x"][..]),
        is_opt_in: bool,
        is_moved: bool,
    ) {
        let request = Request { image: is_moved.then(|| "r/glassbox:3".to_owned()), is_opt_in, ..request() };
        let text = format!(
            "x-env: &env\n  A: 1\nx-common: &common\n  image: c\n  environment: *env\nservices:\n  web:\n{}  other:\n{}{tail}",
            web.concat(),
            other.concat()
        );

        // A field twice is malformed.
        let Ok(once) = patch(&text, &request) else { return Ok(()) };
        let twice = patch(&once.text, &request).unwrap();

        assert_eq!(once.text, twice.text);
        for comment in ["# one", "# within", "# mine"] {
            assert_eq!(text.matches(comment).count(), once.text.matches(comment).count(), "{}", once.text);
        }
    }
}

#[test]
fn merge_stays_where_its_anchor_gains_what_the_service_gains() {
    let text = "\
services:
  web:
    image: a
    environment: &web
      A: \"1\"
  worker:
    image: b
    environment:
      <<: *web   # as the other
      C: \"3\"
  third: &third
    image: c
  fourth:
    <<: [*third]
    image: d
";

    let after = patched(text, &request());

    assert!(
        after.contains("    environment:\n      <<: *web   # as the other\n      C: \"3\"\n    volumes:"),
        "{after}"
    );
    assert!(after.contains("  fourth:\n    <<: [*third]\n    image: d\n  glassbox:"), "{after}");
}

#[test]
fn merge_is_written_out_where_only_its_anchor_gains() {
    let text = "\
services:
  web:
    image: a
    environment: &web {A: b}
  worker:
    image: b
    labels: {glassbox.sensor: \"off\"}
    environment:
      <<: *web
";

    let after = patched(text, &request());

    assert!(after.contains("      <<: {A: b}\n"), "{after}");
}

#[test]
fn upgrades_of_a_file_without_a_last_line_end_add_no_line() {
    let image = |tag: &str| Request { image: Some(format!("r.example/glassbox:{tag}")), ..request() };
    let once = patched("services:\n  web:\n    image: a", &image("1"));
    let again = patched(&patched(&once, &image("2")), &image("3"));

    assert_eq!(once.replace("glassbox:1", "glassbox:3").replace("glassbox-1", "glassbox-3"), again);
    assert!(!again.ends_with('\n'), "{again}");
}
