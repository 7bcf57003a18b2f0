use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::Error;

fn edited(text: &str, edit: impl FnOnce(&mut Vec<Value>)) -> Result<String, Error> {
    let documents = Documents::read(text).expect("YAML");
    let mut values = documents.values().to_vec();
    edit(&mut values);
    documents.edited(&values)
}

fn after(text: &str, edit: impl FnOnce(&mut Vec<Value>)) -> String {
    edited(text, edit).expect("an edit")
}

fn push(list: &mut Value, item: Value) {
    list.as_array_mut().expect("a list").push(item);
}

fn value(text: &str) -> Value {
    let documents = Documents::read(text).expect("YAML");
    assert_eq!(1, documents.values().len());
    documents.values()[0].clone()
}

fn why(text: &str) -> String {
    Documents::read(text).map(|_| ()).expect_err("malformed").to_string()
}

const MANIFEST: &str = "\
# Ours.
apiVersion: v1   # aligned
kind: 'Pod'
metadata: {name: web, labels: { app: \"web\" }}
spec:
  containers:
  # The program.
  - name: app      # main
    command: [run, '--fast']
    env: []        # nothing yet
    args:
    - |
      one

      two
    - >-
      folded
      on

  # The log.
  - image: log
    name: log
    enabled: yes
  volumes: null
# The end.
";

#[test]
fn only_what_changes_is_written() {
    let text = after(MANIFEST, |values| {
        let spec = &mut values[0]["spec"];
        spec["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        spec["containers"][0]["env"] = json!([{"name": "A", "value": "1"}, {"name": "B", "value": "yes"}]);
        push(&mut spec["containers"][0]["command"], json!("a, b"));
        spec["containers"][1]["env"] = json!([{"name": "LD_PRELOAD", "value": "/a.so:/b.so"}]);
        spec["containers"].as_array_mut().unwrap().insert(0, json!({"name": "first", "ports": [80]}));
        values[0]["metadata"]["labels"]["x/y"] = json!("on");
        values[0]["metadata"]["annotations"] = json!({"a": "b"});
    });

    let expected = "\
# Ours.
apiVersion: v1   # aligned
kind: 'Pod'
metadata: {name: web, labels: { app: \"web\", x/y: \"on\" }, annotations: {a: b}}
spec:
  containers:
  - name: first
    ports:
    - 80
  # The program.
  - name: app      # main
    command: [run, '--fast', \"a, b\"]
    env:        # nothing yet
    - name: A
      value: \"1\"
    - name: B
      value: \"yes\"
    args:
    - |
      one

      two
    - >-
      folded
      on

  # The log.
  - image: log
    name: log
    enabled: yes
    env:
    - name: LD_PRELOAD
      value: /a.so:/b.so
  volumes:
  - name: v
    emptyDir: {}
# The end.
";
    assert_eq!(expected, text);
}

#[test]
fn nothing_changes_where_nothing_has_to() {
    for text in [MANIFEST, "", "# only a comment\n", "--- \n...\n", "a: &x [1]\nb: *x", "\u{feff}a: 1\r\n"] {
        assert_eq!(text, after(text, |_| {}), "{text:?}");
    }
}

#[test]
fn each_document_is_its_own() {
    let text = "# head\n---\na: 1\n...\n# between\n---\n- x\n---\nlast:\n    deep:   1 # c\n";

    let text = after(text, |values| {
        values[0]["b"] = json!({"c": 1});
        push(&mut values[1], json!("z"));
        values[2]["last"]["more"] = json!({"d": [1]});
    });

    assert_eq!(
        "# head\n---\na: 1\nb:\n    c: 1\n...\n# between\n---\n- x\n- z\n---\nlast:\n    deep:   1 # c\n    more:\n        d:\n            - 1\n",
        text
    );
}

#[test]
fn lists_are_indented_as_the_others_are() {
    let text = after("a:\n  - 1\nb: {}\n", |values| values[0]["c"] = json!(["x"]));

    assert_eq!("a:\n  - 1\nb: {}\nc:\n  - x\n", text);
}

#[test]
fn windows_line_feeds_the_byte_order_mark_and_a_missing_last_line_feed_stay() {
    let text = after("\u{feff}a: 1\r\nb:\r\n- x", |values| {
        push(&mut values[0]["b"], json!("w"));
        values[0]["c"] = json!("z");
    });

    assert_eq!("\u{feff}a: 1\r\nb:\r\n- x\r\n- w\r\nc: z", text);
}

#[test]
fn json_is_edited_as_json() {
    let text = "{\n\t\"a\": 1.0,\n\t\"list\": [\n\t\t{\"b\": 1e3}\n\t],\n\t\"none\": [],\n\t\"one\": {\"x\": true}\n}\n";

    let text = after(text, |values| {
        push(&mut values[0]["list"], json!({"name": "on", "env": [{"a": "b"}]}));
        values[0]["none"] = json!(["x"]);
        values[0]["one"]["y"] = json!("z");
        values[0]["new"] = json!({});
    });

    assert_eq!(
        "{\n\t\"a\": 1.0,\n\t\"list\": [\n\t\t{\"b\": 1e3},\n\t\t{\n\t\t\t\"name\": \"on\",\n\t\t\t\"env\": [\n\t\t\t\t{\n\
         \t\t\t\t\t\"a\": \"b\"\n\t\t\t\t}\n\t\t\t]\n\t\t}\n\t],\n\t\"none\": [\n\t\t\"x\"\n\t],\n\t\"one\": {\"x\": true, \"y\": \"z\"},\n\
         \t\"new\": {}\n}\n",
        text
    );
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}

#[test]
fn brackets_and_quotes_may_end_where_their_key_stands() {
    let text = "a:\n  command: [\n    \"x\", # ä\n    'y'\n  ]\n  env: {\n  A: \"one\ntwo\"\n  }\nb: 1\n";

    assert_eq!(json!({"a": {"command": ["x", "y"], "env": {"A": "one two"}}, "b": 1}), value(text));
    assert_eq!(
        "a:\n  command: [\n    \"x\", # ä\n    'y',\n    z\n  ]\n  env: {\n  A: \"one\ntwo\",\n  B: b\n  }\n  c: d\nb: 2\n",
        after(text, |values| {
            push(&mut values[0]["a"]["command"], json!("z"));
            values[0]["a"]["env"]["B"] = json!("b");
            values[0]["a"]["c"] = json!("d");
            values[0]["b"] = json!(2);
        })
    );
    assert_eq!(
        "line 3, column 1: while parsing a node, did not find expected node content",
        why("a:\n  b: [\n")
    );
}

#[test]
fn json_is_read_as_json_whatever_yaml_makes_of_it() {
    let text = "\u{feff}{\"a\": \"\\ud83d\\ude00 \\/ \\u00e9 \\\\ud83d\", \"b\": {}}\n";

    assert_eq!(json!({"a": "😀 / é \\ud83d", "b": {}}), value(text));
    assert_eq!(text.replace("{}", "{\"c\": \"d\"}"), after(text, |values| values[0]["b"]["c"] = json!("d")));
    assert!(why("{\"a\": 1, \"a\": 2}").contains("'a' is there twice"));
}

#[test]
fn json_on_one_line_stays_on_one_line() {
    assert_eq!(
        r#"{"a":{"b":["x", "y"]}, "c": 1}"#,
        after(r#"{"a":{"b":["x"]}}"#, |values| {
            push(&mut values[0]["a"]["b"], json!("y"));
            values[0]["c"] = json!(1);
        })
    );
}

#[test]
fn removed_things_take_their_lines_with_them() {
    let text = "a: 1\nb:\n  c: |\n    x\n\n  d: 2 # c\ne: [1, 2, 3]\nf:\n- - x\n  - y\n- z\n";

    let text = after(text, |values| {
        let root = values[0].as_object_mut().unwrap();
        root.remove("a");
        root["b"].as_object_mut().unwrap().remove("c");
        root["e"] = json!([2]);
        root["f"][0] = json!(["y"]);
    });

    assert_eq!("b:\n\n  d: 2 # c\ne: [2]\nf:\n- - y\n- z\n", text);
}

#[test]
fn tags_of_cloudformation_are_read_and_stay() {
    let text = "a: !Ref x\nb: !Sub \"${x}\"\nc: !GetAtt r.Arn\nd: !Join\n  - ','\n  - [!Ref x, y]\ne: !If [c, {k: !Ref v}, !Ref 'AWS::NoValue']\n";
    let expected = json!({
        "a": {"Ref": "x"}, "b": {"Fn::Sub": "${x}"}, "c": {"Fn::GetAtt": ["r", "Arn"]},
        "d": {"Fn::Join": [",", [{"Ref": "x"}, "y"]]},
        "e": {"Fn::If": ["c", {"k": {"Ref": "v"}}, {"Ref": "AWS::NoValue"}]},
    });

    assert_eq!(expected, value(text));
    assert_eq!(
        text.replace("y]]", "y]")
            .replace("[!Ref x, y]", "[!Ref x, y, z]")
            .replace("!Ref v}", "!Ref v, l: 1}")
            + "f: 1\n",
        after(text, |values| {
            push(&mut values[0]["d"]["Fn::Join"][1], json!("z"));
            values[0]["e"]["Fn::If"][1]["l"] = json!(1);
            values[0]["f"] = json!(1);
        })
    );
}

#[test]
fn an_alias_of_a_changed_anchor_keeps_its_value() {
    let text = "x: &e\n- a\ny: *e\nz: *e\n";

    assert_eq!(
        "x: &e\n- a\n- b\ny:\n- a\nz: *e\n",
        after(text, |values| {
            push(&mut values[0]["x"], json!("b"));
            push(&mut values[0]["z"], json!("b"));
        })
    );
    assert_eq!(
        "x: &e\n- a\ny:\n- a\n- b\nz: *e\n",
        after(text, |values| push(&mut values[0]["y"], json!("b")))
    );
    assert_eq!(
        "y:\n- a\nz:\n- a\n",
        after(text, |values| drop(values[0].as_object_mut().unwrap().remove("x")))
    );
}

#[test]
fn what_is_merged_is_overridden_beside_it() {
    let text = "base: &b\n  env: {A: 1}\n  image: i\none:\n  <<: *b\n  name: one\ntwo:\n  <<: [*b]\n";

    assert_eq!(
        "base: &b\n  env: {A: 1}\n  image: i\none:\n  <<: *b\n  name: one\n  env:\n    A: 1\n    B: 2\ntwo:\n  <<: [*b]\n",
        after(text, |values| values[0]["one"]["env"]["B"] = json!(2))
    );
    assert_eq!(
        "base: &b\n  env: {A: 2}\n  image: i\none:\n  <<: {env: {A: 1}, image: i}\n  name: one\ntwo:\n  <<: [{env: {A: 1}, image: i}]\n",
        after(text, |values| values[0]["base"]["env"]["A"] = json!(2))
    );
    let refused = edited(text, |values| drop(values[0]["one"].as_object_mut().unwrap().remove("image")));
    assert!(
        matches!(&refused, Err(Error::Refused(why)) if why.contains("line 5: 'image' comes from '<<'")),
        "{refused:?}"
    );
}

#[test]
fn what_a_reader_could_take_for_something_else_is_quoted() {
    for word in [
        "yes",
        "No",
        "on",
        "y",
        "null",
        "~",
        "true",
        "1",
        "-1",
        "1.5",
        "1e3",
        "0x1F",
        "0o17",
        "0777",
        "1_000",
        "1:30",
        ".5",
        ".inf",
        ".nan",
        "2001-01-01",
        "",
        " x",
        "x ",
        "a: b",
        "a #b",
        "#a",
        "- a",
        "-",
        "?",
        "a:",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%a",
        "@a",
        "`a",
        "{a",
        "[a",
        "a,b",
        "'",
        "\"",
        "\\",
        "a\nb",
        "a\tb",
        "<<",
        "=",
        "\u{7f}",
        "\u{feff}",
        "\u{85}",
        "ä",
        "😀",
    ] {
        let text = after("k: 1\nf: [1]\n", |values| {
            values[0]["k"] = json!(word);
            push(&mut values[0]["f"], json!(word));
        });
        assert!(text.starts_with("k: \""), "{word:?}: {text}");
    }
    for word in ["x", "64Mi", "5s", "100m", "/opt/glassbox", "a/b:1.2-3", "$(X)", "a=b", "fd00::1"] {
        assert_eq!(format!("k: {word}\n"), after("k: 1\n", |values| values[0]["k"] = json!(word)));
    }
}

#[test]
fn words_mean_what_the_core_schema_says() {
    assert_eq!(
        json!([null, null, true, "yes", 12, -3, 31, 8, 1.5, "1_000", "1:30", ".inf", "0x", "12", "null", 18446744073709551615u64]),
        value("[~, , true, yes, +12, -3, 0x1f, 0o10, 1.5, 1_000, 1:30, .inf, 0x, '12', !!str null, 18446744073709551615]".replace(", ,", ", null,").as_str())
    );
}

#[test]
fn what_is_malformed_is_named_with_its_place() {
    for (text, words) in [
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: 'a' is there twice"),
        ("a:\n\t- x\n", "line 2"),
        ("a: [1\nb: 2\n", "line 2"),
        ("a: *nobody\n", "line 1, column 4"),
        ("? [a]\n: 1\n", "line 1, column 3: the key is not a word"),
        ("<<: 1\n", "line 1, column 5: the value that '<<' merges is not an object"),
        ("a: &a [*a]\n", "line 1, column 8: the alias stands for something that contains it"),
        ("a: 'x\n", "line"),
        ("{{ .Values.x }}: 1\n", "line 1"),
    ] {
        assert!(why(text).contains(words), "{text:?}: {}", why(text));
    }
}

#[test]
fn deep_long_and_exploding_texts_are_refused() {
    let billion = (1..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        text + &format!("a{n}: &a{n} [*a{}, *a{}]\n", n - 1, n - 1)
    });

    assert!(why(&"[".repeat(100_000)).contains("recursion limit"));
    assert!(why(&"- ".repeat(5_000)).contains("deep"));
    assert!(why(&billion).contains("aliases expand to too many values"));
    assert!(why(&" ".repeat(LONGEST + 1)).contains("longer than 16 MiB"));
}

#[test]
fn places_are_found_by_path() {
    let documents = Documents::read(MANIFEST).unwrap();

    let lines = [
        "",
        "/spec",
        "/spec/containers/0",
        "/spec/containers/0/env",
        "/spec/containers/1/name",
        "/spec/none/at/all",
    ];

    assert_eq!([2, 5, 8, 10, 22, 5], lines.map(|path| documents.line(0, path)));
}

#[test]
fn documents_are_not_added_or_removed() {
    assert!(edited("a: 1\n", |values| values.push(json!(1))).is_err());
}

/// Takes one choice after the other from random bytes; zeroes when they are used up.
struct Choices<'c>(std::slice::Iter<'c, u8>);

impl Choices<'_> {
    fn of(&mut self, most: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or_default()) % most
    }
}

const WORDS: [&str; 12] =
    ["x", "a b", "yes", "1", "", "a: b", "- x", "#c", "multi\nline\n", "multi\n\n  line", "ä'\"", "null"];

fn word(choices: &mut Choices) -> Value {
    match choices.of(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(12),
        3 => json!(-1.5),
        n => json!(WORDS[n - 4]),
    }
}

fn random_value(choices: &mut Choices, depth: usize) -> Value {
    match choices.of(if depth > 3 { 1 } else { 4 }) {
        0 | 1 => word(choices),
        2 if choices.of(3) == 0 => {
            // Twice the same, for aliases.
            let value = random_value(choices, depth + 1);
            json!([value, value])
        }
        2 => (0..choices.of(4)).map(|_| random_value(choices, depth + 1)).collect(),
        _ => {
            let names = ["name", "b", "c d", "1", "yes", "key: x"];
            let count = choices.of(4);
            (0..count)
                .map(|_| (names[choices.of(6)].to_owned(), random_value(choices, depth + 1)))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

/// Writes a value in one of the many ways.
struct Writer<'w, 'c> {
    choices: &'w mut Choices<'c>,
    comments: usize,
    /// The node that has an anchor, by its number.
    anchors: Vec<Value>,
    text: String,
}

impl Writer<'_, '_> {
    fn comment(&mut self) -> String {
        self.comments += 1;
        format!("# comment {}", self.comments)
    }

    fn end_line(&mut self) {
        if self.choices.of(3) == 0 {
            let comment = self.comment();
            self.text.push_str(&format!("  {comment}"));
        }
        self.text.push('\n');
        match self.choices.of(6) {
            0 => self.text.push('\n'),
            1 => {
                let (comment, indent) = (self.comment(), self.choices.of(5));
                self.text.push_str(&format!("{}{comment}\n", " ".repeat(indent)));
            }
            _ => {}
        }
    }

    fn scalar(&mut self, value: &Value) -> String {
        let single = value.as_str().filter(|text| !text.contains('\n') && self.choices.of(2) == 0);
        match single {
            Some(text) => format!("'{}'", text.replace('\'', "''")),
            None => value.to_string(),
        }
    }

    /// An alias, if something like it has an anchor.
    fn alias(&mut self, value: &Value) -> Option<String> {
        let anchor = self.anchors.iter().rposition(|anchored| anchored == value)?;
        (self.choices.of(4) != 0).then(|| format!("*a{anchor} "))
    }

    fn anchor(&mut self, value: &Value) -> String {
        if self.choices.of(3) != 0 {
            return String::new();
        }
        self.anchors.push(value.clone());
        format!("&a{} ", self.anchors.len() - 1)
    }

    fn flow(&mut self, value: &Value) -> String {
        if let Some(alias) = self.alias(value) {
            return alias;
        }
        let anchor = self.anchor(value);
        format!("{anchor}{}", self.plain_flow(value))
    }

    fn plain_flow(&mut self, value: &Value) -> String {
        let (open, comma) =
            ([("", ""), (" ", " ")][self.choices.of(2)], [", ", ",\n      "][self.choices.of(2)]);
        match value {
            Value::Array(items) if !items.is_empty() => {
                let items: Vec<String> = items.iter().map(|item| self.flow(item)).collect();
                let last = if self.choices.of(4) == 0 { "," } else { "" };
                format!("[{}{}{last}{}]", open.0, items.join(comma), open.1)
            }
            Value::Object(members) if !members.is_empty() => {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{}: {}", json!(key), self.flow(value)))
                    .collect();
                format!("{{{}{}{}}}", open.0, members.join(comma), open.1)
            }
            other => self.scalar(other),
        }
    }

    /// Behind a colon or dash, whose column is `column`.
    fn value(&mut self, value: &Value, column: usize, is_item: bool) {
        let is_collection = render::is_block(value);
        if is_collection && self.choices.of(4) != 0 {
            if let Some(alias) = self.alias(value) {
                self.text.push_str(&format!(" {alias}"));
                return self.end_line();
            }
            let is_compact = is_item && self.choices.of(2) == 0;
            let further =
                if !is_item && value.is_array() { self.choices.of(3) } else { 1 + self.choices.of(3) };
            if is_compact {
                self.text.push(' ');
                return self.block(value, column + 2, true);
            }
            let anchor = self.anchor(value);
            self.text.push_str(&format!(" {anchor}"));
            self.end_line();
            return self.block(value, column + further, false);
        }
        match value {
            Value::Null if self.choices.of(2) == 0 => {}
            Value::String(text)
                if text.contains('\n') && !text.starts_with(' ') && self.choices.of(2) == 0 =>
            {
                let chomp = if text.ends_with('\n') { "" } else { "-" };
                let indent = " ".repeat(column + 2);
                self.text.push_str(&format!(" |{chomp}\n"));
                for line in text.lines() {
                    self.text.push_str(&if line.is_empty() {
                        "\n".into()
                    } else {
                        format!("{indent}{line}\n")
                    });
                }
                return;
            }
            _ => {
                let flow = self.flow(value);
                // The lines of a flow should be indented deeper than what it belongs to, and need not.
                let indent = [column + 3, column, 0][self.choices.of(3)];
                let flow = flow.replace("\n      ", &format!("\n{}", " ".repeat(indent)));
                self.text.push_str(&format!(" {flow}"));
            }
        }
        self.end_line();
    }

    fn block(&mut self, value: &Value, column: usize, is_compact: bool) {
        let margin = |index: usize| " ".repeat(if index == 0 && is_compact { 0 } else { column });
        match value {
            Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
                self.text.push_str(&format!("{}-", margin(index)));
                self.value(item, column, true);
            }),
            Value::Object(members) => members.iter().enumerate().for_each(|(index, (key, value))| {
                self.text.push_str(&format!("{}{}:", margin(index), json!(key)));
                self.value(value, column, false);
            }),
            other => self.text.push_str(&format!("{other}\n")),
        }
    }
}

fn random_text(value: &Value, choices: &mut Choices) -> String {
    let mut writer = Writer { choices, comments: 0, anchors: Vec::new(), text: String::new() };
    if writer.choices.of(2) == 0 {
        writer.text.push_str("# head\n---\n");
    }
    if render::is_block(value) {
        writer.block(value, 0, false);
    } else {
        let flow = writer.flow(value);
        writer.text.push_str(&format!("{flow}\n"));
    }
    let mut text = writer.text;
    match choices.of(4) {
        // A block's value ends with the text's last line feed, so it stays.
        0 if !text.ends_with("line\n") => drop(text.pop()),
        1 => text = text.replace('\n', "\r\n"),
        _ => {}
    }
    text
}

/// Changes something somewhere.
fn mutate(value: &mut Value, choices: &mut Choices, depth: usize) {
    let fresh = |choices: &mut Choices| random_value(choices, depth + 1);
    match value {
        Value::Array(items) => match choices.of(4) {
            0 => items.insert(choices.of(items.len() + 1), fresh(choices)),
            1 if !items.is_empty() => drop(items.remove(choices.of(items.len()))),
            2 if !items.is_empty() => {
                let index = choices.of(items.len());
                mutate(&mut items[index], choices, depth + 1);
            }
            _ => items.push(fresh(choices)),
        },
        Value::Object(members) => {
            let name = members.keys().nth(choices.of(members.len().max(1))).cloned();
            match (choices.of(4), name) {
                (0, Some(name)) => drop(members.shift_remove(&name)),
                (1 | 2, Some(name)) => mutate(&mut members[&name], choices, depth + 1),
                _ => drop(members.insert(format!("new{}", choices.of(9)), fresh(choices))),
            }
        }
        other => *other = fresh(choices),
    }
}

/// Adds something to a collection that is not empty.
fn add(value: &mut Value, choices: &mut Choices) {
    let added = random_value(choices, 2);
    match value {
        Value::Array(items) if choices.of(2) == 0 || !items.iter().any(render::is_block) => {
            items.insert(choices.of(items.len() + 1), added);
        }
        Value::Array(items) => {
            let inner = items.iter_mut().find(|item| render::is_block(item));
            inner.into_iter().for_each(|item| add(item, choices));
        }
        Value::Object(members) if choices.of(2) == 0 || !members.values().any(render::is_block) => {
            members.insert("added".into(), added);
        }
        Value::Object(members) => {
            let inner = members.values_mut().find(|value| render::is_block(value));
            inner.into_iter().for_each(|value| add(value, choices));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_edit_of_any_text_says_what_was_asked_for(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut choices = Choices(bytes.iter());
        let before = random_value(&mut choices, 0);
        let text = random_text(&before, &mut choices);
        let documents = Documents::read(&text).map_err(|why| TestCaseError::fail(format!("{why}\n{text}")))?;
        prop_assert_eq!(&documents.values()[0], &before, "{}", text);
        let mut after = before;
        for _ in 0..1 + choices.of(4) {
            mutate(&mut after, &mut choices, 0);
        }

        let edited = documents.edited(std::slice::from_ref(&after));

        let edited = edited.map_err(|why| TestCaseError::fail(format!("{why}\n{text}\n{after:#}")))?;
        let edited = Documents::read(&edited).unwrap();
        prop_assert_eq!(&edited.values()[0], &after);
    }

    #[test]
    fn lines_that_were_there_stay_in_their_order(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut choices = Choices(bytes.iter());
        let before = random_value(&mut choices, 0);
        let text = random_text(&before, &mut choices);
        let mut after = before;
        // A change between brackets changes their line.
        if !text.contains(['[', '{']) {
            add(&mut after, &mut choices);
        }

        let edited = Documents::read(&text).unwrap().edited(std::slice::from_ref(&after)).unwrap();

        let mut lines = edited.lines();
        let is_compact = text.lines().any(|line| line.trim_start().starts_with("- -"));
        for line in text.lines() {
            // Who refers to what gets something is written out.
            let is_excused = is_compact || line.contains("*a");
            prop_assert!(is_excused || lines.any(|edited| edited == line), "lost {:?}\n{}\n{}", line, text, edited);
        }
    }

    #[test]
    fn no_text_is_too_odd(text in "[-a: \\[\\]{},&*!#|>'\"\n\t?<%.0~\\\\\u{feff}ä]{0,60}", bytes in prop::collection::vec(any::<u8>(), 16)) {
        let mut choices = Choices(bytes.iter());
        if let Ok(documents) = Documents::read(&text) {
            let mut after = documents.values().to_vec();
            after.iter_mut().for_each(|value| mutate(value, &mut choices, 0));
            if let Ok(edited) = documents.edited(&after) {
                let edited = Documents::read(&edited).unwrap();
                prop_assert_eq!(edited.values(), &after);
            }
        }
    }
}

#[test]
fn block_at_the_end_of_a_text_without_a_last_line_end_keeps_its_exact_value() {
    for (header, end) in [("|", "\n"), (">", "\n"), ("|+", "\n"), ("|2", "\n"), ("|-", "\r\n"), (">", "\r\n")]
    {
        let text = ["a: 1", &format!("b: {header}"), "  x"].join(end);
        assert_eq!(json!({"a": 1, "b": "x"}), value(&text), "{text:?}");

        let grown = after(&text, |values| values[0]["c"] = json!(2));
        assert_eq!(json!({"a": 1, "b": "x", "c": 2}), value(&grown), "{grown:?}");
        assert_eq!(json!({"a": 1, "b": "x", "c": 2}), value(&format!("{grown}{end}")), "{grown:?}");

        let changed = after(&text, |values| values[0]["a"] = json!(2));
        assert_eq!(text.replace('1', "2"), changed, "nothing behind the block changes");
    }
}

#[test]
fn block_that_comes_to_the_end_of_a_text_without_a_last_line_end_keeps_its_exact_value() {
    for end in ["\n", "\r\n"] {
        for rest in ["- - 'x'  # comment", "- a: |\n    y", "- z"] {
            let text = format!("- |\n  multi\n  line\n{rest}").replace('\n', end);

            let shorter = after(&text, |values| drop(values[0].as_array_mut().unwrap().pop()));

            assert_eq!(json!(["multi\nline\n"]), value(&shorter), "{text:?}: {shorter:?}");
        }
    }
}
