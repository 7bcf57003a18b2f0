//! Rule files: read, and loaded together with glassbox's own.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use rules::Catalog;
use rules::file::{self, Loaded, Rule, Severity, Source};

use crate::shell::failure::Failure;
use crate::stages::default_rules::{FILES, PREFIX};

/// The rule files of a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFiles {
    /// In their order.
    pub paths: Vec<PathBuf>,
    /// Whether glassbox's own come before them.
    pub has_defaults: bool,
}

impl RuleFiles {
    /// Loads them, with every problem. Fails with status 66 where a file cannot be read.
    pub fn load(&self, fields: &dyn Catalog) -> Result<Loaded, Failure> {
        let texts: Result<Vec<Vec<u8>>, Failure> = self.paths.iter().map(read).collect();
        let (texts, names): (_, Vec<String>) =
            (texts?, self.paths.iter().map(|path| path.display().to_string()).collect());
        let defaults: &[(&str, &str)] = if self.has_defaults { FILES } else { &[] };
        let own = defaults.iter().map(|(name, text)| Source { name, text: text.as_bytes() });
        let given = names.iter().zip(&texts).map(|(name, text)| Source { name, text });
        let sources: Vec<Source<'_>> = own.chain(given).collect();
        Ok(file::load(&sources, fields))
    }

    /// The enabled rules: glassbox's own, and the others. Fails with status 65 if there is an error in them.
    pub fn groups(&self, fields: &dyn Catalog) -> Result<Vec<Vec<Rule>>, Failure> {
        let loaded = self.load(fields)?;
        let mut errors = loaded.problems.iter().filter(|problem| problem.severity == Severity::Error);
        if let Some(first) = errors.next() {
            let more = match errors.count() {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            return Err(Failure::malformed(format!(
                "{first}{more}; 'glassbox rules check FILE' shows all that is wrong"
            )));
        }
        let enabled = loaded.rules.rules.into_iter().filter(|rule| rule.is_enabled);
        let (own, given) = enabled.partition(|rule| rule.place.file.starts_with(PREFIX));
        Ok(vec![own, given])
    }
}

/// The text of a file, as far as one may be long: the loader refuses what is longer.
fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::missing(format!("cannot read the rules '{}': {error}; check the path", path.display()))
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(file::LONGEST as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}
