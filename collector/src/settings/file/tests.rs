use super::*;
use crate::settings::keys::{OUTPUT, RULES};

fn problems(text: &str) -> Vec<String> {
    match read(text.as_bytes(), "g.yaml", None) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(Problem::to_string).collect(),
    }
}

fn values(text: &str, key: &'static Key, folder: Option<&str>) -> Vec<String> {
    let configuration = match read(text.as_bytes(), "g.yaml", folder.map(Path::new)) {
        Ok(configuration) => configuration,
        Err(problems) => panic!("{}", problems[0]),
    };
    let found = configuration.values.get(key.name).map(|found| found.values.clone()).unwrap_or_default();
    found.into_iter().map(|value| value.into_string().unwrap()).collect()
}

#[test]
fn unknown_key_is_refused_with_the_nearest_name_and_its_place() {
    for (text, expected) in [
        ("sockte: /x", "g.yaml:1:1: unknown key 'sockte'; did you mean 'socket'?"),
        ("rules:\n  file: x", "g.yaml:2:3: unknown key 'file' in 'rules'; did you mean 'files'?"),
        ("rule: {files: x}", "g.yaml:1:1: unknown key 'rule'; did you mean 'rules'?"),
        ("rules.files: x", "g.yaml:1:1: unknown key 'rules.files'; write 'files' in the section 'rules'"),
        ("fail_on: error", "g.yaml:1:1: unknown key 'fail_on'; write 'fail_on' in the section 'rules'"),
        (
            "rules: {redact: on}",
            "g.yaml:1:9: unknown key 'redact' in 'rules'; write 'redact' without a section",
        ),
        (
            "rules: {xyzzy: 1}",
            "g.yaml:1:9: unknown key 'xyzzy' in 'rules'; there are files, default, fail_on",
        ),
        (
            "outputs: [{format: human, mdoe: 1}]",
            "g.yaml:1:27: unknown key 'mdoe' of an output; did you mean 'mode'?",
        ),
    ] {
        assert_eq!(vec![expected.to_owned()], problems(text), "{text}");
    }
}

#[test]
fn value_of_the_wrong_kind_is_refused_where_it_stands() {
    for (text, expected) in [
        ("- a", "g.yaml:1:1: the file is a list, not a mapping; write KEY: VALUE lines"),
        ("rules: x", "g.yaml:1:8: rules is a text, not a mapping; write KEY: VALUE lines"),
        ("filter: [a]", "g.yaml:1:9: filter: a list instead of a text; see 'glassbox config show'"),
        ("rules: {files: [[a]]}", "g.yaml:1:17: rules.files: a list instead of a list of paths"),
        ("redact: maybe", "g.yaml:1:9: redact: 'maybe' is neither on nor off; write one of them"),
        (
            "lambda: {fail: opne}",
            "g.yaml:1:16: lambda.fail: 'opne' is not one of open, closed; did you mean 'open'?",
        ),
        ("socket: '@'", "g.yaml:1:9: socket: '@' cannot be a socket's name; give a path or @name"),
        ("filter: proc.nmae = a", "g.yaml:1:9: filter: "),
        ("ecs_metadata: host", "g.yaml:1:15: ecs_metadata: 'host' is no address; give one as"),
        ("outputs:\n  - human\n  - yaml\n", "g.yaml:3:5: unknown format 'yaml' in -o 'yaml'"),
        ("outputs: [{to: x}]", "g.yaml:1:11: an output without 'format'; name one, as -o does"),
        ("outputs: [{format: jsonl, mode: 0640}]", "g.yaml:1:11: an output with options and without 'to'"),
        ("outputs: [{format: jsonl, to: 'x://y'}]", "g.yaml:1:31: jsonl cannot go to 'x://y'"),
        ("outputs: [{format: jsonl, to: x, mode: rw}]", "g.yaml:1:40: 'rw' is no mode; give permissions"),
        ("outputs: [{format: jsonl, to: [x]}]", "g.yaml:1:31: to: a list instead of a text; write one"),
        ("outputs: ['jsonl:/x', 'human:/x']", "g.yaml:1:10: two outputs go to '/x'"),
        ("socket: /a\nsocket: /b", "g.yaml:2:1: 'socket' is there twice; remove one of them"),
        ("[a]: b", "g.yaml:1:1: a key is a list; write a word"),
    ] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
    }
}

