//! Measures a program bare and under the sensor in turn, and makes a row of the table of the samples.

use std::process::Command;

use anyhow::Result;

use crate::bench::programs::Sample;
use crate::bench::report::{Row, at_most};
use crate::bench::stats::{Spread, time};
use crate::bench::{Bench, Outcome, Watch};
use crate::glassbox::Ledger;

/// The state in which a program is run.
#[derive(Clone, Copy)]
pub enum Subject<'a> {
    Bare,
    Watched(&'a Watch<'a>),
    /// Under a library whose wrappers do nothing.
    Wrapped,
}

impl Subject<'_> {
    /// The command in this state.
    pub fn of(&self, bench: &Bench, mut command: Command) -> Command {
        match self {
            Subject::Bare => command,
            Subject::Watched(watch) => watch.over(&command),
            Subject::Wrapped => {
                command.env("LD_PRELOAD", bench.programs.library("wrapper"));
                command
            }
        }
    }
}

/// The command under the sensor, or bare.
pub fn under(watch: Option<&Watch<'_>>, command: Command) -> Command {
    match watch {
        Some(watch) => watch.over(&command),
        None => command,
    }
}

/// The samples, one of each state per round.
pub struct Pairs {
    pub bare: Vec<Sample>,
    pub watched: Vec<Sample>,
    /// Empty if the case does not measure it.
    pub wrapped: Vec<Sample>,
    pub outcome: Outcome,
}

impl Pairs {
    fn wall(&self) -> Spread {
        ratio(&self.watched, &self.bare, |sample| sample.wall_ns)
    }

    fn cpu(&self) -> Spread {
        ratio(&self.watched, &self.bare, |sample| sample.cpu_ns)
    }

    fn bare_ns(&self) -> f64 {
        Spread::of(self.bare.iter().map(|sample| sample.wall_ns)).median
    }

    /// The cost of the empty wrapper, and the sensor's ratio to it.
    fn floor(&self) -> String {
        if self.wrapped.is_empty() {
            return String::new();
        }
        let floor = ratio(&self.wrapped, &self.bare, |sample| sample.wall_ns);
        let to_it = ratio(&self.watched, &self.wrapped, |sample| sample.wall_ns);
        format!("×{:.2}; glassbox ×{:.2} of it", floor.median, to_it.median)
    }

    /// A row of the table; `runs` is the number of units of work that the watched program did in all.
    pub fn row(&self, what: &str, bound: f64, runs: f64) -> Row {
        let (must, mut is_reached) = at_most(&self.wall(), bound);
        let is_watched = self.outcome.ledger.delivered > 0;
        if is_watched && self.outcome.ledger.lost > 0 {
            is_reached = Some(false);
        }
        Row {
            what: what.to_owned(),
            bare: time(self.bare_ns()),
            watched: self.wall().ratio(),
            cpu: self.cpu().ratio(),
            floor: self.floor(),
            collector: if is_watched { time(self.outcome.collector_cpu_ns / runs) } else { String::new() },
            lost: if is_watched { lost(&self.outcome.ledger) } else { String::new() },
            must,
            is_reached,
        }
    }
}

fn ratio(over: &[Sample], under: &[Sample], of: impl Fn(&Sample) -> f64) -> Spread {
    Spread::of(over.iter().zip(under).map(|(over, under)| of(over) / of(under)))
}

pub fn lost(ledger: &Ledger) -> String {
    format!("{} of {}", ledger.lost, ledger.delivered + ledger.lost)
}

/// Alternates bare, watched and, if `with_wrapper`, the empty wrapper. The first round warms up and is thrown
/// away.
pub fn pairs(
    bench: &Bench,
    watch: Watch<'_>,
    with_wrapper: bool,
    rounds: u32,
    sample: impl Fn(Subject<'_>) -> Result<Sample>,
) -> Result<Pairs> {
    let with_wrapper = with_wrapper && bench.options.preload.is_none();
    let subjects = if with_wrapper { 3 } else { 2 };
    let mut pairs = Pairs { bare: vec![], watched: vec![], wrapped: vec![], outcome: Outcome::default() };
    let mut warm_up_ns = 0.0;
    for round in 0..=rounds {
        // The order changes each round, so that no state profits from the caches that another left.
        for turn in 0..subjects {
            let (subject, into) = match (round + turn) % subjects {
                0 => (Subject::Bare, &mut pairs.bare),
                1 => (Subject::Watched(&watch), &mut pairs.watched),
                _ => (Subject::Wrapped, &mut pairs.wrapped),
            };
            let sample = sample(subject)?;
            if round > 0 {
                into.push(sample);
            }
        }
        if round == 0 {
            warm_up_ns = watch.collector_cpu_ns()?;
        }
    }
    pairs.outcome = watch.finish()?;
    pairs.outcome.collector_cpu_ns -= warm_up_ns;
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_give_the_median_of_their_ratios() {
        let sample = |wall_ns| Sample { wall_ns, cpu_ns: 1.0 };
        let pairs = Pairs {
            bare: vec![sample(10.0), sample(20.0), sample(10.0)],
            watched: vec![sample(11.0), sample(40.0), sample(12.0)],
            wrapped: Vec::new(),
            outcome: Outcome::default(),
        };

        assert_eq!(1.2, pairs.wall().median);
        assert_eq!(1.0, pairs.cpu().median);
    }
}
