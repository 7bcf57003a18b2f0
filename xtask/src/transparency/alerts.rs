//! The alerts of glassbox's own rules while ordinary programs run.
//!
//! Each run's begin and end are noted, and an alert belongs to the run in which its event happened: the
//! collector writes it a moment later. An alert that [`EXPECTED`] does not explain makes the command fail.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::shell;

/// The alerts that cases make, and why each is right: case, rule, reason.
const EXPECTED: &[(&str, &str, &str)] = &[
    (
        "chromium sandboxed",
        "Program hidden from glassbox",
        "its zygote is in a user namespace, as nobody, and cannot know whose the collector is: it is not seen",
    ),
    (
        "catchsegv-like",
        "Foreign library put into a program",
        "its library lies in the temporary folder that the case works in",
    ),
    (
        "interposes the same",
        "Foreign library put into a program",
        "its library lies in the temporary folder that the case works in",
    ),
    (
        "timeout kill",
        "Program hidden from glassbox",
        "on a busy machine, a program is killed before the sensor in it begins",
    ),
    (
        "job control",
        "Program hidden from glassbox",
        "sleep is killed as it begins, before the sensor in it: nothing tells it from a program that hides",
    ),
];

/// The alerts of a case, by rule, each with the first one's words.
pub type OfCase = BTreeMap<String, String>;

/// The runs of cases, and the file that the collector writes alerts into.
#[derive(Debug)]
pub struct Alerts {
    file: PathBuf,
    /// Bytes that were read of it.
    read: usize,
    /// Case, begin, end: RFC 3339 in UTC with nine digits, so that their order is that of their text.
    runs: Vec<(String, String, String)>,
}

impl Alerts {
    /// Alerts that are written to `file`.
    pub fn in_file(file: PathBuf) -> Alerts {
        Alerts { file, read: 0, runs: Vec::new() }
    }

    /// A collector's output for them.
    pub fn output(&self) -> String {
        format!("falco:{}", self.file.display())
    }

    /// Runs a case, and notes when.
    pub fn during<T>(&mut self, case: &str, run: impl FnOnce() -> T) -> T {
        let begin = now();
        let result = run();
        self.runs.push((case.to_owned(), begin, now()));
        result
    }

    /// The alerts that were written since the last call, by case.
    pub fn take(&mut self) -> Result<BTreeMap<String, OfCase>> {
        let text =
            std::fs::read(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let new = text.get(self.read..).unwrap_or_default();
        // The last line may be half written.
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read += whole;
        let mut cases: BTreeMap<String, OfCase> = BTreeMap::new();
        for line in new[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let alert: serde_json::Value = serde_json::from_slice(line).context("an alert is no JSON")?;
            let [time, rule, output] =
                ["time", "rule", "output"].map(|key| alert[key].as_str().unwrap_or(""));
            let is_in = |(_, begin, end): &&(String, String, String)| begin.as_str() <= time && time <= end;
            let case = self.runs.iter().find(is_in).map_or("between the cases", |(case, ..)| case);
            cases.entry(case.to_owned()).or_default().entry(rule.to_owned()).or_insert(output.to_owned());
        }
        Ok(cases)
    }
}

/// Why the alert of a rule is right in a case.
pub fn reason(case: &str, rule: &str) -> Option<&'static str> {
    EXPECTED.iter().find(|(of, by, _)| (*of, *by) == (case, rule)).map(|(.., why)| *why)
}

fn now() -> String {
    shell::first_line("date", &["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_belongs_to_the_run_in_which_its_event_happened() {
        let dir = tempfile::tempdir().unwrap();
        let mut alerts = Alerts::in_file(dir.path().join("alerts"));
        let alert = |rule: &str, time: &str| {
            format!("{}\n", serde_json::json!({ "time": time, "rule": rule, "output": "words" }))
        };
        let first = alerts.during("first", now);
        let second = alerts.during("second", now);

        std::fs::write(&alerts.file, alert("b", &second) + &alert("a", &first) + "{\"ha").unwrap();
        let by_case = alerts.take().unwrap();

        assert_eq!(vec!["first", "second"], by_case.keys().collect::<Vec<_>>());
        assert!(by_case["first"].contains_key("a") && by_case["second"].contains_key("b"), "{by_case:?}");
        assert!(alerts.take().unwrap().is_empty());
    }
}
