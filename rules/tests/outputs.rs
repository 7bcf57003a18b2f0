//! What alerts say: formats, and Falco's text and JSON.

mod falco_fields;

use std::borrow::Cow;

use falco_fields::FalcoFields;
use rules::examples::ExampleEvent;
use rules::field::resolve;
use rules::file::Priority;
use rules::format::{Alert, Format, Resolved, TimeFormat, iso8601};
use rules::{Answer, Catalog};

/// 2026-11-29 13:53:31.726060287 UTC.
const TIME_NS: u64 = 1_795_960_411_726_060_287;

fn event() -> ExampleEvent {
    let text = |text: &'static [u8]| Answer::Text(Cow::Borrowed(text));
    let ancestors = Answer::List(vec![text(b"bash"), text(b"sshd")]);
    let values: [(&str, Option<&str>, Answer<'static>); 12] = [
        ("proc.name", None, text(b"cat")),
        ("proc.cmdline", None, text(b"cat a\nb\x1b[31m \xff \xc2\x85")),
        ("proc.aname", None, ancestors),
        ("proc.aname", Some("2"), text(b"sshd")),
        ("fd.num", None, Answer::Int(-1)),
        ("user.uid", None, Answer::Uint(u64::MAX)),
        ("fd.connected", None, Answer::Bool(true)),
        ("fd.sip", None, Answer::Address([10, 0, 0, 1].into())),
        ("evt.arg", Some("path"), text(b"/etc/passwd")),
        ("evt.time", None, Answer::Uint(TIME_NS)),
        ("proc.aexe", None, Answer::List(Vec::new())),
        ("user.name", None, text("größe".as_bytes())),
    ];
    let mut event = ExampleEvent::default();
    for (name, argument, value) in values {
        event.set(resolve(&FalcoFields::new(), name, argument).unwrap(), value);
    }
    event
}

fn parse(format: &str) -> Format {
    Format::parse(format, &FalcoFields::new()).unwrap_or_else(|error| panic!("{format}: {error:?}"))
}

fn message(format: &str) -> String {
    parse(format).showing_missing().resolve(&event()).unwrap().message
}

#[test]
fn fields_of_a_format_are_filled_in() {
    let cases = [
        ("no field", "no field"),
        ("%proc.name", "cat"),
        ("a=%proc.name b=%fd.num.", "a=cat b=-1."),
        ("%proc.name%proc.name", "catcat"),
        ("%user.uid %fd.connected %fd.sip", "18446744073709551615 true 10.0.0.1"),
        ("%proc.aname[2]", "sshd"),
        ("%proc.aname", "(bash,sshd)"),
        ("%proc.aexe", "<NA>"),
        ("%evt.arg.path %evt.arg[path]", "/etc/passwd /etc/passwd"),
        ("%fd.name", "<NA>"),
        ("*%fd.name", "<NA>"),
        ("%evt.time", "13:53:31.726060287"),
        // The longest field wins; the rest is text.
        ("%proc.name.x", "cat.x"),
        ("%proc.namex", "catx"),
        ("%proc.name[2]", "cat[2]"),
        ("%proc.name:%proc.name", "cat:cat"),
        ("(%proc.name)", "(cat)"),
        // Transformers.
        ("%toupper(proc.name)", "CAT"),
        ("%5toupper(proc.name)|", "CAT  |"),
        ("%basename(evt.arg.path) of %evt.arg.path", "passwd of /etc/passwd"),
        ("%toupper(basename(evt.arg[path]))", "PASSWD"),
        ("%len(proc.aname) %len(proc.name)", "2 3"),
        ("%join('-', proc.aname)", "bash-sshd"),
        ("%concat(proc.name, ':', user.name).", "cat:größe."),
        ("%tolower(fd.name)", "<NA>"),
        // Widths.
        ("%10proc.name|", "cat       |"),
        ("%2proc.name|", "ca|"),
        ("%0proc.name|", "cat|"),
        ("%5fd.num|", "-1   |"),
        ("%3user.name|", "grö|"),
        ("%6fd.name|", "<NA>  |"),
    ];

    for (format, expected) in cases {
        assert_eq!(expected, message(format), "{format}");
    }
}

#[test]
fn a_value_cannot_forge_a_line() {
    assert_eq!("cat a\\nb\\x1b[31m \u{fffd} \\x85", message("%proc.cmdline"));
}

#[test]
fn without_a_star_a_missing_value_leaves_no_line() {
    assert_eq!(None, parse("%proc.name %fd.name").resolve(&event()));
    assert!(parse("*%proc.name %fd.name").resolve(&event()).is_some());
    assert!(parse("%proc.name").resolve(&event()).is_some());
}

#[test]
fn a_fault_of_a_format_has_its_byte() {
    let cases = [
        ("", 0, "the format is empty"),
        ("a %", 3, "a format cannot end with a '%', nor with a width"),
        ("a %12", 3, "a format cannot end with a '%', nor with a width"),
        ("a %nothing", 3, ""),
        ("a % b", 3, ""),
        ("a %10no.such b", 5, "unknown field 'no.such'"),
        ("*%no.such", 2, "unknown field 'no.such'"),
        ("%proc.nmae", 1, "unknown field 'proc.nmae'; did you mean 'proc.name'?"),
        ("%evt.arg", 1, ""),
        ("%toupper(no.such)", 9, "unknown field 'no.such'"),
        ("%toupper(fd.num)", 1, ""),
        ("%99999proc.name", 1, "the width of a field is too large"),
    ];

    for (format, at, expected) in cases {
        let error = Format::parse(format, &FalcoFields::new()).unwrap_err();
        assert_eq!(at, error.at, "{format}: {error:?}");
        assert!(error.message == expected || expected.is_empty(), "{format}: {error:?}");
    }
}

#[test]
fn all_faults_of_a_format_are_found() {
    let faults = Format::check("%a.b %proc.name %c.d", &FalcoFields::new());

    assert_eq!(vec![1, 17], faults.iter().map(|fault| fault.at).collect::<Vec<_>>());
}

#[test]
fn the_fields_of_a_format_are_values_of_json_each_once() {
    let resolved = parse("%user.uid %fd.num %fd.name %proc.aname %fd.num %fd.connected").showing_missing();

    let fields = resolved.resolve(&event()).unwrap().fields;

    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        vec![
            "user.uid=18446744073709551615",
            "fd.num=-1",
            "fd.name=null",
            "proc.aname=[\"bash\",\"sshd\"]",
            "fd.connected=true",
        ],
        fields
    );
}

