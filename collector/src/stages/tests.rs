//! The law of the stages: a replay of a recording gives a stage the same input as the live session did.

use std::sync::{Arc, Mutex};

use wire::events::{DirChange, NetConnect, ProcessExec};
use wire::fields::{Actions, Address, Args, Hidden};
use wire::record::{Flags, Head};
use wire::ring::layout::MIN_DATA_LEN;

use super::{Stage, Stages};
use crate::event::{Batch, Program};
use crate::json::JsonWriter;
use crate::outputs::Output;
use crate::pipeline::simulated::{Harness, Sensor, path};

/// Everything that a stage is given of each event, as text.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<String>>>);

impl Witness {
    fn stage(&self) -> Stage {
        let (seen, mut json) = (Arc::clone(&self.0), JsonWriter::default());
        Box::new(move |batch: Batch| {
            for event in &batch.events {
                let mut line = Vec::new();
                json.write(&batch, event, &mut line);
                let describe = |program: &Program| {
                    let argv = String::from_utf8_lossy(&program.argv).replace('\0', " ");
                    format!("{} {} [{argv}]", program.pid, String::from_utf8_lossy(&program.exe))
                };
                let who = batch.who(event);
                let line_of = std::iter::once(&who.program).chain(who.program.ancestors());
                let programs: Vec<String> = line_of.map(|program| describe(program)).collect();
                let facts = (who.program.facts, &who.circumstances);
                let text = format!("{} {facts:?} < {}", String::from_utf8_lossy(&line), programs.join(" < "));
                seen.lock().unwrap().push(text);
            }
            Some(batch)
        })
    }

    fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A shell whose child executes a program, which connects somewhere and ends.
fn session(harness: &mut Harness) {
    let shell = Sensor::new(10, MIN_DATA_LEN);
    shell.start("/bin/sh", "/home/u");
    harness.attach(&shell, 1);
    shell.emit(0, &DirChange { path: path("work") });
    let slot = shell.take_slot(11, 10);
    shell.forked(0, 11);
    shell.open(slot, "log", 4, 0);
    let before = Head { flags: Flags::STAMPED, ..shell.head(slot, wire::events::Kind::ProcessExec) };
    shell.write(
        slot,
        before,
        &ProcessExec {
            path: path("/bin/other"),
            argv: Args::Packed(b"x\0"),
            argc: None,
            actions: Actions(&[]),
            flags: None,
        },
    );
    harness.round();
    let program = Sensor::new(11, MIN_DATA_LEN);
    program.start("/bin/other", "/home/u");
    harness.attach(&program, 10);
    let remote = [2, 0, 0x23, 0x29, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    program.emit(
        0,
        &NetConnect { fd: 5, remote: Address(&remote), own: Hidden(Address(&[])), began_ns: Hidden(0) },
    );
    harness.round();
    harness.die(11, 3);
    harness.round();
}

#[test]
fn replay_of_a_recording_gives_the_stages_the_input_that_the_live_session_gave() {
    let (live, replayed) = (Witness::default(), Witness::default());
    let file = std::env::temp_dir().join(format!("glassbox-stages-{}", std::process::id()));
    let mut harness = Harness::with_stages("recording", file.clone(), vec![live.stage()]);
    session(&mut harness);
    harness.close();

    let outputs = [Output::to_file("jsonl", "/dev/null")];
    crate::replay::replay(std::slice::from_ref(&file), &outputs, Stages::new(vec![replayed.stage()]))
        .unwrap();

    std::fs::remove_file(file).unwrap();
    let seen = live.seen();
    assert!(seen.last().unwrap().ends_with("11 /bin/other [prog ] < 10 /bin/sh [prog ]"), "{seen:#?}");
    assert_eq!(8, seen.len(), "{seen:#?}");
    assert_eq!(seen, replayed.seen());
}

#[test]
fn dropped_batch_reaches_no_output() {
    let mut harness = Harness::with_stages("jsonl", Harness::fresh_output(), vec![Box::new(|_| None)]);
    session(&mut harness);

    assert!(harness.finish().is_empty());
}

#[test]
fn stages_pass_a_batch_on_in_their_order() {
    let step = |mark: u64| -> Stage {
        Box::new(move |mut batch: Batch| {
            batch.request_id = Some(format!("{}{mark}", batch.request_id.as_deref().unwrap_or("")).into());
            Some(batch)
        })
    };

    let passed = Stages::new(vec![step(1), step(2)]).pass(Batch::default()).unwrap();

    assert_eq!(Some("12"), passed.request_id.as_deref());
}
