//! Our own keys beside those of Falco: windows and examples.

mod falco_fields;

use falco_fields::FalcoFields;
use rules::examples::ExampleEvent;
use rules::file::{Loaded, Source, load};
use rules::{Catalog, Engine, Matching};

fn load_rule(more: &str) -> Loaded {
    let text =
        format!("- rule: r\n  desc: d\n  condition: evt.type=open\n  output: o\n  priority: NOTICE\n{more}");
    load(&[Source { name: "a.yaml", text: text.as_bytes() }], &FalcoFields::new())
}

fn problems(more: &str) -> Vec<String> {
    load_rule(more).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_window_is_read() {
    let more =
        "  x-glassbox-window: {count: 20, distinct: fd.sip, by: [proc.pid, 'proc.aname[2]'], within: 10s}\n";

    let mut loaded = load_rule(more);

    let window = loaded.rules.rules.remove(0).window.unwrap();
    let fields = FalcoFields::new();
    assert_eq!((20, 10_000_000_000), (window.count, window.within_ns));
    assert_eq!(fields.find("fd.sip"), window.distinct.map(|field| field.id));
    assert_eq!(
        vec![fields.find("proc.pid"), fields.find("proc.aname")],
        window.by.iter().map(|field| Some(field.id)).collect::<Vec<_>>()
    );
}

#[test]
fn each_unit_of_time_is_read() {
    let cases = [
        ("1ns", 1),
        ("2us", 2_000),
        ("500ms", 500_000_000),
        ("10s", 10_000_000_000),
        ("5m", 300_000_000_000),
        ("1h", 3_600_000_000_000),
    ];

    for (text, expected) in cases {
        let mut loaded =
            load_rule(&format!("  x-glassbox-window: {{count: 1, within: {text}, by: proc.pid}}\n"));
        assert_eq!(
            Some(expected),
            loaded.rules.rules.remove(0).window.map(|window| window.within_ns),
            "{text}"
        );
    }
}

#[test]
fn a_window_may_be_overridden() {
    let more = "  x-glassbox-window: {count: 20, within: 10s}\n- rule: r\n  priority: ERROR\n  x-glassbox-window: {count: 5, within: 1s}\n  override: {priority: replace}\n";

    let mut loaded = load_rule(more);

    assert_eq!(Some(5), loaded.rules.rules.remove(0).window.map(|window| window.count));
}

#[test]
fn each_fault_of_a_window_is_said() {
    let cases: [(&str, &[&str]); 8] = [
        ("[]", &["6:22: error: 'x-glassbox-window' must be a mapping"]),
        (
            "{}",
            &[
                "6:22: error: 'x-glassbox-window' needs 'count'",
                "6:22: error: 'x-glassbox-window' needs 'within'",
            ],
        ),
        ("{count: 0, within: 1s}", &["6:30: error: 'count' must be from 1 to 10000, not 0"]),
        ("{count: 10001, within: 1s}", &["6:30: error: 'count' must be from 1 to 10000, not 10001"]),
        ("{count: x, within: 0s}", &["6:30: error: 'count' must be a number, not 'x'"]),
        (
            "{count: 1, within: 10}",
            &["6:41: error: 'within' must be a time such as '10s', '500ms' or '5m', not '10'"],
        ),
        ("{count: 1, within: 0s}", &["6:41: error: 'within' must be longer than nothing"]),
        (
            "{count: 1, within: 1s, by: [proc.nmae], distict: fd.ip}",
            &[
                "6:50: error: unknown field 'proc.nmae'; did you mean 'proc.name'?",
                "6:62: warning: unknown key 'distict' of 'x-glassbox-window' is ignored; did you mean 'distinct'?",
            ],
        ),
    ];

    for (window, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|line| format!("a.yaml:{line}")).collect();
        assert_eq!(expected, problems(&format!("  x-glassbox-window: {window}\n")), "{window}");
    }
}

#[test]
fn examples_are_read() {
    let more = "  x-glassbox-examples:\n  - fires: true\n    name: one\n    event: {evt.type: open, fd.num: 3}\n  - fires: false\n    events:\n    - {evt.type: open, times: 3, after: 5ms}\n    - {evt.type: close}\n";

    let loaded = load_rule(more);

    let examples = &loaded.rules.rules[0].examples;
    assert_eq!(
        vec![Some("one"), None],
        examples.iter().map(|example| example.name.as_deref()).collect::<Vec<_>>()
    );
    assert_eq!(vec![true, false], examples.iter().map(|example| example.fires).collect::<Vec<_>>());
    assert_eq!("a.yaml:7:5", examples[0].place.to_string());
    let events = examples[1].events.iter().map(|event| (event.times, event.after_ns)).collect::<Vec<_>>();
    assert_eq!(vec![(3, 5_000_000), (1, 0)], events);
}

