//! `attack [--long] [--markdown] [--keep] [--list] [--law-N] [NAME…]`: tries every attack of
//! [`list::ATTACKS`] beside a bystander, and says what it measured.
//!
//! For each: a collector with limited memory, a bystander (root) that makes 20 000 known opens, an attacker
//! (nobody) with rings and hellos of its own making, a fresh program every 100 ms, and at the end SIGTERM.
//! The goal is the row of the table's head. Test machines are busy: times are told without what the collector
//! waited for a processor (the column "wait"), and asserted with a slack of three.
//!
//! `cargo xtask test attack` and `cargo xtask attack` build and run it. The closing line is libtest's.

mod groups;
mod hanging;
mod lies;
mod list;
mod release;
mod run;
mod scene;
mod waits;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use groups::Limit;
use list::{ATTACKS, Attack, Length};
use scene::{Figures, OPENS, Options, Stage};

/// The goal.
const MOST_LAG: Duration = Duration::from_secs(1);
const MOST_RSS_MIB: u64 = 64;
const MOST_SIGTERM: Duration = Duration::from_secs(1);
const MOST_FRESH: Duration = Duration::from_millis(500);
const MOST_HEALTH: Duration = Duration::from_secs(1);
/// Times are asserted as so many times the goal.
const SLACK: u32 = 3;

/// The bystander's time, and how long the whole run is.
const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(12);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let is_long = has("--long");
    let chosen: Vec<&Attack> = ATTACKS
        .iter()
        .filter(|attack| match names.as_slice() {
            [] if arguments.iter().any(|argument| argument.starts_with("--law-")) => {
                has(&format!("--law-{}", attack.law))
            }
            [] => is_long || attack.length == Length::Short,
            names => names.iter().any(|name| attack.name.contains(name.as_str())),
        })
        .collect();
    if has("--list") {
        chosen.iter().for_each(|attack| println!("{} {:45} {}", attack.law, attack.name, attack.arguments));
        return ExitCode::SUCCESS;
    }
    // SAFETY: takes nothing and cannot fail.
    if unsafe { libc::geteuid() } != 0 {
        println!("not run: only root can start the bystander as root and the attacker as nobody");
        close(0, 0, chosen.len());
        return ExitCode::SUCCESS;
    }
    let mut stage = match Stage::new() {
        Ok(stage) => stage,
        Err(why) => {
            println!("cannot begin: {why}");
            close(0, 1, 0);
            return ExitCode::FAILURE;
        }
    };
    println!("the collector's memory: {}\n", Limit::new(0).kind());
    let options = Options { duration: if is_long { LONG } else { SHORT }, keeps: has("--keep") };
    let table = Table { is_markdown: has("--markdown") };
    table.head();
    let (mut passed, mut failed, mut not_run) = (0, Vec::new(), 0);
    for attack in chosen {
        match stage.run(attack, &options) {
            Ok(figures) => {
                let missed = missed(&figures, attack);
                table.row(attack, &figures, &missed);
                match missed.is_empty() {
                    true => passed += 1,
                    false => failed.push((attack.name, missed, figures.lies)),
                }
            }
            Err(why) => {
                table.absent(attack, &why);
                not_run += 1;
            }
        }
    }
    println!();
    for (name, arguments) in run::ATTACKS {
        let is_chosen = match names.as_slice() {
            [] => is_long,
            names => names.iter().any(|chosen| name.contains(chosen.as_str())),
        };
        if !is_chosen {
            continue;
        }
        match run::duration(&stage, arguments) {
            Ok(took) if took <= run::COMMAND + MOST_SIGTERM * SLACK => {
                println!("{name}: ended after {:.2} s", took.as_secs_f64());
                passed += 1;
            }
            Ok(took) => {
                failed.push((name, vec![format!("ended after {:.1} s", took.as_secs_f64())], Vec::new()))
            }
            Err(why) => failed.push((name, vec![why], Vec::new())),
        }
    }
    for (name, missed, lies) in &failed {
        println!("{name}: {}", missed.join("; "));
        lies.iter().for_each(|lie| println!("    {lie}"));
    }
    if options.keeps {
        println!("kept: {}", stage.keep().display());
    }
    close(passed, failed.len(), not_run);
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The closing line, as libtest writes it.
fn close(passed: usize, failed: usize, not_run: usize) {
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {failed} failed; {not_run} ignored; 0 measured");
}

