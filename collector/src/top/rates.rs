//! The processes with what they do now: differences between two looks.

use rustc_hash::FxHashMap;

use crate::ids::ProcessKey;
use crate::picture::{End, Process};
use crate::sinks::summary::Gathered;
use crate::system::procfs;

/// Processes whose processor time is read at each look.
const MOST_READ: usize = 200;

/// A line of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub pid: u32,
    pub program: String,
    /// The number in the picture.
    pub place: usize,
    pub is_running: bool,
    /// Events in a second.
    pub rate: f64,
    /// Percent of a processor.
    pub cpu: f64,
    pub events: u64,
    /// Bytes of files and sockets.
    pub files: u64,
    pub net: u64,
    pub failures: u64,
    pub alerts: u64,
    pub lost: u64,
}

/// What the table is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    #[default]
    Rate,
    Cpu,
    Bytes,
    Failures,
    Name,
}

impl SortBy {
    /// All, with their names.
    pub const ALL: [(Self, &str); 5] = [
        (Self::Rate, "events/s"),
        (Self::Cpu, "cpu"),
        (Self::Bytes, "bytes"),
        (Self::Failures, "failures"),
        (Self::Name, "name"),
    ];

    /// The one that follows.
    pub fn next(self) -> Self {
        let place = Self::ALL.iter().position(|(sort, _)| *sort == self).unwrap_or(0);
        Self::ALL[(place + 1) % Self::ALL.len()].0
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(sort, _)| *sort == self).map_or("", |(_, name)| name)
    }
}

/// The look before.
#[derive(Debug, Default)]
pub struct Rates {
    /// By process; the time of its first event tells one from a later one of its key.
    events: FxHashMap<(ProcessKey, u64), u64>,
    cpu_ns: FxHashMap<u32, u64>,
    all: u64,
    /// Events of all processes in a second.
    pub rate: f64,
}

impl Rates {
    /// Forgets the look before, of another picture.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Looks, `seconds` after the look before.
    pub fn look(&mut self, gathered: &Gathered, seconds: f64) -> Vec<Row> {
        let seconds = seconds.max(0.001);
        let processes = gathered.picture.processes();
        let mut rows: Vec<Row> = Vec::with_capacity(processes.len());
        let mut events = FxHashMap::default();
        for (place, process) in processes.iter().enumerate() {
            let (id, now) = ((process.key, process.began_ns), process.did.events);
            let before = self.events.get(&id).copied().unwrap_or(0);
            events.insert(id, now);
            rows.push(row(place, process, now.saturating_sub(before) as f64 / seconds));
        }
        self.events = events;
        // Processes that the picture has no room for count too.
        let all = gathered.events();
        self.rate = all.saturating_sub(self.all) as f64 / seconds;
        self.all = all;
        let mut busiest: Vec<usize> = (0..rows.len()).filter(|place| rows[*place].is_running).collect();
        busiest.sort_by(|one, other| rows[*other].rate.total_cmp(&rows[*one].rate));
        let mut cpu_ns = FxHashMap::default();
        for place in busiest.into_iter().take(MOST_READ) {
            let row = &mut rows[place];
            if let Some(stat) = procfs::stat(row.pid) {
                let now = stat.user_ns.saturating_add(stat.system_ns);
                if let Some(before) = self.cpu_ns.get(&row.pid) {
                    row.cpu = now.saturating_sub(*before) as f64 / seconds / 1e7;
                }
                cpu_ns.insert(row.pid, now);
            }
        }
        self.cpu_ns = cpu_ns;
        rows
    }
}

fn row(place: usize, process: &Process, rate: f64) -> Row {
    let did = process.did;
    Row {
        pid: process.key.pid.0,
        program: program(process),
        place,
        is_running: process.end == End::Running,
        rate,
        cpu: 0.0,
        events: did.events,
        files: did.read.saturating_add(did.written),
        net: did.sent.saturating_add(did.received),
        failures: did.failures,
        alerts: did.alerts,
        lost: process.lost,
    }
}

/// The program with its arguments, as a terminal may show it.
fn program(process: &Process) -> String {
    const MOST: usize = 200;
    let mut text = Vec::new();
    crate::sinks::text::quote(process.name(), MOST, &mut text);
    for word in crate::sinks::text::words_of(&process.argv).skip(1) {
        if text.len() >= MOST {
            break;
        }
        text.push(b' ');
        crate::sinks::text::quote(word, MOST, &mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Sorts the lines: the most first, names by letters; the other way round where that is wanted. Processes
/// that run come first, and of others those that began last.
pub fn sort(rows: &mut [Row], by: SortBy, is_reversed: bool) {
    rows.sort_by(|one, other| {
        let order = match by {
            SortBy::Rate => other.rate.total_cmp(&one.rate).then(other.events.cmp(&one.events)),
            SortBy::Cpu => other.cpu.total_cmp(&one.cpu),
            SortBy::Bytes => (other.files + other.net).cmp(&(one.files + one.net)),
            SortBy::Failures => other.failures.cmp(&one.failures),
            SortBy::Name => one.program.cmp(&other.program),
        };
        let order = if is_reversed { order.reverse() } else { order };
        other.is_running.cmp(&one.is_running).then(order).then(other.place.cmp(&one.place))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |place: usize, program: &str, rate, failures, is_running| Row {
            place,
            program: program.into(),
            rate,
            failures,
            is_running,
            ..Row::default()
        };
        vec![row(0, "b", 1.0, 3, true), row(1, "a", 5.0, 0, true), row(2, "c", 9.0, 9, false)]
    }

    fn places(by: SortBy, is_reversed: bool) -> Vec<usize> {
        let mut rows = rows();
        sort(&mut rows, by, is_reversed);
        rows.iter().map(|row| row.place).collect()
    }

    #[test]
    fn processes_that_run_come_first_and_the_most_of_these() {
        assert_eq!(vec![1, 0, 2], places(SortBy::Rate, false));
        assert_eq!(vec![0, 1, 2], places(SortBy::Rate, true));
        assert_eq!(vec![0, 1, 2], places(SortBy::Failures, false));
        assert_eq!(vec![1, 0, 2], places(SortBy::Name, false));
    }

    #[test]
    fn every_order_follows_another() {
        let mut by = SortBy::default();
        for _ in SortBy::ALL {
            by = by.next();
        }

        assert_eq!(SortBy::default(), by);
    }
}