#[test]
fn text_that_is_no_yaml_is_refused_where_it_breaks() {
    for (text, expected) in [
        ("socket: /x\nfilter: 'a", "g.yaml:2:9: not YAML: "),
        ("socket: /x\n  filter: a", "g.yaml:2:"),
        ("socket: /x\n---\nb: 2", "g.yaml:3:1: a second document"),
        ("socket: !Ref x", "g.yaml:1:9: a tag; settings have none, take it out"),
        ("socket: *a", "g.yaml:1:"),
        ("rules: &a {files: *a}", "g.yaml:1:19: an alias within the value that it names"),
        ("\u{e9}: 1\n\u{e9}\u{e9}: 2", "g.yaml:1:1: unknown key '\u{e9}'"),
    ] {
        let found = problems(text);
        assert!(!found.is_empty() && found[0].starts_with(expected), "{text}: {found:?}");
    }
    let bytes = read(b"socket: /x\nfilter: \xff", "g.yaml", None).unwrap_err();
    assert_eq!("g.yaml:2:9: not UTF-8; convert it", bytes[0].to_string());
}

#[test]
fn all_problems_are_named_in_the_order_of_the_text() {
    let found = problems("sockte: /x\nredact: 7\nrules:\n  fail_on: never\n");

    let places: Vec<&str> = found.iter().map(|problem| problem.split(": ").next().unwrap()).collect();
    assert_eq!(vec!["g.yaml:1:1", "g.yaml:2:9", "g.yaml:4:12"], places);
}

#[test]
fn size_nesting_and_aliases_are_bounded() {
    let deep = format!("socket: {}{}", "[".repeat(40), "]".repeat(40));
    let long = format!("# {}", "x".repeat(LONGEST));
    // A thousand million of strings, were they copied.
    let laughs: String =
        (1..9).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "))).collect();
    let laughs = format!("a0: &a0 [x]\n{laughs}rules: {{files: *a8}}\n");

    assert!(problems(&deep)[0].contains("nested more than 16 deep"));
    assert_eq!(vec!["g.yaml:1:1: longer than 256 KiB; no configuration is".to_owned()], problems(&long));
    assert!(problems(&laughs).len() < 30, "{:?}", problems(&laughs));
}

#[test]
fn nothing_at_all_sets_nothing() {
    for text in ["", "# only words\n", "---\n", "rules:\n", "socket: ~\n", "\u{feff}"] {
        assert_eq!(Vec::<String>::new(), problems(text), "{text}");
        assert!(values(text, &RULES, None).is_empty());
    }
}

#[test]
fn output_of_a_mapping_is_that_of_an_option_and_commas_are_doubled() {
    let text = "outputs:\n- {format: jsonl, to: '/a,b', mode: 0640}\n- jsonl:/c,mode=0600\n- human\n";

    assert_eq!(vec!["jsonl:/a,,b,mode=0640", "jsonl:/c,mode=0600", "human"], values(text, &OUTPUT, None));
}

#[test]
fn one_value_may_stand_without_its_list() {
    assert_eq!(vec!["human"], values("outputs: human", &OUTPUT, None));
    assert_eq!(vec!["a b"], values("rules: {files: a b}", &RULES, None));
}

#[test]
fn relative_paths_are_those_of_the_files_folder() {
    let text = "rules: {files: [own.yaml, /abs.yaml]}\noutputs: ['jsonl:a,,b.jsonl,mode=0640', 'human:stderr', \
                {format: jsonl, to: x}, 'human:-', human]";

    assert_eq!(vec!["/etc/g/own.yaml", "/abs.yaml"], values(text, &RULES, Some("/etc/g")));
    assert_eq!(
        vec!["jsonl:/etc/g/a,,b.jsonl,mode=0640", "human:stderr", "jsonl:/etc/g/x", "human:-", "human"],
        values(text, &OUTPUT, Some("/etc/g"))
    );
    assert_eq!("jsonl:a,,b.jsonl,mode=0640", values(text, &OUTPUT, None)[0]);
}

#[test]
fn alias_stands_for_what_it_names() {
    assert_eq!(vec!["human"], values("sensor: &f human\noutputs: [*f]", &OUTPUT, None));
}

#[test]
fn problem_shows_no_secret_of_the_file() {
    let found = problems("outputs: ['jsonl:https://u:hunter2@host/']");

    assert!(!found[0].contains("hunter2") && found[0].contains("[redacted]"), "{found:?}");
}