/// The parts of the goal that were missed, beyond the slack.
fn missed(figures: &Figures, attack: &Attack) -> Vec<String> {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let mut missed = Vec::new();
    let mut must = |is_kept: bool, what: String| {
        if !is_kept {
            missed.push(what);
        }
    };
    must(figures.fault.is_none(), figures.fault.clone().unwrap_or_default());
    must(figures.is_alive, "the collector died".to_owned());
    let told = match figures.losses.join(", ") {
        told if told.is_empty() => "no loss is told".to_owned(),
        told => format!("told as lost: {}", told.chars().take(120).collect::<String>()),
    };
    must(figures.delivered == OPENS, format!("{} of {OPENS} opens ({told})", figures.delivered));
    must(figures.rss_mib <= MOST_RSS_MIB, format!("{} MiB", figures.rss_mib));
    must(figures.lag <= MOST_LAG * SLACK, format!("lag {}", seconds(figures.lag)));
    must(figures.fresh <= MOST_FRESH * SLACK, format!("new programs {}", seconds(figures.fresh)));
    match figures.sigterm {
        Some(time) => must(time <= MOST_SIGTERM * SLACK, format!("SIGTERM {}", seconds(time))),
        None => must(false, "SIGTERM unheeded".to_owned()),
    }
    match figures.health {
        Some(time) => must(time <= MOST_HEALTH * SLACK, format!("health {}", seconds(time))),
        None => must(false, "health unanswered".to_owned()),
    }
    if attack.is_checked_for_lies() {
        must(figures.lies.is_empty(), format!("{} lies", figures.lies.len()));
    }
    missed
}

/// The table, as text or as markdown.
struct Table {
    is_markdown: bool,
}

impl Table {
    fn head(&self) {
        let columns = ["delivered", "lag", "silence", "RSS", "SIGTERM", "new", "health", "wait", ""];
        self.print("law", "attack", columns.map(str::to_owned));
        if self.is_markdown {
            println!("|---|---|---|---|---|---|---|---|---|---|---|");
        }
        let goal = ["20000", "1 s", "", "64 MiB", "1 s", "0.5 s", "1 s", "", ""];
        self.print("", "the goal", goal.map(str::to_owned));
    }

    fn row(&self, attack: &Attack, figures: &Figures, missed: &[String]) {
        let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
        let or_never = |time: Option<Duration>| time.map_or_else(|| "never".to_owned(), seconds);
        let verdict = if missed.is_empty() { "kept" } else { "MISSED" };
        let died = if figures.is_alive { "" } else { ", died" };
        let columns = [
            figures.delivered.to_string(),
            seconds(figures.lag),
            seconds(figures.silence),
            format!("{}{died}", figures.rss_mib),
            or_never(figures.sigterm),
            seconds(figures.fresh),
            or_never(figures.health),
            seconds(figures.waited),
            verdict.to_owned(),
        ];
        self.print(&attack.law.to_string(), attack.name, columns);
    }

    fn absent(&self, attack: &Attack, why: &str) {
        let columns = ["-", "-", "-", "-", "-", "-", "-", "-"].map(str::to_owned);
        let [a, b, c, d, e, f, g, h] = columns;
        let why = format!("not run: {why}");
        self.print(&attack.law.to_string(), attack.name, [a, b, c, d, e, f, g, h, why]);
    }

    fn print(&self, law: &str, name: &str, [a, b, c, d, e, f, g, h, i]: [String; 9]) {
        match self.is_markdown {
            true => println!("| {law} | {name} | {a} | {b} | {c} | {d} | {e} | {f} | {g} | {h} | {i} |"),
            false => {
                println!("{law:3} {name:48} {a:>9} {b:>6} {c:>7} {d:>9} {e:>7} {f:>6} {g:>6} {h:>6}  {i}")
            }
        }
    }
}
