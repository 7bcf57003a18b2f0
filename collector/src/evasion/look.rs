//! One look at a hooked process: is everything that leads to the sensor as it was?
//!
//! What is compared: the sensor's mapping and code with its file on disk, and with the look before; the slots
//! of each module with where the loader binds them; the ring's mapping; the program. A look costs one reading
//! of /proc/PID/maps (1 MiB at most) and of the memory of the sensor's code and of the slots (1 MiB at most).
//! The process goes on meanwhile; what is only seen in passing, such as the moments of an exec, is looked at
//! once more before it counts.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::maps::{self, Mapping};
use super::modules::{LIBCS, is_known};
use super::text::Files;
use super::{Evidence, Place, Reason};
use crate::ids::FileId;
use crate::notify::memory::Memory;
use crate::shell::sensor_path;
use crate::system::files::On;
use crate::system::program::{self, Program, Root};

/// Modules whose slots are looked at.
const MOST_MODULES: usize = 128;
/// Slots of a module lie within so many bytes, else they are not looked at.
const MOST_SPAN: u64 = 256 << 10;
/// All slots of a process, in bytes.
const MOST_READ: u64 = 1 << 20;
/// Slots that are remembered of a process.
const MOST_OURS: usize = 1024;

/// What is known of a process from the looks so far.
#[derive(Debug, Default)]
pub struct Vigil {
    /// Its number here.
    pub pid: u32,
    /// Its program; unknown until the first look where it did not say it.
    pub exe: FileId,
    /// Every caller of its program is bound to the sensor by name.
    pub is_bound: bool,
    /// The program's path, at an earlier look.
    path: Vec<u8>,
    /// Where the program's file is mapped.
    base: Option<u64>,
    /// The sensor's code.
    sensor: Option<Mapping>,
    ring: Option<Mapping>,
    /// Slots that led to the sensor at an earlier look, by their place among the module's, of the module of
    /// this file that is mapped there.
    ours: HashMap<(u64, FileId), Vec<u16>>,
    /// What the last look saw, and a second one must see too.
    doubts: Vec<Reason>,
    told: Vec<Reason>,
}

/// What the kernel shows of a process at one moment.
#[derive(Debug)]
pub struct Shown {
    /// Its program.
    pub exe: FileId,
    /// The program's path.
    pub path: Vec<u8>,
    /// Its mappings.
    pub mappings: Vec<Mapping>,
}

/// Whether the program that a process ran before is Go's, whose syscall.Exec no hook sees.
fn is_go(pid: u32, path: &[u8]) -> bool {
    let inside = path.strip_prefix(b"/").unwrap_or(path);
    let image = PathBuf::from(format!("/proc/{pid}/root")).join(OsStr::from_bytes(inside));
    let program = Program::on(&image, &Root::own(), On::Local);
    program.is_some_and(|program| program.reason.name == program::GO.name)
}

impl Vigil {
    /// A process of which nothing has been seen.
    pub fn new(pid: u32, exe: FileId, is_bound: bool) -> Self {
        Self { pid, exe, is_bound, ..Self::default() }
    }

    /// Whether it should be looked at again in a moment, since this look left a doubt.
    pub fn is_in_doubt(&self) -> bool {
        self.doubts.iter().any(|doubt| !self.told.contains(doubt))
    }

    /// Looks at what is shown; gives evidence that was not given before.
    pub fn look(&mut self, shown: &Shown, memory: &mut dyn Memory, files: &mut Files) -> Vec<Evidence> {
        let mut sight = Sight { before: std::mem::take(&mut self.doubts), ..Sight::default() };
        self.look_at(shown, memory, files, &mut sight);
        self.doubts = sight.doubts;
        sight.found.retain(|evidence| !self.told.contains(&evidence.reason));
        self.told.extend(sight.found.iter().map(|evidence| evidence.reason));
        sight.found
    }

