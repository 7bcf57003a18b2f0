//! The attacks that are tried: which law each tries to break, and with what.

/// Where the collector, the bystander and the attacker are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// All in one pid namespace.
    Together,
    /// Each in a pid namespace of its own, so that none sees another's number.
    Apart,
    /// Only the attacker in a namespace of its own.
    Inner,
    /// Together, and the attacker is root, but of another control group: as root of another container is.
    RootElsewhere,
    /// Together; the bystander gets the number of a process of the attacker that died.
    SameNumber,
}

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// In CI too.
    Short,
    /// Only in the long run.
    Long,
}

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// The law of docs/threat-model.md that it tries to break; 0 for the bystander alone.
    pub law: u8,
    pub name: &'static str,
    /// The attacker's arguments. `{victim}` is the bystander's pid, `{ns}` its pid namespace, `{watched}`
    /// the folder that it opens its file in, `{folder}` a folder that all may write to, `{fifo}` a FIFO that
    /// the attacker makes there, `{hanging}` a folder on a file system that never answers.
    pub arguments: &'static str,
    pub place: Place,
    pub length: Length,
}

const fn attack(law: u8, name: &'static str, arguments: &'static str) -> Attack {
    Attack { law, name, arguments, place: Place::Together, length: Length::Short }
}

impl Attack {
    const fn long(self) -> Attack {
        Attack { length: Length::Long, ..self }
    }

    const fn at(self, place: Place) -> Attack {
        Attack { place, ..self }
    }

    /// Whether all of the output is checked for lies: not where it may hold gigabytes.
    pub fn is_checked_for_lies(&self) -> bool {
        self.law < 4
    }
}

/// Nothing is attacked: what the machine itself costs.
pub const CALM: &str = "calm";

