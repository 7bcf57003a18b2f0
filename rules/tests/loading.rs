//! Rule files: what they mean, and what is said of their faults.

mod falco_fields;

use falco_fields::FalcoFields;
use rules::file::{Loaded, Severity, Source, load};

fn load_files(texts: &[&str]) -> Loaded {
    let names = ["a.yaml", "b.yaml", "c.yaml"];
    let sources: Vec<Source> =
        names.iter().zip(texts).map(|(name, text)| Source { name, text: text.as_bytes() }).collect();
    load(&sources, &FalcoFields::new())
}

/// The problems of a file, but not that something is unused.
fn problems(text: &str) -> Vec<String> {
    problems_of(&load_files(&[text]))
}

fn problems_of(loaded: &Loaded) -> Vec<String> {
    let severe = loaded.problems.iter().filter(|problem| problem.severity != Severity::Note);
    severe.map(ToString::to_string).collect()
}

/// The condition of the rule `r`, one blank between words.
fn condition_of(loaded: &Loaded) -> String {
    let rule = loaded.rules.rules.iter().find(|rule| rule.name == "r");
    let rule = rule.unwrap_or_else(|| panic!("rule 'r' is missing: {:?}", loaded.problems));
    rule.condition.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn condition(text: &str) -> String {
    condition_of(&load_files(&[text]))
}

/// A rule `r` with this condition, and more keys.
fn rule(condition: &str, more: &str) -> String {
    format!(
        "- rule: r\n  desc: d\n  condition: {condition}\n  output: o %proc.name\n  priority: NOTICE\n{more}"
    )
}

mod conditions {
    use super::*;

    #[test]
    fn lists_are_put_into_conditions_as_text() {
        let cases = [
            ("plain", "- list: l\n  items: [a, b]\n", "proc.name in (l)", "proc.name in ( a, b )"),
            ("quoted", "- list: l\n  items: ['a b', c]\n", "proc.name in (l)", "proc.name in ( \"a b\", c )"),
            (
                "quotes stay",
                "- list: l\n  items: [\"'a b'\"]\n",
                "proc.name in (l)",
                "proc.name in ( 'a b' )",
            ),
            ("numbers", "- list: l\n  items: [1, 0x2]\n", "fd.num in (l)", "fd.num in ( 1, 0x2 )"),
            (
                "beside words",
                "- list: l\n  items: [a, b]\n",
                "proc.name in (x, l, y)",
                "proc.name in (x, a, b , y)",
            ),
            ("twice", "- list: l\n  items: [a]\n", "proc.name in (l, l)", "proc.name in ( a , a )"),
            ("as one value", "- list: l\n  items: [a]\n", "proc.name=l", "proc.name= a"),
            (
                "not a part",
                "- list: l\n  items: [a]\n",
                "proc.name in (l2, x-l, l.x)",
                "proc.name in (l2, x-l, l.x)",
            ),
            ("not in quotes", "- list: l\n  items: [a]\n", "proc.name = \"l\"", "proc.name = \"l\""),
            ("empty behind", "- list: l\n  items: []\n", "proc.name in (a, l)", "proc.name in (a )"),
            ("empty in front", "- list: l\n  items: []\n", "proc.name in (l, a)", "proc.name in ( a)"),
            ("empty between", "- list: l\n  items: []\n", "proc.name in (a, l, b)", "proc.name in (a , b)"),
            ("empty alone", "- list: l\n  items: []\n", "proc.name in (l)", "proc.name in ( )"),
            (
                "a list of lists",
                "- list: k\n  items: [a, b]\n- list: l\n  items: [k, c]\n",
                "proc.name in (l)",
                "proc.name in ( a, b, c )",
            ),
            (
                "a list that is defined later, in a condition",
                "- list: l\n  items: [k]\n- list: k\n  items: [a]\n",
                "proc.name in (l)",
                "proc.name in ( a )",
            ),
            (
                "an empty list in a list",
                "- list: k\n  items: []\n- list: l\n  items: [k, c]\n",
                "proc.name in (l)",
                "proc.name in ( c )",
            ),
        ];

        for (claim, lists, written, expected) in cases {
            let text = format!("{lists}{}", rule(&format!("'{}'", written.replace('\'', "''")), ""));
            assert_eq!(expected, condition(&text), "{claim}");
        }
    }

    #[test]
    fn a_list_may_be_extended_and_replaced() {
        let base = "- list: l\n  items: [a]\n";
        let used = rule("proc.name in (l)", "");
        let cases = [
            ("- list: l\n  items: [b]\n  override:\n    items: append\n", "proc.name in ( a, b )"),
            ("- list: l\n  items: [b]\n  append: true\n", "proc.name in ( a, b )"),
            ("- list: l\n  items: [b]\n  append: false\n", "proc.name in ( b )"),
            ("- list: l\n  items: [b]\n  override:\n    items: replace\n", "proc.name in ( b )"),
            ("- list: l\n  items: [b]\n", "proc.name in ( b )"),
        ];

        for (more, expected) in cases {
            assert_eq!(expected, condition(&format!("{base}{used}{more}")), "{more}");
        }
    }

    #[test]
    fn an_appended_list_may_name_lists_that_came_between() {
        let text =
            "- list: l\n  items: [a]\n- list: k\n  items: [b]\n- list: l\n  items: [k]\n  append: true\n";

        assert_eq!("proc.name in ( a, b )", condition(&format!("{text}{}", rule("proc.name in (l)", ""))));
    }

    #[test]
    fn exceptions_become_part_of_the_condition() {
        let cases = [
            (
                "a single field compares with 'in'",
                "  - name: e\n    fields: proc.name\n    values: [a, 'b c']\n",
                "(evt.type=open) and not (proc.name in (a, \"b c\"))",
            ),
            (
                "a single field with another operator of lists",
                "  - name: e\n    fields: fd.name\n    comps: pmatch\n    values: [/a]\n",
                "(evt.type=open) and not (fd.name pmatch (/a))",
            ),
            (
                "several fields compare with '='",
                "  - name: e\n    fields: [proc.name, fd.name]\n    values:\n    - [a, /b]\n    - [c, /d]\n",
                "(evt.type=open) and not ((proc.name = a and fd.name = /b) or (proc.name = c and fd.name = /d))",
            ),
            (
                "each field has its operator",
                "  - name: e\n    fields: [proc.name, fd.name]\n    comps: [in, startswith]\n    values:\n    - [[a, b c], /d]\n",
                "(evt.type=open) and not ((proc.name in (a, \"b c\") and fd.name startswith /d))",
            ),
            (
                "the value of an operator of lists gets parentheses",
                "  - name: e\n    fields: [proc.name]\n    comps: [in]\n    values:\n    - [a]\n    - ['(b, c)']\n",
                "(evt.type=open) and not ((proc.name in (a)) or (proc.name in (b, c)))",
            ),
            (
                "a modifier makes an operator of lists",
                "  - name: e\n    fields: [fd.name]\n    comps: [startswith oneof]\n    values:\n    - [[/a, /b]]\n",
                "(evt.type=open) and not ((fd.name startswith oneof (/a, /b)))",
            ),
            ("no values", "  - name: e\n    fields: [proc.name]\n", "(evt.type=open)"),
            ("nothing at all", "", "evt.type=open"),
        ];

        for (claim, exceptions, expected) in cases {
            let text = rule("evt.type=open", &format!("  exceptions:\n{exceptions}"));
            assert_eq!(expected, condition(&text), "{claim}");
        }
    }

    #[test]
    fn values_of_exceptions_may_be_appended() {
        let base =
            rule("evt.type=open", "  exceptions:\n  - name: e\n    fields: proc.name\n    values: [a]\n");
        let appended = "- rule: r\n  exceptions:\n  - name: e\n    values: [b]\n  - name: f\n    fields: fd.name\n    values: [/c]\n";
        let expected = "(evt.type=open) and not (proc.name in (a, b)) and not (fd.name in (/c))";

        assert_eq!(expected, condition(&format!("{base}{appended}  append: true\n")));
        assert_eq!(expected, condition(&format!("{base}{appended}  override:\n    exceptions: append\n")));
    }

    #[test]
    fn exceptions_may_be_replaced() {
        let base =
            rule("evt.type=open", "  exceptions:\n  - name: e\n    fields: proc.name\n    values: [a]\n");
        let more = "- rule: r\n  exceptions:\n  - name: f\n    fields: fd.name\n    values: [/c]\n  override:\n    exceptions: replace\n";

        assert_eq!("(evt.type=open) and not (fd.name in (/c))", condition(&format!("{base}{more}")));
    }

    #[test]
    fn a_condition_may_be_extended_and_replaced() {
        let base = rule("evt.type=open", "");
        let cases = [
            ("- rule: r\n  condition: and proc.name=a\n  append: true\n", "evt.type=open and proc.name=a"),
            (
                "- rule: r\n  condition: and proc.name=a\n  override:\n    condition: append\n",
                "evt.type=open and proc.name=a",
            ),
            (
                "- rule: r\n  condition: evt.type=close\n  override:\n    condition: replace\n",
                "evt.type=close",
            ),
            (
                "- rule: r\n  desc: e\n  condition: evt.type=dup\n  output: p\n  priority: ERROR\n",
                "evt.type=dup",
            ),
        ];

        for (more, expected) in cases {
            assert_eq!(expected, condition(&format!("{base}{more}")), "{more}");
        }
    }

    #[test]
    fn later_files_change_earlier_ones() {
        let first = format!("- list: l\n  items: [a]\n{}", rule("proc.name in (l)", ""));
        let second = "- list: l\n  items: [b]\n  override: {items: append}\n";

        assert_eq!("proc.name in ( a, b )", condition_of(&load_files(&[&first, second])));
    }

    #[test]
    fn all_documents_of_a_file_count() {
        let text = format!("- list: l\n  items: [a]\n---\n{}", rule("proc.name in (l)", ""));

        assert_eq!("proc.name in ( a )", condition(&text));
    }

    #[test]
    fn brackets_may_go_on_in_lines_that_are_not_indented() {
        let text = format!("- list: l\n  items: [a,\n  b,\nc\n]\n{}", rule("proc.name in (l)", ""));

        assert_eq!("proc.name in ( a, b, c )", condition(&text));
    }

    #[test]
    fn quotes_may_go_on_in_lines_that_are_not_indented() {
        let text = rule("'evt.type=open\nand proc.name=é\n  and xyz'", "").replace("xyz", "zzz.zz=1");

        assert_eq!(vec!["a.yaml:5:7: error: unknown field 'zzz.zz'"], problems(&text));
    }
}

mod rules_of_files {
    use super::*;
    use rules::file::Priority;

    fn loaded_rule(text: &str) -> rules::file::Rule {
        let mut loaded = load_files(&[text]);
        assert!(!loaded.has_errors(), "{:?}", loaded.problems);
        loaded.rules.rules.remove(0)
    }

    #[test]
    fn a_rule_has_defaults() {
        let rule = loaded_rule(&rule("evt.type=open", ""));

        assert!(rule.is_enabled);
        assert!(!rule.captures);
        assert_eq!(None, rule.capture_ms);
        assert_eq!("syscall", rule.source);
        assert_eq!(Vec::<String>::new(), rule.tags);
        assert_eq!(Priority::Notice, rule.priority);
        assert_eq!("o %proc.name", rule.output_text);
    }

    #[test]
    fn each_key_of_a_rule_is_read() {
        let more = "  enabled: no\n  tags: [z, a, z]\n  source: syscall\n  warn_evttypes: false\n  \
                    skip-if-unknown-filter: true\n  capture: true\n  capture_duration: 5000\n";
        let rule = loaded_rule(&rule("evt.type=open", more));

        assert!(!rule.is_enabled);
        assert!(rule.captures);
        assert_eq!(Some(5000), rule.capture_ms);
        assert_eq!(vec!["a", "z"], rule.tags);
    }

    #[test]
    fn each_part_of_a_rule_may_be_overridden() {
        let base = rule("evt.type=open", "  tags: [a]\n  enabled: false\n");
        let append = "- rule: r\n  desc: e\n  output: p %fd.name\n  tags: [b]\n  override:\n    desc: append\n    output: append\n    tags: append\n";
        let replace = "- rule: r\n  priority: ERROR\n  tags: [c]\n  enabled: true\n  output: q\n  desc: f\n  override:\n    priority: replace\n    tags: replace\n    enabled: replace\n    output: replace\n    desc: replace\n";

        let appended = loaded_rule(&format!("{base}{append}"));
        assert_eq!("d e", appended.description);
        assert_eq!("o %proc.name p %fd.name", appended.output_text);
        assert_eq!(vec!["a", "b"], appended.tags);

        let replaced = loaded_rule(&format!("{base}{replace}"));
        assert_eq!("f", replaced.description);
        assert_eq!("q", replaced.output_text);
        assert_eq!(vec!["c"], replaced.tags);
        assert_eq!(Priority::Error, replaced.priority);
        assert!(replaced.is_enabled);
    }

    #[test]
    fn a_rule_may_be_extended_and_replaced_in_one_item() {
        let base = rule("evt.type=open", "");
        let more = "- rule: r\n  condition: and proc.name=a\n  priority: ERROR\n  override: {condition: append, priority: replace}\n";

        let rule = loaded_rule(&format!("{base}{more}"));

        assert_eq!(
            ("evt.type=open and proc.name=a", Priority::Error),
            (rule.condition.as_str(), rule.priority)
        );
    }

    #[test]
    fn enabled_alone_switches_a_rule_and_is_deprecated() {
        let text = format!("{}- rule: r\n  enabled: true\n", rule("evt.type=open", "  enabled: false\n"));

        assert!(loaded_rule(&text).is_enabled);
        assert_eq!(
            vec![
                "a.yaml:8:12: warning: the key 'enabled' alone is deprecated; say 'enabled: replace' under \
                 'override' too"
            ],
            problems(&text)
        );
    }

    #[test]
    fn enabled_beside_append_changes_nothing() {
        let text = format!(
            "{}- rule: r\n  condition: and proc.name=a\n  append: true\n  enabled: true\n",
            rule("evt.type=open", "  enabled: false\n")
        );

        assert!(!loaded_rule(&text).is_enabled);
        assert!(problems(&text).contains(
            &"a.yaml:10:3: warning: 'enabled' is ignored beside 'append: true'; use 'override'".to_owned()
        ));
    }

    #[test]
    fn rules_keep_the_order_of_their_first_definition() {
        let named = |name: &str| rule("evt.type=open", "").replace("rule: r", &format!("rule: {name}"));
        let text = format!("{}{}{}", named("x"), named("y"), named("x"));

        let names: Vec<String> = load_files(&[&text]).rules.rules.into_iter().map(|rule| rule.name).collect();

        assert_eq!(vec!["x", "y"], names);
    }

    #[test]
    fn a_rule_of_another_source_is_left_out() {
        let text = rule("ka.verb=create", "  source: k8s_audit\n");

        let loaded = load_files(&[&text]);

        assert!(loaded.rules.rules.is_empty());
        assert_eq!(
            vec!["a.yaml:1:9: warning: rule 'r' is left out: its source 'k8s_audit' is none of ours"],
            problems(&text)
        );
    }

    #[test]
    fn a_macro_with_unknown_fields_is_no_error_if_no_rule_uses_it() {
        let text = format!("- macro: m\n  condition: ka.verb=create\n{}", rule("evt.type=open", ""));

        assert_eq!(Vec::<String>::new(), problems(&text));
    }

    #[test]
    fn unknown_fields_leave_a_rule_out_that_asks_for_it() {
        let skip = "  skip-if-unknown-filter: true\n";
        let macros = format!("- macro: m\n  condition: ka.verb=create\n{}", rule("m", skip));
        let output = rule("evt.type=open", skip).replace("proc.name", "ka.verb");
        let cases = [
            (
                rule("ka.verb=create", skip),
                "a.yaml:3:14: warning: rule 'r' is left out: unknown field 'ka.verb'",
            ),
            (macros, "a.yaml:2:14: warning: rule 'r' is left out: unknown field 'ka.verb'"),
            (output, "a.yaml:4:14: warning: rule 'r' is left out: unknown field 'ka.verb'"),
        ];

        for (text, expected) in cases {
            let loaded = load_files(&[&text]);
            assert_eq!(vec![expected], problems(&text));
            assert!(loaded.rules.rules.is_empty());
        }
    }

    #[test]
    fn what_nothing_uses_is_noted() {
        let text = format!(
            "- list: l\n  items: [a]\n- macro: m\n  condition: evt.type=open\n{}",
            rule("evt.type=open", "")
        );

        let problems: Vec<String> = load_files(&[&text]).problems.iter().map(ToString::to_string).collect();

        assert_eq!(
            vec![
                "a.yaml:1:9: note: list 'l' is used by no rule, macro or list",
                "a.yaml:3:10: note: macro 'm' is used by no rule or macro",
            ],
            problems
        );
    }

    #[test]
    fn a_rule_about_every_event_is_warned_of() {
        let warning = "a.yaml:1:9: warning: rule 'r' is asked about every event: its condition does not say which 'evt.type'";
        let silent = "  warn_evttypes: false\n";

        assert_eq!(vec![warning], problems(&rule("proc.name=a", "")));
        assert_eq!(vec![warning], problems(&rule("not evt.type=open", "")));
        assert_eq!(Vec::<String>::new(), problems(&rule("proc.name=a", silent)));
        assert_eq!(Vec::<String>::new(), problems(&rule("proc.name=a and evt.type in (open, close)", "")));
    }

    #[test]
    fn container_info_shows_nothing() {
        let text = rule("evt.type=open", "").replace("%proc.name", "%proc.name %container.info.");

        let loaded = load_files(&[&text]);

        assert_eq!("o %proc.name .", loaded.rules.rules[0].output_text);
        assert_eq!(
            vec![
                "a.yaml:4:24: warning: '%container.info' is deprecated and shows nothing; name the fields that you want"
            ],
            problems(&text)
        );
    }
}

mod macros {
    use super::*;

    #[test]
    fn a_rule_sees_macros_of_later_files() {
        let first = rule("evt.type=open and later", "");

        let loaded = load_files(&[&first, "- macro: later\n  condition: proc.name=a\n"]);

        assert_eq!(Vec::<String>::new(), problems_of(&loaded));
        assert!(loaded.rules.macros.contains_key("later"));
    }

    #[test]
    fn a_macro_sees_earlier_macros_only() {
        let text =
            format!("- macro: a\n  condition: b\n- macro: b\n  condition: evt.type=open\n{}", rule("a", ""));

        assert_eq!(
            vec!["a.yaml:2:14: error: macro 'b' is defined later; a macro sees only earlier ones"],
            problems(&text)
        );
    }

    #[test]
    fn a_macro_that_is_defined_anew_sees_what_came_between() {
        let text = "- macro: a\n  condition: evt.type=open\n- macro: b\n  condition: evt.type=dup\n- macro: a\n  condition: b\n";

        assert_eq!(Vec::<String>::new(), problems(&format!("{text}{}", rule("a", ""))));
    }

    #[test]
    fn macros_that_name_each_other_are_an_error() {
        let text = "- macro: a\n  condition: evt.type=open\n- macro: b\n  condition: a\n- macro: a\n  condition: b\n";

        assert_eq!(
            vec!["a.yaml:4:14: error: macros 'b' and 'a' name each other"],
            problems(&format!("{text}{}", rule("a", "")))
        );
    }

    #[test]
    fn an_unknown_macro_is_an_error_once_and_in_its_place() {
        let text = format!("- macro: a\n  condition: evt.type=open and\n    bb\n{}", rule("a and  c", ""));

        assert_eq!(
            vec!["a.yaml:3:5: error: unknown macro 'bb'", "a.yaml:6:21: error: unknown macro 'c'"],
            problems(&text)
        );
    }

    #[test]
    fn a_macro_may_be_extended_and_replaced() {
        let base = "- macro: m\n  condition: evt.type=open\n";
        let cases = [
            ("- macro: m\n  condition: or evt.type=close\n  append: true\n", 2),
            ("- macro: m\n  condition: or evt.type=close\n  override: {condition: append}\n", 2),
            ("- macro: m\n  condition: evt.type=close\n  override: {condition: replace}\n", 1),
            ("- macro: m\n  condition: evt.type=close\n", 1),
        ];

        for (more, expected) in cases {
            let loaded = load_files(&[&format!("{base}{more}{}", rule("m", ""))]);
            let checks = match loaded.rules.macros.get("m") {
                Some(rules::Expr::Or(parts, _)) => parts.len(),
                Some(rules::Expr::Check(_)) => 1,
                other => panic!("{more}: {other:?}"),
            };
            assert_eq!(expected, checks, "{more}");
        }
    }
}

mod faults {
    use super::*;

    #[test]
    fn each_fault_of_an_item_is_said() {
        let cases: [(&str, &[&str]); 30] = [
            ("a: b\n", &["1:1: error: a rule file must be a list of rules, macros and lists"]),
            ("- a\n", &["1:3: error: each item of a rule file must be a mapping"]),
            (
                "- rul: r\n",
                &["1:3: warning: an item that is no rule, macro or list is ignored; did you mean 'rule'?"],
            ),
            ("- list: l\n", &["1:3: error: list 'l' needs 'items'"]),
            ("- list: l\n  items: a\n", &["2:10: error: 'items' must be a list"]),
            (
                "- list: l\n  items: [a, [b], ~]\n",
                &[
                    "2:14: error: an item of 'items' must be a single value, not a list or a mapping",
                    "2:19: error: an item of 'items' is empty",
                ],
            ),
            ("- list:\n  items: []\n", &["1:7: error: the name of a list is empty"]),
            ("- list: ''\n  items: []\n", &["1:9: error: the name of a list must not be empty"]),
            (
                "- list: l\n  items: []\n  override: {items: add}\n",
                &["3:21: error: 'add' is no way to override 'items'; use 'append' or 'replace'"],
            ),
            (
                "- list: l\n  items: []\n  override: {item: append}\n",
                &["3:14: error: 'item' cannot be overridden; did you mean 'items'?"],
            ),
            (
                "- list: l\n  items: []\n  overide: {items: append}\n",
                &["3:3: warning: unknown key 'overide' of a list is ignored; did you mean 'override'?"],
            ),
            (
                "- list: l\n  items: []\n  append: true\n",
                &[
                    "1:9: error: no list 'l' that could be appended to",
                    "3:11: warning: the key 'append' is deprecated; say 'append' under 'override' instead, as in \
                 'condition: append'",
                ],
            ),
            (
                "- list: l\n  items: []\n  append: maybe\n",
                &["3:11: error: 'append' must be 'true' or 'false', not 'maybe'"],
            ),
            (
                "- list: l\n  items: []\n  items: [a]\n",
                &["3:3: warning: the key 'items' is there twice; the first one counts"],
            ),
            (
                "- list: a list\n  items: []\n",
                &[
                    "1:9: warning: the name of list 'a list' has a character that no name of a list should have",
                ],
            ),
            (
                "- macro: a-b\n  condition: evt.type=open\n",
                &[
                    "1:10: warning: the name of macro 'a-b' should be letters, digits and '_'; no condition can use it",
                ],
            ),
            ("- macro: m\n", &["1:3: error: macro 'm' needs 'condition'"]),
            (
                "- macro: m\n  condition: [a]\n",
                &["2:14: error: 'condition' must be a single value, not a list or a mapping"],
            ),
            (
                "- macro: m\n  condition: or evt.type=open\n  override: {condition: append}\n",
                &["1:10: error: no macro 'm' that could be appended to"],
            ),
            ("- rule: r\n", &["1:3: error: rule 'r' needs 'condition', 'output', 'desc' and 'priority'"]),
            (
                "- rule: r\n  desc: d\n",
                &[
                    "1:3: error: rule 'r' needs 'condition'",
                    "1:3: error: rule 'r' needs 'output'",
                    "1:3: error: rule 'r' needs 'priority'",
                ],
            ),
            (
                "- rule: r\n  enabled: false\n",
                &[
                    "1:9: error: no rule 'r' that could be enabled or disabled",
                    "2:12: warning: the key 'enabled' alone is deprecated; say 'enabled: replace' under 'override' too",
                ],
            ),
            (
                "- rule: r\n  condition: and a\n  override: {condition: replace}\n",
                &["1:9: error: no rule 'r' that could be overridden"],
            ),
            (
                "- required_engine_version: 0.64.0\n",
                &["1:28: error: needs version 0.64.0 of Falco's engine; this is 0.63.0"],
            ),
            (
                "- required_engine_version: seven\n",
                &["1:28: error: 'seven' is no version; write x.y.z, or a number N for 0.N.0"],
            ),
            (
                "- required_engine_version: 64\n",
                &["1:28: error: needs version 0.64.0 of Falco's engine; this is 0.63.0"],
            ),
            (
                "- required_plugin_versions: container\n",
                &["1:29: error: 'required_plugin_versions' must be a list"],
            ),
            (
                "- required_plugin_versions:\n  - name: json\n    version: 0.1.0\n",
                &["2:5: error: needs plugin json 0.1.0; only 'container', before 1.0, is built in"],
            ),
            (
                "- required_plugin_versions:\n  - name: container\n    version: one\n",
                &["3:14: error: 'one' is no version; write x.y.z"],
            ),
            (
                "- required_plugin_versions:\n  - name: a\n    version: 0.1.0\n    alternatives: [{name: a, version: 0.2.0}]\n",
                &["4:20: error: plugin 'a' is among its own alternatives"],
            ),
        ];

        for (text, expected) in cases {
            let expected: Vec<String> = expected.iter().map(|line| format!("a.yaml:{line}")).collect();
            assert_eq!(expected, problems(text), "{text}");
        }
    }

    #[test]
    fn what_is_right_has_no_problems() {
        let cases = [
            "",
            "# only a comment\n",
            "---\n",
            "-\n",
            "- required_engine_version: 0.63.0\n",
            "- required_engine_version: 26\n",
            "- required_plugin_versions:\n  - name: container\n    version: 0.4.0\n",
            "- required_plugin_versions:\n  - name: k8smeta\n    version: 0.1.0\n    alternatives: [{name: container, version: 0.4.0}]\n",
        ];

        for text in cases {
            assert_eq!(Vec::<String>::new(), problems(text), "{text}");
        }
    }

    #[test]
    fn each_fault_of_a_later_item_about_a_rule_is_said() {
        let base =
            rule("evt.type=open", "  exceptions:\n  - name: e\n    fields: [proc.name]\n    values: [[a]]\n");
        let cases: [(&str, &[&str]); 12] = [
            (
                "  condition: and a.b=1\n  append: true\n  override: {condition: append}\n",
                &[
                    "12:11: warning: the key 'append' is deprecated; say 'append' under 'override' instead, as in \
                 'condition: append'",
                    "13:13: error: 'append: true' and 'override' cannot be used together",
                ],
            ),
            (
                "  priority: ERROR\n  override: {priority: append}\n",
                &["12:14: error: 'priority' cannot be appended to; use 'replace'"],
            ),
            (
                "  source: x\n  override: {source: replace}\n",
                &["12:14: error: 'source' cannot be overridden"],
            ),
            (
                "  desc: x\n  override: {desc: replace, condition: append}\n",
                &["12:40: error: 'condition' is overridden, but the rule has no such key"],
            ),
            (
                "  desc: x\n  priority: ERROR\n  override: {desc: replace}\n",
                &["12:3: error: unexpected key 'priority': 'override' does not name it"],
            ),
            (
                "  enabled: true\n  desc: x\n  override: {desc: replace}\n",
                &["11:3: error: unexpected key 'enabled': 'override' does not name it"],
            ),
            (
                "  override: x\n",
                &["11:13: error: 'override' must be a mapping of keys to 'append' or 'replace'"],
            ),
            (
                "  exceptions:\n  - name: e\n    fields: [proc.name]\n    values: [[a]]\n  override: {exceptions: append}\n",
                &["12:11: error: exception 'e': it is there already, so that only 'values' can be appended"],
            ),
            (
                "  exceptions:\n  - name: f\n    values: [[a]]\n  override: {exceptions: append}\n",
                &["12:11: error: exception 'f': it is not there yet, so it needs 'fields'"],
            ),
            (
                "  exceptions:\n  - name: e\n    value: a\n  override: {exceptions: append}\n",
                &[
                    "12:11: warning: nothing is appended to exception 'e': it has no 'values'",
                    "13:5: warning: unknown key 'value' of an exception is ignored; did you mean 'values'?",
                ],
            ),
            (
                "  exceptions:\n  - name: e\n    values: [[b]]\n  override: {exceptions: replace}\n",
                &["12:11: error: exception 'e' needs 'fields'"],
            ),
            (
                "  tags: [a]\n  append: true\n",
                &[
                    "10:3: error: rule 'r' is appended to, but has neither 'condition' nor 'exceptions'",
                    "11:3: warning: 'tags' is ignored beside 'append: true'; use 'override'",
                    "12:11: warning: the key 'append' is deprecated; say 'append' under 'override' instead, as in \
                 'condition: append'",
                ],
            ),
        ];

        for (more, expected) in cases {
            let expected: Vec<String> = expected.iter().map(|line| format!("a.yaml:{line}")).collect();
            assert_eq!(expected, problems(&format!("{base}- rule: r\n{more}")), "{more}");
        }
    }

    #[test]
    fn each_fault_of_an_exception_is_said() {
        let cases: [(&str, &[&str]); 14] = [
            ("  exceptions: x\n", &["6:15: error: 'exceptions' must be a list"]),
            ("  exceptions: [x]\n", &["6:16: error: an exception must be a mapping"]),
            ("  exceptions: [{fields: [a.b]}]\n", &["6:16: error: an exception needs a 'name'"]),
            ("  exceptions: [{name: e}]\n", &["6:23: error: exception 'e' needs 'fields'"]),
            (
                "  exceptions: [{name: e, fields: [proc.name], values: a}]\n",
                &["6:55: error: 'values' of an exception must be a list"],
            ),
            (
                "  exceptions: [{name: e, fields: [proc.name, fd.name], comps: [=]}]\n",
                &["6:63: error: exception 'e': 2 fields, but 1 operators in 'comps'"],
            ),
            (
                "  exceptions: [{name: e, fields: [proc.name], comps: [like]}]\n",
                &["6:55: error: exception 'e': unknown operator 'like'"],
            ),
            (
                "  exceptions: [{name: e, fields: [proc.name], comps: [in oneof]}]\n",
                &["6:55: error: exception 'e': unknown operator 'in oneof'"],
            ),
            (
                "  exceptions: [{name: e, fields: proc.name, comps: [in]}]\n",
                &[
                    "6:52: error: exception 'e': 'fields' is a single field, so 'comps' must be a single operator",
                ],
            ),
            (
                "  exceptions: [{name: e, fields: proc.name, comps: =}]\n",
                &["6:52: error: exception 'e': '=' compares with no list; use in, pmatch or intersects"],
            ),
            (
                "  exceptions: [{name: e, fields: [proc.name], comps: in}]\n",
                &["6:54: error: exception 'e': 'fields' is a list, so 'comps' must be one of equal length"],
            ),
            (
                "  exceptions: [{name: e, fields: [proc.name, fd.name], values: [[a]]}]\n",
                &[
                    "6:65: error: exception 'e': 2 fields, but a value of 1; each must have one for each field",
                ],
            ),
            (
                "  exceptions: [{name: e, fields: proc.name, values: [[a]]}]\n",
                &[
                    "6:54: error: exception 'e': 'fields' is a single field, so each value must be a single one",
                ],
            ),
            (
                "  exceptions: [{name: e, fields: [proc.nmae], values: [[a]]}]\n",
                &["6:35: error: unknown field 'proc.nmae'; did you mean 'proc.name'?"],
            ),
        ];

        for (more, expected) in cases {
            let expected: Vec<String> = expected.iter().map(|line| format!("a.yaml:{line}")).collect();
            assert_eq!(expected, problems(&rule("evt.type=open", more)), "{more}");
        }
    }

    #[test]
    fn exceptions_of_one_name_are_both_used_with_a_warning() {
        let exception = "  - name: e\n    fields: proc.name\n    values: [a]\n";
        let text = rule("evt.type=open", &format!("  exceptions:\n{exception}{exception}"));

        assert_eq!(
            vec!["a.yaml:10:11: warning: exception 'e' is there twice in the same rule"],
            problems(&text)
        );
        assert_eq!("(evt.type=open) and not (proc.name in (a)) and not (proc.name in (a))", condition(&text));
    }

    #[test]
    fn a_fault_in_a_block_has_its_line_and_column() {
        let cases = [
            (">\n    evt.type=open and\n      aa.bb=1\n", "5:7"),
            (">\n    evt.type=open\n\n    and\n\n    é.ü = ö or aa.bb=1\n", "8:5"),
            (">-\n    evt.type=open and\n    proc.name in (a,\n      b) and aa.bb=1\n", "6:14"),
            ("|\n    evt.type=open and\n\n    aa.bb=1\n", "6:5"),
            ("|2\n    evt.type=open\n    and aa.bb=1\n", "5:9"),
            ("\"evt.type=\\\"open\\\" and \\\n     aa.bb=1\"\n", "4:6"),
            ("\"evt.type=\\x41\\u00e9 and aa.bb=1\"\n", "3:39"),
            ("'evt.type=''open'' and aa.bb=1'\n", "3:37"),
            ("evt.type=open\n    and aa.bb=1 # aa.bb\n", "4:9"),
            ("\n    evt.type=open and aa.bb=1\n", "4:23"),
            ("!!str evt.type=open and aa.bb=1\n", "3:38"),
            ("&anchor !!str >\n\n\n    evt.type=open and aa.bb=1\n", "6:23"),
            (">\n\n\n    evt.type=open and aa.bb=1\n", "6:23"),
            ("&anchor evt.type=open and aa.bb=1\n", "3:40"),
        ];

        let mut wrong = Vec::new();
        for (condition, place) in cases {
            let text = format!("- macro: m\n  # comment\n  condition: {condition}{}", rule("m", ""));
            let problems = problems(&text);
            let starts: Vec<&str> =
                problems.iter().map(|line| line.split(": error").next().unwrap()).collect();
            if starts != [format!("a.yaml:{place}")] {
                wrong.push(format!("{condition}: {place}, but {problems:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_fault_in_a_list_is_said_where_the_condition_names_it() {
        let text = format!(
            "- list: l\n  items: ['a b\"c']\n{}",
            rule("proc.name in (x,\n    l) and evt.type=open", "")
        );

        let problems = problems(&text);

        assert_eq!(1, problems.len(), "{problems:?}");
        assert!(problems[0].starts_with("a.yaml:6:5: error: "), "{problems:?}");
    }

    #[test]
    fn a_fault_in_an_appended_condition_is_said_in_its_file() {
        let more = "- rule: r\n  condition: and aa.bb=1\n  override: {condition: append}\n";

        let loaded = load_files(&[&rule("evt.type=open", ""), more]);

        assert_eq!(vec!["b.yaml:2:18: error: unknown field 'aa.bb'"], problems_of(&loaded));
    }

    #[test]
    fn all_faults_of_a_rule_are_said() {
        let text =
            rule("aa.bb=1 and cc and dd.ee=2", "  enabled: maybe\n").replace("%proc.name", "%ff.gg %hh.ii");

        assert_eq!(
            vec![
                "a.yaml:3:14: error: unknown field 'aa.bb'",
                "a.yaml:3:26: error: unknown macro 'cc'",
                "a.yaml:3:33: error: unknown field 'dd.ee'",
                "a.yaml:4:14: error: output: unknown field 'ff.gg'",
                "a.yaml:4:21: error: output: unknown field 'hh.ii'",
                "a.yaml:6:12: error: 'enabled' must be 'true' or 'false', not 'maybe'",
            ],
            problems(&text)
        );
    }

    #[test]
    fn each_check_that_cannot_be_made_is_said() {
        let text = format!(
            "- macro: m\n  condition: evt.type=open and fd.num contains 3\n{}",
            rule("m and\n    fd.sip startswith 10 and proc.name=a and fd.sport = http8", "")
        );

        let places: Vec<String> =
            problems(&text).iter().map(|line| line.split(": error").next().unwrap().to_owned()).collect();

        assert_eq!(vec!["a.yaml:2:32", "a.yaml:6:5", "a.yaml:6:57"], places, "{:?}", problems(&text));
    }

    #[test]
    fn what_is_broken_has_no_second_error_where_it_is_used() {
        let text = format!(
            "- macro: m\n  condition: and and\n- list: l\n- list: l\n  items: [a]\n  append: true\n{}- rule: x\n  append: true\n",
            rule("m and evt.type=open", "")
        );
        let errors: Vec<String> = problems(&text).into_iter().filter(|line| line.contains("error")).collect();

        assert_eq!(3, errors.len(), "{errors:?}");
        assert!(errors[0].starts_with("a.yaml:2:21: error: "), "{errors:?}");
        assert_eq!("a.yaml:3:3: error: list 'l' needs 'items'", errors[1]);
        assert!(errors[2].contains("rule 'x'"), "{errors:?}");
    }

    #[test]
    fn a_value_that_is_a_field_is_warned_of() {
        let text = rule("proc.name = proc.pname and evt.type=open", "");

        assert_eq!(
            vec![
                "a.yaml:3:26: warning: 'proc.pname' is compared as a text; for the field of that name write \
                 'val(proc.pname)'"
            ],
            problems(&text)
        );
    }

    #[test]
    fn a_problem_cannot_forge_what_a_terminal_shows() {
        let text = "- list: l\n  items: []\n  \"a\\e[2J\\nb\": 1\n";

        assert_eq!(
            vec!["a.yaml:3:3: warning: unknown key 'a\\u{1b}[2J\\nb' of a list is ignored"],
            problems(text)
        );
    }

    #[test]
    fn yaml_that_is_none_is_an_error_with_its_place() {
        let loaded = load_files(&["- rule: r\n  desc: 'x\n", "- list: l\n  items: [a]\n  x\n"]);

        let problems = problems_of(&loaded);

        assert_eq!(2, problems.len(), "{problems:?}");
        assert!(problems[0].starts_with("a.yaml:2:9: "), "{problems:?}");
        assert!(problems[1].starts_with("b.yaml:4:1: "), "{problems:?}");
        assert!(loaded.rules.rules.is_empty());
    }

    #[test]
    fn a_file_that_is_not_utf8_is_an_error_with_its_place() {
        let loaded =
            load(&[Source { name: "a.yaml", text: b"- list: l\n  items: [\xff]\n" }], &FalcoFields::new());

        assert_eq!(vec!["a.yaml:2:11: error: not UTF-8"], problems_of(&loaded));
    }

    #[test]
    fn a_byte_order_mark_and_carriage_returns_change_no_place() {
        let text = format!("\u{feff}{}", rule("evt.type=open and\n    aa.bb=1", "")).replace('\n', "\r\n");

        assert_eq!(vec!["a.yaml:4:5: error: unknown field 'aa.bb'"], problems(&text));
    }
}