    fn look_at(&mut self, shown: &Shown, memory: &mut dyn Memory, files: &mut Files, sight: &mut Sight) {
        if !self.exe.is_known() {
            self.exe = shown.exe;
        }
        let Shown { exe, path, mappings } = shown;
        let base = mappings.iter().find(|mapping| mapping.file == *exe).map(|mapping| mapping.range.start);
        let code = mappings.iter().find(|mapping| is_sensor(mapping) && mapping.offset == 0);
        if *exe != self.exe || self.base.is_some() && base != self.base {
            // A program with the sensor says hello, or was told not to.
            if code.is_none() && base.is_some() && !is_go(self.pid, &self.path) {
                let module = path.clone();
                sight.doubt(Reason::ExecUnseen, Place { module, ..Place::default() });
            }
            return;
        }
        self.base = base;
        self.path.clone_from(path);
        self.look_at_ring(mappings, sight);
        if self.look_at_mapping(code, mappings, sight) {
            self.look_at_code(memory, files, sight);
            if self.is_bound {
                self.look_at_slots(mappings, memory, files, sight);
            }
        }
    }

    fn look_at_ring(&mut self, mappings: &[Mapping], sight: &mut Sight) {
        let mut rings = mappings.iter().filter(|mapping| mapping.path().starts_with(b"/memfd:glassbox"));
        match &self.ring {
            None => self.ring = rings.next().cloned(),
            // It may have another one since, or the kernel have split it.
            Some(_) if rings.next().is_some() => {}
            Some(ring) => {
                let addr = ring.range.start;
                let mapping = maps::at(mappings, addr).map(Mapping::text).unwrap_or_default();
                sight.doubt(Reason::RingGone, Place { addr, mapping, module: Vec::new() });
            }
        }
    }

    /// Whether the sensor's code is mapped, all of it.
    fn look_at_mapping(&mut self, code: Option<&Mapping>, mappings: &[Mapping], sight: &mut Sight) -> bool {
        let Some(first) = &self.sensor else {
            // Under another name it is not known.
            self.sensor = code.filter(|code| code.is_code() && code.file.is_known()).cloned();
            return self.sensor.is_some();
        };
        let mut at = first.range.start;
        while at < first.range.end {
            let found = maps::at(mappings, at);
            let is_whole = |mapping: &&Mapping| {
                mapping.file == first.file && mapping.is_code() && !mapping.is_writable()
            };
            let Some(mapping) = found.filter(is_whole) else {
                let place = Place {
                    addr: at,
                    mapping: found.map(Mapping::text).unwrap_or_default(),
                    module: first.path().to_vec(),
                };
                sight.doubt(Reason::MappingChanged, place);
                // A part that may be written is still to be compared.
                return found.is_some_and(|mapping| mapping.file == first.file);
            };
            at = mapping.range.end;
        }
        true
    }

    fn look_at_code(&self, memory: &mut dyn Memory, files: &mut Files, sight: &mut Sight) {
        let Some(sensor) = &self.sensor else { return };
        let Some(code) = files.code(self.pid, sensor) else { return };
        let mut bytes = vec![0; code.0.len()];
        let len = memory.read(sensor.range.start, &mut bytes);
        let Some(at) = code.first_difference(bytes.get(..len).unwrap_or_default()) else { return };
        let place = Place {
            addr: sensor.range.start.saturating_add(at as u64),
            mapping: sensor.text(),
            module: sensor.path().to_vec(),
        };
        sight.find(Reason::HookChanged, "", place);
    }

