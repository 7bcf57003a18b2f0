//! Evidence that hooked programs got past their hooks: told in its turn, once for each program and reason.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use wire::events::ProcessStart;
use wire::record::{Head, Via};
use wire::ring::layout::Loss;

use super::conductor::Pipeline;
use super::suspicions::Suspicion;
use crate::census::image::ProcessImage;
use crate::enrich::blind::{Arguments, BlindProgram, ENV_CLEARED};
use crate::enrich::process::Process;
use crate::evasion::watch::{Found, Order};
use crate::evasion::{Evidence, Place, Reason};
use crate::ids::{ImageId, MonoNs};
use crate::rings::ring::Begun;
use crate::system::files::{self, On};

impl Pipeline {
    /// Notes how the program of a ring began.
    pub(super) fn note_beginning(&mut self, image: ImageId, head: &Head, start: &ProcessStart<'_>) {
        let ring = self.census.get(image).filter(|image| image.slot == Some(0)).and_then(|image| image.ring);
        if let Some(ring) = ring.and_then(|ring| self.rings.get_mut(ring)) {
            ring.begun = Begun {
                is_preloaded: start.env.0.iter().any(|variable| variable.starts_with(b"LD_PRELOAD=")),
                is_bound: head.via == Via::Symbol as u8,
            };
            self.watch(image);
        }
    }

    /// Tells the evidence that happened up to `horizon`.
    pub(super) fn report_evasion(&mut self, horizon: MonoNs) {
        while let Some(suspicion) = self.suspicions.due(horizon) {
            self.weigh(suspicion);
        }
    }

    fn weigh(&mut self, Suspicion { process, at, evidence, looked_at }: Suspicion) {
        let Some(image) = self.census.image_at(process, at) else { return };
        let Some((seen, instead)) = looked_at else { return self.suspect(image, at, &evidence) };
        if seen != image || !self.holds(image, evidence.reason) {
            return;
        }
        self.suspect(image, at, &evidence);
        if let Some((reason, argv)) = instead {
            let (path, exe) = (evidence.place.module.as_slice().into(), evidence.place.module);
            let arguments = Arguments { argv: argv.into(), argc: None };
            let is_asked_about = self.census.get(image).is_some_and(|image| image.is_asked_about);
            let (gids, environment) = (None, Vec::new());
            let program =
                BlindProgram { path, exe, arguments, reason, gids, environment, at, is_asked_about };
            self.become_blind(image, &program);
        }
    }

    /// Whether what a look found is not explained by what was heard since: an exec that a hook told of, the
    /// process's end, a ring that the program took away within the hooks' sight, an exec's record that was
    /// lost.
    fn holds(&self, image: ImageId, reason: Reason) -> bool {
        let Some(known) = self.census.get(image) else { return false };
        let lost = self.census.brief_books(image, &self.rings).map(|books| books.lost).unwrap_or_default();
        let is_ring_taken = lost.get(Loss::RingTaken as usize).is_some_and(|count| *count > 0);
        let is_same_program = known.asked.is_none() && known.end.is_none() && !known.evasion.is_over;
        match reason {
            Reason::ExecUnseen => is_same_program && lost.iter().all(|count| *count == 0),
            Reason::RingGone | Reason::MappingChanged => is_same_program && !is_ring_taken,
            _ => true,
        }
    }

    /// Takes in what the looks found.
    pub(super) fn take_found(&mut self) {
        let Some(watch) = &self.wires.watch else { return };
        let found: Vec<Found> = watch.found_rx.try_iter().collect();
        for Found { image, at, evidence, instead } in found {
            let Some(process) = self.census.get(image).map(|image| image.key) else { continue };
            let looked_at = Some((image, instead));
            self.suspicions.push(Suspicion { process, at, evidence, looked_at });
        }
    }

    /// Has an image looked at from now on, where the kernel says which process it is.
    pub(super) fn watch(&self, image: ImageId) {
        let Some(watch) = &self.wires.watch else { return };
        let Some(known) = self.census.get(image).filter(|image| image.pidfd.is_some()) else { return };
        let Some(ring) = known.ring.and_then(|ring| self.rings.get(ring)) else { return };
        if known.key.is_visible() && !known.key.is_claim() {
            let (pid, uid, exe) = (known.key.pid.0, known.uid, known.file);
            watch.tell(Order::Watch { image, pid, uid, exe, is_bound: ring.begun.is_bound });
        }
    }

    /// Tells the looks of an image that executes another program, or is over.
    pub(super) fn tell_watch(&self, order: Order) {
        if let Some(watch) = &self.wires.watch {
            watch.tell(order);
        }
    }

    /// Holds evidence against an image that has hooks. The first of its reason is told; the others are
    /// counted.
    pub(super) fn suspect(&mut self, image: ImageId, at: MonoNs, evidence: &Evidence) {
        let delivered = self.order.frontier.delivered();
        let Some(known) = self.census.get_mut(image).filter(|image| image.ring.is_some()) else { return };
        if known.evasion.is_over || !known.evasion.note(evidence.reason) {
            return;
        }
        self.census.begin(image, &self.rings);
        if let Some(process) = self.census.process_mut(image) {
            self.enricher.evaded(process, at.max(delivered), evidence, 1);
        }
    }