#[test]
fn json_has_the_fields_within_transformers() {
    let format = parse("%toupper(proc.name) %concat(user.name, proc.name)").showing_missing();

    let fields: Vec<&str> = format.fields().map(|(name, _)| name).collect();

    assert_eq!(vec!["proc.name", "user.name"], fields);
}

fn alert<'a>(tags: &'a [String], output: &'a Resolved) -> Alert<'a> {
    Alert {
        hostname: "host \"1\"",
        time_ns: TIME_NS,
        priority: Priority::Informational,
        rule: "A rule",
        source: "syscall",
        tags,
        output,
    }
}

#[test]
fn an_alert_is_falcos_line() {
    let output = parse("%proc.name read %fd.name").showing_missing().resolve(&event()).unwrap();

    let alert = alert(&[], &output);

    assert_eq!("13:53:31.726060287: Informational cat read <NA>", alert.to_text(TimeFormat::TimeOfDay));
    assert_eq!(
        "2026-11-29T13:53:31.726060287Z: Informational cat read <NA>",
        alert.to_text(TimeFormat::Iso8601)
    );
}

#[test]
fn an_alert_is_falcos_json() {
    let output = parse("%proc.name %fd.name %fd.num %evt.time").showing_missing().resolve(&event()).unwrap();
    let tags = ["a".to_owned(), "b".to_owned()];

    let alert = alert(&tags, &output);

    assert_eq!(
        "{\"hostname\":\"host \\\"1\\\"\",\
         \"output\":\"13:53:31.726060287: Informational cat <NA> -1 13:53:31.726060287\",\
         \"output_fields\":{\"evt.time\":1795960411726060287,\"fd.name\":null,\"fd.num\":-1,\"proc.name\":\"cat\"},\
         \"priority\":\"Informational\",\"rule\":\"A rule\",\"source\":\"syscall\",\"tags\":[\"a\",\"b\"],\
         \"time\":\"2026-11-29T13:53:31.726060287Z\"}",
        alert.to_json(TimeFormat::TimeOfDay)
    );
    assert!(alert.to_json(TimeFormat::Iso8601).contains(
        "\"output_fields\":{\"evt.time\":1795960411726060287,\"evt.time.iso8601\":1795960411726060287,"
    ));
}

#[test]
fn times_are_dates_of_rfc_3339() {
    let cases = [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
        (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999999Z"),
        (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
        (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
    ];

    for (time_ns, expected) in cases {
        assert_eq!(expected, iso8601(time_ns));
    }
}

#[test]
fn the_catalog_of_these_tests_has_no_name_twice() {
    let fields = FalcoFields::new();
    let mut names: Vec<&str> = fields.fields().iter().map(|spec| spec.name).collect();
    names.sort_unstable();

    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
}