    fn look_at_slots(
        &mut self,
        mappings: &[Mapping],
        memory: &mut dyn Memory,
        files: &mut Files,
        sight: &mut Sight,
    ) {
        let Some(sensor) = self.sensor.clone() else { return };
        let is_libc = |mapping: &&Mapping| is_known(mapping.file_name(), LIBCS) && mapping.offset == 0;
        let mut libcs = mappings.iter().filter(is_libc);
        // With a second libc (dlmopen(3)) it is not known whose a module is.
        let (Some(libc), None) = (libcs.next(), libcs.next()) else { return };
        let is_libcs = |value: u64| {
            maps::at(mappings, value).is_some_and(|mapping| mapping.file == libc.file && mapping.is_code())
        };
        let modules = mappings.iter().filter(|mapping| mapping.offset == 0 && mapping.file.is_known());
        let mut left = MOST_READ;
        let mut remembered: usize = self.ours.values().map(Vec::len).sum();
        let mut last = FileId::default();
        for module in modules.take(MOST_MODULES) {
            // Of a file that is mapped twice side by side, the first is the module.
            if [last, sensor.file, libc.file].contains(&module.file) || !module.path().starts_with(b"/") {
                continue;
            }
            last = module.file;
            let Some(slots) = files.slots(self.pid, module) else { continue };
            let bias = module.range.start.wrapping_sub(slots.first);
            let (Some((low, _)), Some((high, _))) = (slots.all.first(), slots.all.last()) else { continue };
            let span = high.saturating_sub(*low).saturating_add(8);
            if span > MOST_SPAN || span > left {
                continue;
            }
            left -= span;
            let mut bytes = vec![0; usize::try_from(span).unwrap_or(0)];
            let len = memory.read(low.wrapping_add(bias), &mut bytes);
            let bytes = bytes.get(..len).unwrap_or_default();
            let is_program = module.file == self.exe;
            let ours = self.ours.entry((module.range.start, module.file)).or_default();
            for ((slot, name), index) in slots.all.iter().zip(0_u16..) {
                let word = usize::try_from(slot - low).ok().and_then(|at| bytes.get(at..)?.first_chunk());
                let Some(value) = word.map(|word| u64::from_le_bytes(*word)) else { continue };
                if sensor.range.contains(&value) {
                    if !ours.contains(&index) && remembered < MOST_OURS {
                        remembered += 1;
                        ours.push(index);
                    }
                } else if (is_program || ours.contains(&index)) && is_libcs(value) {
                    let addr = slot.wrapping_add(bias);
                    let mapping = maps::at(mappings, addr).map(Mapping::text).unwrap_or_default();
                    sight.find(
                        Reason::SlotChanged,
                        name,
                        Place { addr, mapping, module: module.path().to_vec() },
                    );
                }
            }
        }
        // What is not mapped any more may be mapped elsewhere next time.
        self.ours.retain(|(start, file), ours| {
            !ours.is_empty()
                && mappings.iter().any(|mapping| mapping.range.start == *start && mapping.file == *file)
        });
    }
}

fn is_sensor(mapping: &Mapping) -> bool {
    mapping.file_name() == sensor_path::FILE.as_bytes()
}

/// What one look sees.
#[derive(Debug, Default)]
struct Sight {
    before: Vec<Reason>,
    doubts: Vec<Reason>,
    found: Vec<Evidence>,
}

impl Sight {
    fn find(&mut self, reason: Reason, call: &'static str, place: Place) {
        if self.found.iter().all(|found| found.reason != reason) {
            self.found.push(Evidence { reason, call, place });
        }
    }