    /// Tells, at the end of an image, what waits and how often each reason came again.
    pub(super) fn report_further_evasion(&mut self, image: ImageId, at: MonoNs) {
        let Some(known) = self.census.get(image) else { return };
        let key = known.key;
        while let Some(suspicion) = self.suspicions.of(key, at) {
            self.weigh(suspicion);
        }
        let Some(known) = self.census.get_mut(image) else { return };
        for (reason, count) in known.evasion.take_further() {
            if let Some(process) = self.census.process_mut(image) {
                let evidence = Evidence { reason, call: "", place: Place::default() };
                self.enricher.evaded(process, at, &evidence, count);
            }
        }
    }

    /// A hook told of an exec, and the program that followed lacks the sensor. That is evidence against the
    /// image that made the exec where its hook put the sensor into the environment: where the ring's program
    /// itself was started so. Why else it may lack it, its reason says.
    pub(super) fn suspect_exec(&mut self, image: ImageId, program: &BlindProgram) {
        let Some(known) = self.census.get(image) else { return };
        // One that followed the program that was asked for may have been given another environment by that.
        let is_same_file = |known: &ProcessImage| {
            let file = |path: &[u8]| {
                let file = files::open_regular(Path::new(OsStr::from_bytes(path)), On::Local).ok()?;
                file.metadata().ok().map(|about| (about.dev(), about.ino()))
            };
            let has_our_root = known.process.as_ref().is_some_and(Process::has_our_root);
            has_our_root && file(&program.path).is_some_and(|asked| Some(asked) == file(&program.exe))
        };
        let is_carrier =
            known.ring.and_then(|ring| self.rings.get(ring)).is_some_and(|ring| ring.begun.is_preloaded);
        if program.reason == ENV_CLEARED
            && is_carrier
            && !known.evasion.has(Reason::RawCall)
            && is_same_file(known)
        {
            let place = Place { module: program.exe.clone(), ..Place::default() };
            self.suspect(image, program.at, &Evidence { reason: Reason::PreloadLost, call: "", place });
        }
    }

    /// An image's process runs a program that the sensor is not in.
    pub(super) fn become_blind(&mut self, image: ImageId, program: &BlindProgram) {
        let Some(known) = self.census.get_mut(image) else { return };
        let Some(process) = known.process.as_mut() else { return };
        known.evasion.is_over = true;
        self.enricher.blind(process, program);
        self.tell_watch(Order::Forget(image));
    }
}

#[cfg(test)]
mod tests {
    use wire::ring::layout::MIN_DATA_LEN;

    use super::super::simulated::{Harness, Sensor, brief, key};
    use super::*;
    use crate::arrival::Sent;

    fn raw_call(at: MonoNs, pid: u32) -> Sent {
        let place = Place { addr: 0x1234, mapping: b"1000-2000 r-xp 0 /x".to_vec(), module: b"/x".to_vec() };
        let evidence = Evidence { reason: Reason::RawCall, call: "openat", place };
        Sent::Evident { process: key(pid), at, evidence }
    }

    fn told(events: &[serde_json::Value]) -> Vec<String> {
        let kinds = ["process.start", "sensor.evasion", "process.exit"];
        let of_kind = events.iter().filter(|event| kinds.iter().any(|kind| event["event"] == *kind));
        let of_kind: Vec<_> = of_kind.cloned().collect();
        brief(&of_kind, &["reason", "call", "addr", "module", "count"])
    }

    #[test]
    fn evidence_comes_after_the_start_once_and_with_the_rest_before_the_end() {
        let (sent_tx, sent_rx) = crossbeam_channel::unbounded();
        let mut harness = Harness::with_origin(sent_rx);
        let sensor = Sensor::new(10, MIN_DATA_LEN);
        sensor.start("/bin/prog", "/");
        for _ in 0..3 {
            sent_tx.send(raw_call(MonoNs::now(), 10)).unwrap();
        }
        // The hello is read after the evidence.
        harness.pipeline.take_found();
        harness.attach(&sensor, 1);
        harness.round();
        harness.die(10, 0);
        harness.round();

        assert_eq!(
            vec![
                "process.start 10",
                "sensor.evasion 10 raw_call openat 4660 /x 1",
                "sensor.evasion 10 raw_call 2",
                "process.exit 10",
            ],
            told(&harness.finish())
        );
    }

    #[test]
    fn a_program_without_hooks_gets_past_none() {
        let (sent_tx, sent_rx) = crossbeam_channel::unbounded();
        let mut harness = Harness::with_origin(sent_rx);
        sent_tx.send(raw_call(MonoNs::now(), 20)).unwrap();
        harness.round();

        assert!(told(&harness.finish()).iter().all(|line| !line.contains("evasion")));
    }

    #[test]
    fn evidence_of_an_image_that_became_a_blind_program_is_not_held_against_that() {
        let (sent_tx, sent_rx) = crossbeam_channel::unbounded();
        let mut harness = Harness::with_origin(sent_rx);
        let sensor = Sensor::new(10, MIN_DATA_LEN);
        sensor.start("/bin/prog", "/");
        harness.attach(&sensor, 1);
        harness.round();
        let (image, at) = (harness.image(10), MonoNs::now());
        let program = BlindProgram {
            path: (*b"/bin/tool").into(),
            exe: b"/bin/tool".to_vec(),
            arguments: Arguments::default(),
            reason: "static",
            gids: None,
            environment: Vec::new(),
            at,
            is_asked_about: false,
        };
        harness.pipeline.become_blind(image, &program);
        sent_tx.send(raw_call(MonoNs::now(), 10)).unwrap();
        harness.round();

        assert!(told(&harness.finish()).iter().all(|line| !line.contains("evasion")));
    }
}
