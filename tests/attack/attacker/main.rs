//! A hostile peer of the collector, for the tests: `attacker SOCKET VERSION:EVENTS:CALLS ATTACK [ARGUMENT…]`.
//!
//! It uses no code of the sensor and none of the crate `wire`. It runs as a user of its own (nobody) until it
//! is killed. The attacks are functions in the files of the laws that they try to break;
//! `tests/attack/list.rs` says which are run, and how.

mod law1;
mod law3;
mod law4;
mod os;
mod payload;
mod peer;
mod ring;

use peer::Door;

/// The arguments of an attack, from the first to the last.
pub struct Arguments(std::vec::IntoIter<String>);

impl Arguments {
    fn text(&mut self) -> String {
        self.0.next().unwrap_or_else(|| panic!("an argument is missing"))
    }

    fn number(&mut self) -> u64 {
        let text = self.text();
        text.parse().unwrap_or_else(|_| panic!("'{text}' is not a number"))
    }
}

/// An attack's name, and its function.
type Attack = (&'static str, fn(&Door, &mut Arguments));

const ATTACKS: &[Attack] = &[
    ("honest", law1::honest),
    ("dead-hello", law1::dead_hello),
    ("number-reuse", law1::number_reuse),
    ("false-pid", law1::false_pid),
    ("false-parent", law1::false_parent),
    ("false-slot", law1::false_slot),
    ("false-rename", law1::false_rename),
    ("false-death", law1::false_death),
    ("false-program", law1::false_program),
    ("false-file", law1::false_file),
    ("false-root", law1::false_root),
    ("false-blind", law1::false_blind),
    ("guesses", law1::guesses),
    ("path", law3::path),
    ("swap", law3::swap),
    ("instead", law3::instead),
    ("unread", law3::unread),
    ("laden", law3::laden),
    ("sparse", law4::sparse),
    ("counters", law4::counters),
    ("numbers", law4::numbers),
    ("long-records", law4::long_records),
    ("descriptors", law4::descriptors),
    ("ranges", law4::ranges),
    ("fat-children", law4::fat_children),
    ("directories", law4::directories),
    ("unfinished", law4::unfinished),
    ("flood", law4::flood),
    ("children", law4::children),
    ("slots", law4::slots),
    ("names", law4::names),
    ("images", law4::images),
    ("users", law4::users),
    ("crowd", law4::crowd),
    ("signals", law4::signals),
    ("amplified", law4::amplified),
    ("identities", law4::identities),
    ("rings", law4::rings),
    ("connections", law4::connections),
    ("blind", law4::blind),
    ("containers", law4::containers),
];

fn main() {
    let mut arguments = Arguments(std::env::args().skip(1).collect::<Vec<_>>().into_iter());
    let socket = arguments.text();
    let release = arguments.text();
    let numbers: Vec<u64> = release.split(':').filter_map(|number| number.parse().ok()).collect();
    let &[version, events, calls] = numbers.as_slice() else { panic!("'{release}' is no release") };
    let door = Door { socket, version: version as u16, events, calls };
    let name = arguments.text();
    os::die_with_parent();
    match ATTACKS.iter().find(|(known, _)| *known == name) {
        Some((_, attack)) => attack(&door, &mut arguments),
        None => panic!("no attack '{name}'"),
    }
    os::linger();
}