    /// Finds what the look before saw too.
    fn doubt(&mut self, reason: Reason, place: Place) {
        if self.before.contains(&reason) {
            self.find(reason, "", place);
        }
        self.doubts.push(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory in which nothing can be read.
    struct Nothing;

    impl Memory for Nothing {
        fn read(&mut self, _address: u64, _into: &mut [u8]) -> usize {
            0
        }
    }

    const PROGRAM: &str = "1000-2000 r-xp 00000000 08:01 7 /opt/app\n";
    const SENSOR: &str = "5000-9000 r-xp 00000000 08:01 9 /opt/libglassbox.so\n";
    const RING: &str = "a000-b000 rw-s 00000000 00:01 3 /memfd:glassbox (deleted)\n";

    fn shown(maps: &[&str]) -> Shown {
        let mappings = maps::read(maps.concat().as_bytes());
        let exe = mappings.first().map(|mapping| mapping.file).unwrap_or_default();
        let path = mappings.first().map(|mapping| mapping.path().to_vec()).unwrap_or_default();
        Shown { exe, path, mappings }
    }

    /// The reasons that each of these moments gives.
    fn reasons(moments: &[&[&str]]) -> Vec<Vec<&'static str>> {
        let mut vigil = Vigil::new(1, FileId::default(), true);
        let looks = moments.iter().map(|maps| {
            let found = vigil.look(&shown(maps), &mut Nothing, &mut Files::default());
            found.iter().map(|evidence| evidence.reason.name()).collect()
        });
        looks.collect()
    }

    const WHOLE: &[&str] = &[PROGRAM, SENSOR, RING];
    const NONE: Vec<&str> = Vec::new();

    #[test]
    fn what_stays_as_it_was_is_no_evidence() {
        assert_eq!(vec![NONE; 3], reasons(&[WHOLE, WHOLE, WHOLE]));
        // Never seen, so never missed.
        assert_eq!(vec![NONE; 3], reasons(&[&[PROGRAM], &[PROGRAM], &[PROGRAM]]));
    }

    #[test]
    fn what_is_gone_counts_at_the_second_look_and_once() {
        let gone: &[&str] = &[PROGRAM];
        let both = vec!["ring_gone", "mapping_changed"];

        assert_eq!(vec![NONE, NONE, both, NONE], reasons(&[WHOLE, gone, gone, gone]));
        assert_eq!(vec![NONE; 4], reasons(&[WHOLE, gone, WHOLE, gone]));
    }

    #[test]
    fn code_that_may_be_written_or_has_a_hole_is_another_mapping() {
        let writable = [
            "5000-6000 r-xp 00000000 08:01 9 /opt/libglassbox.so\n",
            "6000-7000 rwxp 00001000 08:01 9 /opt/libglassbox.so\n",
            "7000-9000 r-xp 00002000 08:01 9 /opt/libglassbox.so\n",
        ];
        let hole = [
            "5000-6000 r-xp 00000000 08:01 9 /opt/libglassbox.so\n",
            "7000-9000 r-xp 00002000 08:01 9 /opt/libglassbox.so\n",
        ];
        let split = [
            "5000-6000 r-xp 00000000 08:01 9 /opt/libglassbox.so\n",
            "6000-9000 r-xp 00001000 08:01 9 /opt/libglassbox.so\n",
        ];
        let with = |pieces: &[&'static str]| [&[PROGRAM], pieces, &[RING]].concat();

        for (pieces, is_evidence) in [(with(&writable), true), (with(&hole), true), (with(&split), false)] {
            let found = reasons(&[WHOLE, &pieces, &pieces]);
            assert_eq!(if is_evidence { vec!["mapping_changed"] } else { NONE }, found[2], "{pieces:?}");
        }
    }

    #[test]
    fn another_program_without_the_sensor_is_an_exec_that_no_hook_told_of() {
        let other: &[&str] = &["1000-2000 r-xp 00000000 08:01 8 /bin/other\n"];
        let again: &[&str] = &["3000-4000 r-xp 00000000 08:01 7 /opt/app\n"];
        let hooked: &[&str] = &["1000-2000 r-xp 00000000 08:01 8 /bin/other\n", SENSOR];

        assert_eq!(vec![NONE, NONE, vec!["exec_unseen"]], reasons(&[WHOLE, other, other]));
        assert_eq!(vec![NONE, NONE, vec!["exec_unseen"]], reasons(&[WHOLE, again, again]));
        // It will say hello, or was told not to.
        assert_eq!(vec![NONE; 3], reasons(&[WHOLE, hooked, hooked]));
    }
}
