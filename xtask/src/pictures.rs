//! `cargo xtask pictures`: the pictures of the README, made of what really appears.
//!
//! A terminal is tmux, whose screen becomes an SVG; a browser is Chromium. `--check` makes the screens again
//! and compares their words with those of the committed pictures: times and numbers differ from run to run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::glassbox::{self, Built};
use crate::{packages, shell};

/// What makes and shows them.
const PACKAGES: [&str; 3] = ["chromium", "fonts-dejavu-core", "tmux"];
/// How long a screen may take to show what it is to show.
const PATIENCE: Duration = Duration::from_secs(60);
/// Columns of a terminal.
const COLUMNS: &str = "110";

/// An installer that does what an installer should not.
const INSTALLER: &str = r#"#!/bin/sh
cp /etc/hostname settings.conf
python3 -c 'import socket; socket.create_connection(("127.0.0.1", 5432))' 2>/dev/null
cat /etc/shadow >/dev/null
(sleep 0.3; touch marker) &
wait
rm settings.conf
exit 3
"#;

/// A service at work.
const SERVICE: &str = r#"#!/bin/sh
python3 -c 'import time
while True:
    for _ in range(200):
        open("/etc/hostname").close()
    time.sleep(0.1)' &
while :; do cat /etc/hostname /missing/file >/dev/null 2>&1; sleep 0.05; done
"#;

/// A picture of a terminal.
struct Screen {
    /// The name of the file.
    name: &'static str,
    lines: &'static str,
    script: &'static str,
    /// Options of `glassbox run`.
    options: &'static str,
    /// It is ready once it shows this, and so much later.
    shows: &'static str,
    then: Duration,
    /// The lines whose words are always the same.
    steady: std::ops::Range<usize>,
}

const SCREENS: [Screen; 2] = [
    Screen {
        name: "summary.svg",
        lines: "45",
        script: INSTALLER,
        options: "",
        shows: "Sensor ",
        then: Duration::from_millis(200),
        steady: 1..9,
    },
    Screen {
        name: "top.svg",
        lines: "16",
        script: SERVICE,
        options: "--tui",
        shows: "sleep 0.05",
        then: Duration::from_secs(4),
        steady: 1..3,
    },
];

/// `cargo xtask pictures [--check]`
pub fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => make(),
        [flag] if flag == "--check" => check(&glassbox::built()),
        _ => bail!("usage: cargo xtask pictures [--check]"),
    }
}

fn folder() -> PathBuf {
    shell::root().join("docs/pictures")
}

/// Where the programs run, with a path that may be seen.
fn desk() -> Result<PathBuf> {
    let place = PathBuf::from("/tmp/project");
    match fs::remove_dir_all(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir(&place).context("/tmp/project")?,
    }
    Ok(place)
}

fn make() -> Result<()> {
    packages::install(&PACKAGES.map(str::to_owned))?;
    let built = glassbox::build_demo()?;
    fs::create_dir_all(folder())?;
    for screen in &SCREENS {
        let text = screen.shown(&built)?;
        let picture = anstyle_svg::Term::new().render_svg(&text);
        fs::write(folder().join(screen.name), picture)?;
        println!("docs/pictures/{}", screen.name);
    }
    let (dir, place) = (shell::scratch("pictures")?, desk()?);
    let (report, picture) = (dir.join("report.html"), folder().join("report.png"));
    fs::write(place.join("install.sh"), INSTALLER)?;
    let mut run = Command::new(&built.cli);
    run.arg("run").arg("-o").arg(format!("html:{}", report.display())).args(["--", "sh", "install.sh"]);
    // Its status is the installer's own.
    run.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    run.current_dir(&place).status().context("glassbox run")?;
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    browser.args(["--window-size=1280,800", "--virtual-time-budget=5000"]);
    browser.arg(format!("--screenshot={}", picture.display())).arg(format!("file://{}", report.display()));
    shell::output(&mut browser)?;
    println!("docs/pictures/report.png");
    Ok(())
}