#[test]
fn each_fault_of_an_example_is_said() {
    let cases: [(&str, &[&str]); 11] = [
        ("x", &["6:24: error: 'x-glassbox-examples' must be a list"]),
        ("[x]", &["6:25: error: an example must be a mapping"]),
        ("[{event: {}}]", &["6:25: error: an example needs 'fires', which is true or false"]),
        (
            "[{fires: true}]",
            &["6:25: error: an example needs either 'event', a mapping, or 'events', a list of them"],
        ),
        ("[{fires: true, events: []}]", &["6:47: error: an example needs at least one event"]),
        ("[{fires: true, event: []}]", &["6:46: error: an event must be a mapping of fields to values"]),
        (
            "[{fires: true, event: {proc.nmae: a, fd.num: b}}]",
            &[
                "6:47: error: unknown field 'proc.nmae'; did you mean 'proc.name'?",
                "6:69: error: 'fd.num' is a number, not 'b'",
            ],
        ),
        (
            "[{fires: true, event: {proc.name: [a]}}]",
            &["6:58: error: the field 'proc.name' has a single value"],
        ),
        ("[{fires: true, event: {fd.sip: a}}]", &["6:55: error: 'fd.sip' is an IP address, not 'a'"]),
        ("[{fires: true, event: {times: 0}}]", &["6:54: error: 'times' must be from 1 to 10000, not 0"]),
        (
            "[{fires: true, event: {evt.arg: 1}}]",
            &["6:47: error: field 'evt.arg' needs an argument: 'evt.arg[…]'"],
        ),
    ];

    for (examples, expected) in cases {
        let expected: Vec<String> = expected.iter().map(|line| format!("a.yaml:{line}")).collect();
        assert_eq!(expected, problems(&format!("  x-glassbox-examples: {examples}\n")), "{examples}");
    }
}

/// Whether the rule fires at each example, for a condition and keys.
fn fired(condition: &str, more: &str) -> Vec<bool> {
    let text =
        format!("- rule: r\n  desc: d\n  condition: {condition}\n  output: o\n  priority: NOTICE\n{more}");
    let fields = FalcoFields::new();
    let loaded = load(&[Source { name: "a.yaml", text: text.as_bytes() }], &fields);
    assert!(!loaded.has_errors(), "{:?}", loaded.problems);
    loaded.rules.run_examples(&fields).map(|outcome| outcome.fired).collect()
}

#[test]
fn examples_are_judged_by_their_rule() {
    let more = "  x-glassbox-examples:
  - fires: true
    event: {evt.type: open, proc.name: cat, proc.aname: [bash, sshd], 'proc.aname[2]': sshd, fd.sip: 10.0.0.1, fd.num: 3}
  - fires: false
    event: {evt.type: open, proc.name: dog, proc.aname: [bash, sshd], 'proc.aname[2]': sshd, fd.sip: 10.0.0.1, fd.num: 3}
  - fires: false
    event: {evt.type: close, proc.name: cat, proc.aname: [bash, sshd], 'proc.aname[2]': sshd, fd.sip: 10.0.0.1, fd.num: 3}
  - fires: false
    event: {evt.type: open}
  - fires: true
    events: [{evt.type: close}, {evt.type: open, proc.name: cat, proc.aname: sshd, 'proc.aname[2]': sshd, fd.sip: 10.9.9.9, fd.num: 1}]
";
    let condition = "evt.type=open and proc.name=cat and proc.aname=sshd and proc.aname[2]=sshd and fd.sip=10.0.0.0/8 and fd.num>0";

    let loaded = load_rule(more);
    assert!(loaded.rules.run_examples(&FalcoFields::new()).any(|outcome| !outcome.is_right()));
    assert_eq!(
        vec![true, false, false, false, true],
        fired(&condition.replace("fd.sip", "fd.snet"), &more.replace("fd.sip", "fd.snet"))
    );
}

#[test]
fn a_rule_with_a_window_fires_when_it_is_full() {
    let window = "  x-glassbox-window: {count: 3, by: proc.pid, within: 1s}\n";
    let more = "  x-glassbox-examples:
  - {fires: true, events: [{evt.type: connect, proc.pid: 1, times: 3, after: 100ms}]}
  - {fires: false, events: [{evt.type: connect, proc.pid: 1, times: 2, after: 100ms}]}
  - {fires: false, events: [{evt.type: connect, proc.pid: 1, times: 9, after: 600ms}]}
  - {fires: false, events: [{evt.type: connect, proc.pid: 1, times: 2}, {evt.type: connect, proc.pid: 2, times: 2}]}
  - {fires: false, events: [{evt.type: open, proc.pid: 1, times: 9}]}
";

    assert_eq!(vec![true, false, false, false, false], fired("evt.type=connect", &format!("{window}{more}")));
}

#[test]
fn a_window_of_distinct_values_counts_each_once() {
    let window = "  x-glassbox-window: {count: 3, distinct: fd.sip, within: 1s}\n";
    let more = "  x-glassbox-examples:
  - {fires: false, events: [{evt.type: connect, fd.sip: 10.0.0.1, times: 9}]}
  - fires: true
    events:
    - {evt.type: connect, fd.sip: 10.0.0.1}
    - {evt.type: connect, fd.sip: 10.0.0.2}
    - {evt.type: connect, fd.sip: '::1'}
";

    assert_eq!(vec![false, true], fired("evt.type=connect", &format!("{window}{more}")));
}

#[test]
fn a_rule_that_counts_hides_no_other_and_is_hidden_by_none() {
    let rule = |name: &str, more: &str| {
        format!(
            "- rule: {name}\n  desc: d\n  condition: evt.type=open\n  output: o\n  priority: NOTICE\n{more}"
        )
    };
    let window = "  x-glassbox-window: {count: 3, within: 1s}\n";
    let text = [rule("a", window), rule("b", ""), rule("c", ""), rule("d", window)].concat();
    let fields = FalcoFields::new();
    let loaded = load(&[Source { name: "a.yaml", text: text.as_bytes() }], &fields);
    let programs = loaded.rules.rules.iter().map(|rule| rule.program.clone()).collect();
    let mut engine = Engine::new(programs, Matching::First);
    let mut matches = Vec::new();

    let event_type = engine.event_type("open");
    engine.judge(event_type, &ExampleEvent::default(), &mut matches);

    let names: Vec<&str> =
        matches.iter().map(|found| loaded.rules.rules[found.rule as usize].name.as_str()).collect();
    assert_eq!(vec!["a", "d", "b"], names);
}
