//! The settings about what events go through: the filter, the rules, and what their alerts mean.

use std::ffi::OsStr;
use std::path::PathBuf;

use rules::file::Priority;

use super::keys::{DEFAULT_RULES, FAIL_ON, FILTER, REDACT, RULES};
use super::layers::Layers;
use super::rule_files::RuleFiles;
use super::setting::Setting;
use crate::event::Asks;
use crate::outputs::Output;
use crate::shell::failure::Failure;
use crate::stages::fields::Asked;
use crate::stages::judge::{self, Worst};
use crate::stages::{Stages, filter, redact};

fn has_default_rules(layers: &Layers) -> bool {
    layers.setting(&DEFAULT_RULES).is_on()
}

fn redacts(layers: &Layers) -> bool {
    layers.setting(&REDACT).is_on()
}

/// The rule files of the layers.
pub fn rule_files(layers: &Layers) -> RuleFiles {
    let paths = layers.setting(&RULES).values.into_iter().map(PathBuf::from).collect();
    RuleFiles { paths, has_defaults: has_default_rules(layers) }
}

/// What events go through, and what that says in the end.
#[derive(Debug, Default)]
pub struct Judged {
    /// The filter, the rules, the redaction, the alerts.
    pub stages: Stages,
    /// What it means for the exit status.
    pub verdict: Verdict,
    /// What they ask of processes beyond their identity.
    pub asks: Asks,
}

/// Whether an alert was urgent enough to fail.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    limit: Option<Priority>,
    worst: Worst,
}

impl Verdict {
    /// See the type.
    pub fn is_failed(&self) -> bool {
        self.limit.is_some_and(|limit| self.worst.reaches(limit))
    }

    /// The exit status of a command that went well otherwise.
    pub fn status(&self) -> u8 {
        self.is_failed().into()
    }
}

impl Judged {
    /// What the layers ask for, and the outputs' own filters. Fails with status 64 where an option is wrong,
    /// 65 or 66 where rules are.
    pub fn of(layers: &Layers, outputs: &[Output]) -> Result<Self, Failure> {
        Self::with(layers, outputs, Worst::default())
    }

    /// The same where alerts have been told of before.
    pub fn again(layers: &Layers, outputs: &[Output], before: &Verdict) -> Result<Self, Failure> {
        Self::with(layers, outputs, before.worst.clone())
    }

    fn with(layers: &Layers, outputs: &[Output], worst: Worst) -> Result<Self, Failure> {
        let (mut stages, fields) = (Vec::new(), Asked::default());
        let condition = layers.setting(&FILTER);
        if let Some(text) = condition.values.last() {
            let text = text.to_str().ok_or_else(|| Failure::usage(format!("{condition} is not UTF-8")))?;
            let compiled = filter::compiled(text, &fields);
            let program = compiled.map_err(|error| Failure::usage(format!("{condition}: {error}")))?;
            stages.push(filter::stage(program));
        }
        for text in outputs.iter().filter_map(Output::filter) {
            // Compiled once more by the output: here for what it asks of processes.
            filter::compiled(text, &fields).map_err(Failure::usage)?;
        }
        let limit = layers.setting(&FAIL_ON);
        let limit = limit.values.last().map(|name| priority(&limit, name)).transpose()?;
        let verdict = Verdict { limit, worst };
        let (files, worst) = (rule_files(layers), verdict.worst.clone());
        if !files.paths.is_empty() {
            stages.push(judge::stage(files.groups(&fields)?));
        } else if files.has_defaults {
            // Tests show that these have no error, and ask for nothing beyond an identity. Loading them takes
            // as long as some short programs run, which need not wait for it.
            let load = move || files.groups(&Asked::default()).unwrap_or_default();
            stages.push(judge::stage_of(load));
        }
        if redacts(layers) {
            stages.push(redact::stage());
        }
        stages.push(judge::tell(worst));
        // A judge far away sees of a process what is read here, whatever its rules ask.
        let asks = match outputs.iter().any(Output::is_judged_elsewhere) {
            true => Asks::ALL,
            false => fields.asks(),
        };
        Ok(Self { stages: Stages::new(stages), verdict, asks })
    }
}

fn priority(setting: &Setting, name: &OsStr) -> Result<Priority, Failure> {
    name.to_str().and_then(Priority::parse).ok_or_else(|| {
        let known = Priority::ALL.map(|priority| priority.name().to_lowercase()).join(", ");
        Failure::usage(format!("{setting} is no priority; give one of {known}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::forms::Form;

    #[test]
    fn priorities_of_the_table_are_those_of_rules() {
        let Form::Word(words) = FAIL_ON.form else { panic!("no words") };

        assert!(words.iter().all(|word| Priority::parse(word).is_some()), "{words:?}");
        for priority in Priority::ALL {
            assert!(words.contains(&priority.name().to_lowercase().as_str()), "{priority}");
        }
    }
}