/// Fails where a picture shows other words than appear today.
pub fn check(built: &Built) -> Result<()> {
    for screen in &SCREENS {
        let path = folder().join(screen.name);
        let told = words_of_picture(&fs::read_to_string(&path).with_context(|| path.display().to_string())?);
        let now = words_of_picture(&anstyle_svg::Term::new().render_svg(&screen.shown(built)?));
        let of = |lines: &[String]| -> Vec<String> {
            lines.iter().skip(screen.steady.start).take(screen.steady.len()).cloned().collect()
        };
        if of(&told) != of(&now) || of(&told).concat().is_empty() {
            bail!(
                "docs/pictures/{} is stale; run: cargo xtask pictures\nit has\n  {}\nand there is\n  {}",
                screen.name,
                of(&told).join("\n  "),
                of(&now).join("\n  ")
            );
        }
    }
    Ok(())
}

/// The words of each line, without numbers, units and what is drawn.
fn words_of_picture(svg: &str) -> Vec<String> {
    const UNITS: [&str; 6] = ["ns", "µs", "ms", "s", "kB", "MB"];
    let lines = svg.lines().filter(|line| line.trim_start().starts_with("<tspan"));
    let text = |line: &str| -> String {
        let inside = line.split('<').filter_map(|piece| piece.split_once('>')).map(|(_, text)| text);
        inside.collect::<String>().replace("&#160;", " ").replace('\u{a0}', " ")
    };
    let is_word = |word: &&str| {
        word.chars().all(|letter| letter.is_ascii_alphabetic() || "/_-.".contains(letter))
            && !UNITS.contains(word)
    };
    let words = |line| text(line).split_whitespace().filter(is_word).collect::<Vec<_>>().join(" ");
    lines.map(words).filter(|line| !line.is_empty()).collect()
}

impl Screen {
    /// What the terminal shows, with its escape sequences.
    fn shown(&self, built: &Built) -> Result<String> {
        let (dir, place) = (shell::scratch("pictures")?, desk()?);
        fs::write(place.join("install.sh"), self.script)?;
        let (socket, session) = (dir.join("tmux"), dir.join("session.sh"));
        let glassbox = built.cli.display();
        let line = format!("{glassbox} run {} -- sh install.sh\nsleep 100\n", self.options);
        fs::write(&session, line)?;
        let mut start = tmux(&socket);
        start.args(["-f", "/dev/null", "new-session", "-d", "-x", COLUMNS, "-y", self.lines]);
        start.arg(format!("sh {}", session.display())).current_dir(&place);
        start.env("LANG", "C.UTF-8").env_remove("LC_ALL").env("TERM", "xterm-256color");
        // The system's own Python, behind no other scripts.
        start.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        shell::output(&mut start)?;
        let screen = self.wait(&socket);
        let _ = tmux(&socket).arg("kill-server").status();
        screen
    }

    fn wait(&self, socket: &Path) -> Result<String> {
        let capture = || shell::output(tmux(socket).args(["capture-pane", "-e", "-p"]));
        let begun = Instant::now();
        let plain = || shell::output(tmux(socket).args(["capture-pane", "-p"]));
        while !plain()?.contains(self.shows) {
            if begun.elapsed() > PATIENCE {
                bail!("no '{}' on the screen of {}:\n{}", self.shows, self.name, plain()?);
            }
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(self.then);
        let text = capture()?;
        let plain = text.trim();
        let options = if self.options.is_empty() { String::new() } else { format!("{} ", self.options) };
        Ok(format!("$ glassbox run {options}-- sh install.sh\n{plain}\n"))
    }
}

fn tmux(socket: &Path) -> Command {
    let mut command = Command::new("tmux");
    command.arg("-S").arg(socket).stdin(Stdio::null());
    command
}
