//! The table of events, tested as a table.
#![cfg(not(loom))]

use std::collections::HashSet;

use wire::events::{Kind, RECORDS};
use wire::schema::{EVENTS, EventSpec, NOT_FIXED, Source};

#[test]
fn no_number_and_no_name_is_used_twice() {
    let numbers: HashSet<u16> = Kind::ALL.iter().map(|kind| *kind as u16).collect();
    let names: HashSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();

    assert_eq!(Kind::ALL.len(), numbers.len());
    assert_eq!(Kind::ALL.len(), names.len());
    assert!(!numbers.contains(&0), "0 is no kind");
}

#[test]
fn every_kind_is_read_back_from_its_number_and_stands_in_one_list() {
    for kind in Kind::ALL {
        assert_eq!(Some(*kind), Kind::from_number(*kind as u16));
        let is_record =
            RECORDS.iter().any(|(name, number, _)| (*name, *number) == (kind.name(), *kind as u16));
        assert_ne!(EventSpec::of(*kind).is_some(), is_record, "{kind:?}");
    }
    assert_eq!(Kind::ALL.len(), EVENTS.len() + RECORDS.len());
    assert_eq!(None, Kind::from_number(0));
    assert_eq!(None, Kind::from_number(u16::MAX));
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn events_are_called_noun_dot_verb_and_variants_after_them() {
    for spec in EVENTS {
        let (noun, verb) = spec.name.split_once('.').expect("a dot");
        assert!(is_word(noun) && is_word(verb), "{}", spec.name);
        let variant = format!("{:?}", spec.kind).to_ascii_lowercase();
        assert_eq!(spec.name.replace(['.', '_'], ""), variant);
    }
}

#[test]
fn every_event_and_field_is_documented_by_sentences() {
    let is_sentence = |lines: &[&str]| {
        let text = lines.join("");
        let text = text.trim();
        text.len() > 1 && text.ends_with('.')
    };

    for spec in EVENTS {
        assert!(is_sentence(spec.doc), "{}: {:?}", spec.name, spec.doc);
        for field in spec.fields() {
            assert!(is_sentence(field.doc), "{}.{}: {:?}", spec.name, field.name(), field.doc);
        }
    }
    for (name, _, doc) in RECORDS {
        assert!(is_sentence(doc), "{name}: {doc:?}");
    }
}

/// The fields of every event, whatever its kind (`docs/contract.md`).
const COMMON: [&str; 15] = [
    "time",
    "event",
    "call",
    "pid",
    "tid",
    "ppid",
    "pid_ns",
    "mnt_ns",
    "exe",
    "uid",
    "euid",
    "uid_inside",
    "seq",
    "via",
    "ret",
];

#[test]
fn a_field_has_a_name_of_its_own_within_its_event_and_is_found_by_it() {
    for spec in EVENTS {
        for (index, field) in spec.fields().enumerate() {
            assert!(is_word(field.name()), "{}.{}", spec.name, field.name());
            assert_eq!(Some(index), spec.index_of(field.name()), "{}.{} twice", spec.name, field.name());
            assert!(!COMMON.contains(&field.name()), "{}.{} is common", spec.name, field.name());
            assert_ne!("error", field.name());
        }
    }
}

#[test]
fn what_the_sensor_sends_comes_before_what_the_collector_adds() {
    for spec in EVENTS {
        let sources: Vec<bool> = spec.fields().map(|field| field.source == Source::Collector).collect();
        assert!(sources.is_sorted(), "{}", spec.name);
    }
}

/// Each event of `docs/contract.md` that exists, with the fields that are fixed.
#[test]
fn the_table_has_what_the_contract_fixes() {
    let fixed = "
        process.start path argv cwd gid egid env coverage reason
        process.exec path argv
        process.fork child
        process.exit code signal cause user_ns system_ns max_rss sensor_ns events lost
        process.signal target signal
        process.credentials what to
        process.trace request target
        process.namespace what path flags
        file.open path fd flags mode
        file.close path fd bytes_read bytes_written reads writes open_ns
        file.unlink path
        file.rmdir path
        file.mkdir path mode
        file.chmod path mode
        file.chown path
        file.truncate path
        file.xattr path
        file.rename path new_path
        file.link path new_path
        file.symlink path new_path
        net.socket fd family type protocol
        net.bind fd family type protocol local
        net.listen fd family type protocol local
        net.connect fd family remote host pending
        net.connected fd remote local duration_ns
        net.accept fd local remote
        net.close remote local bytes_sent bytes_received open_ns
        dns.query host answers
        lib.load path flags
        memory.map addr len prot path
        kernel.module
        kernel.bpf
        kernel.userfaultfd
        kernel.io_uring
        fd.duplicate fd target path remote
        sensor.loss count reason
        sensor.evasion addr mapping module reason count
        sensor.blind path reason";
    let lines: Vec<Vec<&str>> = fixed.trim().lines().map(|line| line.split_whitespace().collect()).collect();

    for line in &lines {
        let spec = EVENTS.iter().find(|spec| spec.name == line[0]);
        let spec = spec.unwrap_or_else(|| panic!("{} is not in the table", line[0]));
        for field in &line[1..] {
            assert!(spec.index_of(field).is_some(), "{} lacks {field}", spec.name);
        }
    }
    let further: Vec<&str> = EVENTS
        .iter()
        .map(|spec| spec.name)
        .filter(|name| !lines.iter().any(|line| line[0] == *name))
        .collect();
    assert_eq!(NOT_FIXED.as_slice(), further);
}
