//! A reader gives back what was written, detects a recording that is not whole, and survives every input.

use std::sync::Arc;

use wire::events::Kind;

use super::reader::{Frame, Reader, Trouble};
use super::writer::Recording;
use super::{FRAME_EVENTS, MAGIC, MOST_CONTAINERS, tag};
use crate::event::{
    Background, Batch, Circumstances, Claimed, Comm, Event, Facts, Mount, Names, Place, Pod, Program, Shape,
    Surroundings, Value, Who, sample,
};
use crate::ids::{Pid, Tid, UtcNs};
use crate::json::JsonWriter;
use crate::outputs::Output;
use crate::sinks::carrier::kind::Opening;
use crate::sinks::encoder::{Encoder, RunFacts};
use crate::sinks::framing::Found;
use crate::sinks::tests::{Scratch, Xorshift};
use crate::sinks::{Backlog, Outlets};

const FACTS: RunFacts = RunFacts { restarts: 2, collector_ns: 12_345_678_901, is_without_command: false };

fn lines(batch: &Batch) -> String {
    let mut writer = JsonWriter::default();
    let mut out = Vec::new();
    for event in &batch.events {
        writer.write(batch, event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

/// Batches of every kind and of hostile heads.
fn batches() -> Vec<Batch> {
    let mut second = Batch::default();
    second.whos.push(sample::who_of(1, 0, b""));
    let parent = Program::new(Pid(2), Arc::default(), Arc::default(), Some(sample::who().program.clone()));
    second.whos.push(Arc::new(Who {
        program: Program::new(Pid(u32::MAX), b"/\xff\n\""[..].into(), b"a\0\xff\0"[..].into(), Some(parent))
            .with(Facts {
                comm: Comm::of_path(b"/a-long-\xffname-of-a-program"),
                own_pid: Some(Pid(9)),
                started: Some(UtcNs(u64::MAX)),
            }),
        ppid: Some(Pid(0)),
        uid: None,
        euid: Some(u32::MAX),
        pid_ns: Some(u64::MAX),
        uid_inside: Some(65534),
        mnt_ns: Some(u64::MAX),
        claimed: Claimed::PID.and(Claimed::CHILD).and(Claimed::UID_INSIDE),
        circumstances: Circumstances {
            cwd: b"/\xff"[..].into(),
            egid: Some(u32::MAX),
            names: Some(Arc::new(Names { user: Some("web".into()), group: None, login: Some("a".into()) })),
            pod: Some(Arc::new(Pod { uid: "3e41".into(), name: "web-1".into(), namespace: "".into() })),
            surroundings: Some(Arc::new(Surroundings {
                is_privileged: Some(false),
                is_exe_added: Some(true),
                mounts: Some(Arc::new([Mount {
                    source: b"/\xff"[..].into(),
                    place: b"/etc"[..].into(),
                    is_writable: true,
                }])),
            })),
            place: Place::Sandbox,
            background: Some(Arc::new(Background {
                tty: u32::MAX,
                own_group: Some(u32::MAX),
                login: Some(0),
                capabilities: Some([u64::MAX, 0, 1]),
                ..Background::default()
            })),
        },
        claimant: 7,
        container: Some(sample::container("4f2c", "web")),
    }));
    for (time_ns, seq, ret, who) in
        [(u64::MAX, Some(u64::MAX), Some(i64::MIN), 1), (0, None, Some(i64::MAX), 0), (5, Some(0), None, 1)]
    {
        second.push(Event {
            time: UtcNs(time_ns),
            seq,
            ret,
            who,
            via: None,
            is_truncated: true,
            call: "",
            error: "ENOENT",
            tid: Tid(0),
            ..sample::head(Kind::SensorLoss)
        });
        second.set(Shape::place(Kind::SensorLoss, "reason"), Value::Word("a reason of tomorrow"));
        second.set(Shape::place(Kind::SensorLoss, "count"), Value::Uint(u64::MAX));
    }
    vec![sample::every_kind(), second, sample::every_kind()]
}

/// A recording of `batches`, and where each of its frames ends.
fn recorded(batches: &[Batch]) -> (Vec<u8>, Vec<usize>) {
    let mut sink = Recording::default();
    let mut file = Vec::new();
    let mut ends = Vec::new();
    sink.begin(Found::Fresh, &mut file);
    ends.push(file.len());
    for batch in batches {
        sink.batch(batch, &mut file);
        ends.push(file.len());
    }
    sink.end(&FACTS, &mut file);
    ends.push(file.len());
    (file, ends)
}

/// Demands that a recording of `batches` gives their lines again.
#[track_caller]
fn assert_read_back(batches: &[Batch]) {
    let (read, end) = read(&recorded(batches).0);

    assert_eq!(FACTS, end.unwrap());
    assert_eq!(batches.iter().map(lines).collect::<String>(), read.iter().map(lines).collect::<String>());
}

/// How many schemas, each of which empties the lists, a recording of `batches` has.
fn schemas(batches: &[Batch]) -> usize {
    let file = recorded(batches).0;
    let heads = frame_ends(&file).into_iter().filter_map(|end| file.get(end + super::FRAME_HEAD - 1));
    heads.filter(|tag| **tag == tag::SCHEMA).count()
}

/// Where each frame of a recording ends.
fn frame_ends(file: &[u8]) -> Vec<usize> {
    let mut ends = vec![MAGIC.len()];
    while let Some(head) = file.get(ends[ends.len() - 1]..).filter(|rest| rest.len() >= super::FRAME_HEAD) {
        let body = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        ends.push(ends[ends.len() - 1] + super::FRAME_HEAD + body as usize);
    }
    ends
}

/// Everything that can be read, and how it ended.
fn read(file: &[u8]) -> (Vec<Batch>, Result<RunFacts, Trouble>) {
    let mut batches = Vec::new();
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(trouble) => return (batches, Err(trouble)),
    };
    loop {
        match reader.next(Batch::default()) {
            Ok(Frame::Batch(batch)) => batches.push(batch),
            Ok(Frame::End(facts)) => return (batches, Ok(facts)),
            Err(trouble) => return (batches, Err(trouble)),
        }
    }
}

#[test]
fn what_is_read_shows_as_what_was_written() {
    let batches = batches();

    assert_read_back(&batches);
}

#[test]
fn request_ids_are_read_back_and_forgotten_where_a_collector_goes_on() {
    let of = |request_id: Option<&str>| {
        let mut batch = sample::every_kind();
        batch.request_id = request_id.map(Arc::from);
        batch
    };
    let wanted = [None, Some("a"), Some("a"), Some("\u{fc}"), None, Some("b")];
    let batches: Vec<Batch> = wanted.iter().map(|request_id| of(*request_id)).collect();
    let (mut file, ends) = recorded(&batches);
    file.truncate(ends[batches.len()]);
    let mut next = Recording::default();
    let mut rest = Vec::new();
    next.begin(Found::Continued, &mut rest);
    next.batch(&of(None), &mut rest);
    next.end(&FACTS, &mut rest);
    file.extend_from_slice(&rest);

    let (read, outcome) = read(&file);

    let found: Vec<Option<&str>> = read.iter().map(|batch| batch.request_id.as_deref()).collect();
    assert_eq!(wanted.iter().copied().chain([None]).collect::<Vec<_>>(), found);
    assert!(outcome.is_ok());
}

#[test]
fn every_prefix_gives_its_whole_frames_and_says_where_it_ends() {
    let batches = batches();
    let (file, ends) = recorded(&batches);

    for len in 0..file.len() {
        let (read, end) = read(&file[..len]);

        let whole_frames = ends.iter().filter(|end| **end <= len).count();
        let expected: String = batches.iter().take(whole_frames.saturating_sub(1)).map(lines).collect();
        assert_eq!(expected, read.iter().map(lines).collect::<String>(), "{len}");
        let start = frame_ends(&file).into_iter().rev().find(|end| *end <= len).unwrap_or(0);
        match end.unwrap_err() {
            Trouble::NotARecording => assert_eq!(0, len),
            Trouble::CutOff(at) => assert_eq!(start as u64, at, "{len}"),
            other => panic!("{len}: {other}"),
        }
    }
}

#[test]
fn every_changed_byte_is_found_and_what_came_before_is_read() {
    let batches = batches();
    let (mut file, ends) = recorded(&batches);

    for place in MAGIC.len()..file.len() {
        file[place] ^= 0x41;
        let (read, end) = read(&file);
        file[place] ^= 0x41;

        let whole_frames = ends.iter().filter(|end| **end <= place).count();
        assert_eq!(whole_frames.saturating_sub(1), read.len(), "{place}");
        assert!(end.is_err(), "{place}");
    }
}

#[test]
fn bytes_after_the_end_are_damage() {
    let (mut file, ends) = recorded(&batches());
    file.push(0);

    let (_, end) = read(&file);

    assert!(matches!(end, Err(Trouble::Damaged(at)) if at == *ends.last().unwrap() as u64));
}

#[test]
fn other_files_and_later_versions_are_told_apart() {
    let later = [&MAGIC[..7], &[9], b"whatever"].concat();

    assert!(matches!(read(b"\x7fELF and so on").1, Err(Trouble::NotARecording)));
    assert!(matches!(read(b"").1, Err(Trouble::NotARecording)));
    assert!(matches!(read(&later).1, Err(Trouble::Version(9))));
}

/// A frame with a right checksum around any body.
fn framed(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut checked = vec![tag];
    checked.extend_from_slice(body);
    let mut frame = (body.len() as u32).to_le_bytes().to_vec();
    frame.extend_from_slice(&crc32fast::hash(&checked).to_le_bytes());
    frame.extend_from_slice(&checked);
    frame
}

#[test]
fn hostile_frames_with_right_checksums_never_make_the_reader_panic() {
    let seed = 0x5eed_1234;
    let mut random = Xorshift(seed);
    let (file, ends) = recorded(&batches());
    let mut accepted = 0;

    let frames = frame_ends(&file);
    for round in 0..4_000 {
        // The schema and its programs, then the body of programs or a batch with some bytes changed, or of
        // random bytes.
        let place = if round % 2 == 0 { 1 } else { 2 };
        let mut body = file[frames[place] + super::FRAME_HEAD..frames[place + 1]].to_vec();
        if round % 3 == 0 {
            body = (0..random.next() % 200).map(|_| random.next() as u8 & 0x1f).collect();
        } else {
            for _ in 0..=random.next() % 4 {
                let place = random.next() as usize % body.len();
                body[place] = random.next() as u8;
            }
        }
        let tag = match (round % 7, place) {
            (0, _) => tag::SCHEMA,
            (_, 1) => tag::PROGRAMS,
            _ => tag::BATCH,
        };
        let hostile = [&file[..frames[2]], &framed(tag, &body), &file[frames[2]..ends[1]]].concat();

        let (read, _) = read(&hostile);

        for batch in &read {
            accepted += 1;
            for line in lines(batch).lines() {
                let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
                assert!(parsed.is_ok(), "seed {seed:#x}, round {round}: {line}");
            }
        }
    }

    assert!(accepted > 500, "seed {seed:#x}: only {accepted} batches were taken");
}

#[test]
fn random_bytes_after_the_magic_never_make_the_reader_panic() {
    let mut random = Xorshift(77);
    for _ in 0..3_000 {
        let mut file = MAGIC.to_vec();
        file.extend((0..random.next() % 64).map(|_| random.next() as u8));

        assert!(read(&file).1.is_err());
    }
}

#[test]
fn later_versions_kinds_and_fields_are_skipped_and_counted() {
    // A schema with file.unlink (22) of two fields, and 999 of one; no tables.
    let schema = framed(tag::SCHEMA, b"\x02\x16\x0bfile.unlink\x02\xe7\x07\x08new.kind\x01\x00");
    // One program (pid 7, no parent, exe "/e", no arguments, no name, no number of its own, no start).
    let programs = framed(tag::PROGRAMS, b"\x01\x07\x00\x00\x02/e\x00\x00\x00\x00");
    // No words, no containers; its image; three events: kind, time, tid, who, values.
    let batch = framed(
        tag::BATCH,
        b"\x00\x00\x01\x00\x00\x00\x03\x00\x16\x02\x07\x00\x06\x02/a\x01\x02\x00\xe7\x07\x02\x07\x00\x05\x01x\
          \x00\x16\x02\x07\x00\x06\x02/b\x00",
    );
    let later = framed(b'?', b"something");
    let end = framed(tag::END, b"\x00\x00and more");
    let file = [&MAGIC[..], &schema, &later, &programs, &batch, &end].concat();
    let mut reader = Reader::new(file.as_slice()).unwrap();

    let Frame::Batch(read) = reader.next(Batch::default()).unwrap() else { panic!("no batch") };
    let end = reader.next(Batch::default()).unwrap();

    assert!(matches!(end, Frame::End(RunFacts { restarts: 0, collector_ns: 0, .. })));
    assert_eq!(1, reader.unknown());
    let paths: Vec<&[u8]> =
        read.events.iter().map(|event| read.text(read.value(event, "path")).unwrap()).collect();
    assert_eq!(vec![b"/a", b"/b"], paths);
}

#[test]
fn containers_are_written_once_however_many_batches_and_images_are_in_them() {
    let container = sample::container("4f2c", &"n".repeat(300));
    let mut batch = sample::every_kind();
    batch.whos = vec![sample::who_in(&container)];
    let batches = vec![batch; 10];

    let (file, ends) = recorded(&batches);
    let (read, _) = read(&file);

    let sizes: Vec<usize> = ends.windows(2).map(|ends| ends[1] - ends[0]).collect();
    assert!(sizes[0] > sizes[1] + 300 && sizes[1] == sizes[8], "{sizes:?}");
    assert_eq!(batches.iter().map(lines).collect::<String>(), read.iter().map(lines).collect::<String>());
}

#[test]
fn list_of_containers_begins_anew_where_it_is_full() {
    let who = sample::who();
    let batches: Vec<Batch> = (0..MOST_CONTAINERS + 3)
        .map(|number| {
            let container = Some(sample::container(&number.to_string(), ""));
            let mut batch = Batch::default();
            batch.whos.push(Arc::new(Who { container, ..(*who).clone() }));
            batch.push(sample::head(Kind::FileOpen));
            batch
        })
        .collect();

    assert_eq!([1, 2], [schemas(&batches[..MOST_CONTAINERS]), schemas(&batches)]);
    assert_read_back(&batches);
}

#[test]
fn list_of_programs_begins_anew_where_it_is_full() {
    let batches: Vec<Batch> = (0..super::MOST_PROGRAMS as u32 + 3)
        .map(|pid| {
            let mut batch = Batch::default();
            batch.whos.push(sample::who_of(pid, 1, b"/bin/x"));
            batch.push(sample::head(Kind::FileOpen));
            batch
        })
        .collect();

    assert_eq!([1, 2], [schemas(&batches[..super::MOST_PROGRAMS]), schemas(&batches)]);
    assert_read_back(&batches);
}

#[test]
fn programs_with_arguments_and_ancestors_are_read_back() {
    let batches = batches();

    let (read, _) = read(&recorded(&batches).0);

    let programs = |batches: &[Batch]| -> Vec<Arc<Program>> {
        batches.iter().flat_map(|batch| &batch.whos).map(|who| Arc::clone(&who.program)).collect()
    };
    assert_eq!(programs(&batches), programs(&read));
}

#[test]
fn long_lines_of_programs_make_no_frame_too_long_to_read() {
    let argv: Arc<[u8]> = vec![b'x'; 47 << 10].into();
    let mut batch = Batch::default();
    for pid in 0..1024 {
        let own = |byte: u8| -> Arc<[u8]> { argv.iter().copied().chain([byte]).collect() };
        let parent = Program::new(Pid(5000 + pid), Arc::default(), own(1), None);
        let program = Program::new(Pid(pid), Arc::default(), own(2), Some(parent));
        batch.whos.push(Arc::new(Who { program, ..Who::default() }));
    }
    batch.push(sample::head(Kind::FileOpen));

    let (read, end) = read(&recorded(&[batch.clone(), batch.clone()]).0);

    assert_eq!(FACTS, end.unwrap());
    assert_eq!(vec![1024, 1024], read.iter().map(|batch| batch.whos.len()).collect::<Vec<_>>());
    // Bytes fill the list too.
    assert_eq!(2, schemas(&[batch.clone(), batch]));
}

#[test]
fn forked_child_is_written_without_its_parents_arguments() {
    let argv: Arc<[u8]> = vec![b'x'; 16 << 10].into();
    let shell = Program::new(Pid(1), Arc::default(), argv, None);
    let mut batch = Batch::default();
    for pid in 2..1000 {
        let (exe, argv) = (Arc::clone(&shell.exe), Arc::clone(&shell.argv));
        let program = Program::new(Pid(pid), exe, argv, Some(Arc::clone(&shell)));
        batch.whos.push(Arc::new(Who { program, ..Who::default() }));
    }
    batch.push(sample::head(Kind::FileOpen));

    let file = recorded(&[batch.clone()]).0;
    let (read, _) = read(&file);

    assert!(file.len() < 64 << 10, "{} bytes", file.len());
    assert_eq!(batch.whos, read[0].whos);
}

#[test]
fn line_of_programs_that_no_writer_makes_is_damage() {
    // Each program is the parent of the next.
    let mut body = vec![60];
    for number in 0..60_u8 {
        body.extend_from_slice(&[7, number, 0, 0, 0, 0, 0, 0]);
    }
    let schema = framed(tag::SCHEMA, b"\x00\x00");
    let file = [&MAGIC[..], &schema, &framed(tag::PROGRAMS, &body)].concat();

    assert!(matches!(read(&file).1, Err(Trouble::Damaged(_))));
}

#[test]
fn second_version_had_no_programs_but_images_with_pid_and_executable() {
    let schema = framed(tag::SCHEMA, b"\x01\x16\x0bfile.unlink\x01\x00");
    let batch = framed(tag::BATCH, b"\x00\x00\x01\x00\x07\x02/e\x01\x00\x16\x02\x07\x00\x06\x02/a");
    let file = [&MAGIC[..7], &[2], &schema, &batch].concat();

    let (read, _) = read(&file);

    let who = read[0].who(&read[0].events[0]);
    assert_eq!((Pid(7), &b"/e"[..]), (who.pid(), who.exe()));
}

#[test]
fn fifth_version_had_claims_in_a_byte_and_no_user_inside() {
    let schema = framed(tag::SCHEMA, b"\x01\x16\x0bfile.unlink\x01\x00");
    let programs = framed(tag::PROGRAMS, b"\x01\x07\x00\x00\x02/e\x00");
    // Two bits that meant nothing then, and a claim on the child.
    let batch = framed(tag::BATCH, b"\x00\x00\x01\xe0\x00\x81\x03\x01\x00\x16\x02\x07\x00\x06\x02/a");
    let file = [&MAGIC[..7], &[5], &schema, &programs, &batch].concat();

    let (read, _) = read(&file);

    let Who { claimed, claimant, uid_inside, mnt_ns, .. } = read[0].who(&read[0].events[0]);
    assert_eq!((Claimed::PID.and(Claimed::CHILD), 3), (*claimed, *claimant));
    assert_eq!((None, None), (*uid_inside, *mnt_ns));
}

#[test]
fn flags_of_another_architecture_keep_their_names() {
    // file.open (20) with one field, and a table where bit 16 is called O_ODD.
    let schema = framed(tag::SCHEMA, b"\x01\x14\x09file.open\x01\x01\x03\x01\x00\x01R\x01\x10\x05O_ODD");
    let batch = framed(tag::BATCH, b"\x00\x01\x00\x07\x00\x01\x00\x14\x02\x07\x00\x0b\x00\x14");
    // The first version has no containers.
    let file = [&MAGIC[..7], &[1], &schema, &batch].concat();

    let (read, _) = read(&file);

    let Value::Names(table, 0x14) = read[0].values(&read[0].events[0])[0] else { panic!("no flags") };
    let mut names = Vec::new();
    assert_eq!(4, table.names(0x14, |name| names.push(name)));
    assert_eq!(vec!["R", "O_ODD"], names);
}

#[test]
fn large_batch_becomes_several_frames() {
    let mut batch = Batch::default();
    batch.whos.push(sample::who());
    for number in 0..FRAME_EVENTS as u64 * 2 + 1 {
        batch.push(Event { seq: Some(number), ..sample::head(Kind::FileRmdir) });
    }

    let (read, end) = read(&recorded(std::slice::from_ref(&batch)).0);

    assert!(end.is_ok());
    assert_eq!(3, read.len());
    assert_eq!(lines(&batch), read.iter().map(lines).collect::<String>());
}

#[test]
fn collector_that_goes_on_cuts_an_unfinished_frame_off() {
    let batches = batches();
    let (file, ends) = recorded(&batches);
    let scratch = Scratch::new("resume");
    let path = scratch.path("r.gbx");
    for (len, kept) in
        [(0, 0), (5, 0), (ends[0], 0), (ends[1] - 1, 0), (ends[1], 1), (ends[2] + 4, 2), (file.len(), 3)]
    {
        std::fs::write(&path, &file[..len]).unwrap();

        let output = Output::to_file("recording", &path);
        let mut outlets = Outlets::open(&[output], Opening::Resumed, Backlog::Drop).unwrap();
        outlets.deliver(Arc::new(batches[1].clone()));
        outlets.finish(FACTS);

        let (read, end) = read(&std::fs::read(&path).unwrap());
        assert_eq!(FACTS, end.unwrap(), "{len}");
        let expected: String = batches[..kept].iter().chain([&batches[1]]).map(lines).collect();
        assert_eq!(expected, read.iter().map(lines).collect::<String>(), "{len}");
    }
}