pub const ATTACKS: &[Attack] = &[
    attack(0, CALM, ""),
    // Who is who. The first says nothing false, and shows that the check does not see lies everywhere.
    attack(1, "a ring by hand that says the truth", "honest"),
    attack(1, "a dead child speaks as a container's init", "dead-hello 1 {ns} own").at(Place::Apart),
    attack(1, "the same, passed on", "dead-hello 1 {ns} passed").at(Place::Apart),
    attack(1, "a dead child speaks as the bystander", "dead-hello {victim} 0 own"),
    attack(1, "a container's dead child speaks as it", "dead-hello {victim} 0 own").at(Place::Inner),
    attack(1, "the same, passed on there", "dead-hello {victim} 0 passed").at(Place::Inner),
    attack(1, "a dead child's number is the bystander's", "number-reuse {folder} late").at(Place::SameNumber),
    attack(1, "the same, its hello is read late", "number-reuse {folder} queued").at(Place::SameNumber),
    attack(1, "a hello as the bystander", "false-pid {victim} 0"),
    attack(1, "a hello as the bystander, from a container", "false-pid {victim} 0").at(Place::Inner),
    attack(1, "a hello as another container's init", "false-pid 1 {ns}").at(Place::Apart),
    attack(1, "the bystander for a parent", "false-parent {victim}"),
    attack(1, "init for a parent", "false-parent 1").long(),
    attack(1, "a slot for init", "false-slot 1 plant"),
    attack(1, "a slot for the bystander", "false-slot {victim} plain"),
    attack(1, "descriptors planted in the bystander", "false-slot {victim} plant"),
    attack(1, "the same, from a container", "false-slot {victim} plant").at(Place::Inner),
    attack(1, "the bystander for a child", "false-slot {victim} told").long(),
    attack(1, "the bystander for a child that is killed", "false-slot {victim} dies"),
    attack(1, "a slot of the bystander becomes root", "false-slot {victim} rises").long(),
    attack(1, "a slot of the bystander runs sshd", "false-slot {victim} begins"),
    attack(1, "the bystander's folder gets another name", "false-rename {watched} {folder}"),
    attack(1, "the bystander's death is told", "false-death {victim} both"),
    attack(1, "the same, without a fork", "false-death {victim} status").long(),
    attack(1, "forks of the bystander", "false-death {victim} fork").long(),
    attack(1, "nobody is root and runs sshd", "false-program"),
    attack(1, "nobody runs sh, by its file", "false-file"),
    attack(1, "nobody becomes root", "false-root"),
    attack(1, "a blind program as the bystander", "false-blind {victim}"),
    attack(1, "all numbers are guessed", "guesses 33000").long(),
    attack(1, "all numbers are guessed, from a container", "guesses 33000").at(Place::Inner),
    // What waits, and what is opened.
    attack(3, "a child executes /proc/kmsg", "path exec /proc/kmsg"),
    attack(3, "a program at /proc/kmsg begins", "path start /proc/kmsg").long(),
    attack(3, "a child executes a FIFO", "path exec {fifo}"),
    attack(3, "a program at a FIFO begins and is gone", "path start {fifo}"),
    attack(3, "a child executes a terminal", "path exec /dev/ptmx").long(),
    attack(3, "a child executes the collector's descriptor", "path exec /proc/self/fd/0").long(),
    attack(3, "a child executes on a hanging file system", "path exec {hanging}/INTRUDER"),
    attack(3, "a program begins on a hanging file system", "path start {hanging}/INTRUDER"),
    attack(3, "a script's interpreter on a hanging one", "path script {hanging}/INTRUDER"),
    attack(3, "a file and a FIFO change places", "swap {folder}"),
    attack(3, "a lingering socket in place of a ring", "instead linger"),
    attack(3, "a pipe in place of a ring", "instead pipe"),
    attack(3, "devices in place of a ring", "instead device"),
    attack(3, "a socket full of sockets in place of a ring", "instead nested"),
    attack(3, "files of a ring's size in place of it", "instead file"),
    attack(3, "200 descriptors at once", "instead many").long(),
    attack(3, "questions with 253 descriptors each", "laden"),
    attack(3, "unread messages with lingering sockets", "unread 20 hello"),
    attack(3, "the same, of no bytes", "unread 20 empty"),
    attack(3, "the same, on a connection that is reset", "unread 1 reset"),
    // What is held.
    attack(4, "two sparse rings of 256 MiB", "sparse 2 256"),
    attack(4, "64 sparse rings of 256 MiB", "sparse 64 256").long(),
    attack(4, "deaths with 65536 descriptors open", "counters 65536"),
    attack(4, "descending numbers, 40 kB each", "numbers 40000 down"),
    attack(4, "descending numbers of root elsewhere", "numbers 40000 down").at(Place::RootElsewhere).long(),
    attack(4, "descending numbers, 20 B each", "numbers 20 down").long(),
    attack(4, "numbers down from the largest", "numbers 40000 top").long(),
    attack(4, "every second number, 1 kB", "numbers 1000 apart"),
    attack(4, "random numbers, 10 kB", "numbers 10000 wild").long(),
    attack(4, "records of 160 kB", "long-records 160000"),
    attack(4, "records of 144 KiB", "long-records 147456").long(),
    attack(4, "a million opens with paths of 4 KiB", "descriptors 1000000 4096 open"),
    attack(4, "the same, numbers far apart", "descriptors 1000000 4096 far").long(),
    attack(4, "a million descriptors of a kind of 4 KiB", "descriptors 1000000 4096 made").long(),
    attack(4, "a million sockets bound to 4 KiB", "descriptors 1000000 4096 bound").long(),
    attack(4, "ranges over 200000 descriptors", "ranges 200000"),
    attack(4, "255 children of a table of 50000", "fat-children 50000"),
    attack(4, "directories of 40 kB", "directories 40000 absolute").long(),
    attack(4, "directories below each other", "directories 20000 below"),
    attack(4, "short names below a directory of 8 kB", "amplified 1"),
    attack(4, "the same from 16 rings", "amplified 16").long(),
    attack(4, "names of 40 kB resolved", "names 40000"),
    attack(4, "images with arguments of 40 kB", "images 40000 arguments"),
    attack(4, "images at paths of 48 kB", "images 48000 paths").at(Place::Apart),
    attack(4, "50 users of another container", "users 50 names").at(Place::RootElsewhere),
    attack(4, "the same, with 1200 rings each", "users 50 rings").at(Place::RootElsewhere).long(),
    attack(4, "identities without end", "identities").long(),
    // What is waited for.
    attack(4, "1000 unfinished records behind time 1", "unfinished 1 1000"),
    attack(4, "unfinished ones of root elsewhere", "unfinished 1 1000").at(Place::RootElsewhere).long(),
    attack(4, "the same in 64 rings", "unfinished 64 100").long(),
    // What is done.
    attack(4, "flood from 1 ring", "flood 1 now"),
    attack(4, "flood from 64 rings", "flood 64 now"),
    attack(4, "flood of 50 users of another container", "users 50 flood").at(Place::RootElsewhere),
    attack(4, "flood of root of another container", "flood 2 now").at(Place::RootElsewhere),
    attack(4, "flood with time 1", "flood 1 first"),
    attack(4, "flood with time 1 from 16 rings", "flood 16 first").long(),
    attack(4, "flood an hour ahead", "flood 1 later"),
    attack(4, "flood at the end of time", "flood 1 last").long(),
    attack(4, "flood with random times", "flood 4 wild").long(),
    attack(4, "waits for millions of children", "children status"),
    attack(4, "forks of millions of children", "children fork"),
    attack(4, "forks and waits of millions", "children both").long(),
    attack(4, "forks of a crowd, in a container", "crowd").at(Place::Inner),
    attack(4, "forks of a crowd", "crowd").long(),
    attack(4, "signals by an epoll with 15000 entries", "signals 15000"),
    attack(4, "closes of millions of descriptors", "children close").long(),
    attack(4, "execs of millions of children", "slots exec 0"),
    attack(4, "starts of millions of children", "slots start 0").long(),
    attack(4, "opens of millions of children", "slots open 0").long(),
    attack(4, "opens of heirs of 50000 descriptors", "slots open 50000"),
    attack(4, "5000 rings of one process", "rings 5000 one"),
    attack(4, "the same with children in all slots", "rings 5000 slots"),
    attack(4, "800 rings of 800 processes", "rings 800 many"),
    attack(4, "rings of processes that die", "rings 0 dying"),
    attack(4, "rings that are corrupt", "rings 0 corrupt"),
    attack(4, "connect and close", "connections 8 close"),
    attack(4, "connect and keep", "connections 4 keep"),
    attack(4, "half a hello", "connections 8 half"),
    attack(4, "questions of health, unread", "connections 2 health").long(),
    attack(4, "what is no hello", "connections 2 noise").long(),
    attack(4, "blind hellos of programs of 4 kB", "blind 4000"),
    attack(4, "container addresses without end", "containers http://127.0.0.1:9/v4/"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attack_has_a_name_of_its_own_that_fits_the_table() {
        for (index, attack) in ATTACKS.iter().enumerate() {
            let name = attack.name;

            assert!(ATTACKS[..index].iter().all(|other| other.name != name), "{name} twice");
            assert!(name.len() <= 48, "{name} is too long");
        }
    }
}
