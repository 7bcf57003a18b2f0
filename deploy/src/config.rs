//! The collector's configuration in a deployment file: the text of a configuration file, in a variable of the
//! collector's container.
//!
//! A variable and no file: a task of ECS has no files to mount, an admission webhook can make no second
//! object beside the pod, and a compose file that names a file on the host breaks where that is missing.

/// The variable that the collector reads.
pub const VARIABLE: &str = "GLASSBOX_CONFIG_YAML";

/// The longest text, in bytes. A task definition has 64 KiB in all.
pub const LONGEST: usize = 32 << 10;

/// A configuration that was checked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Config {
    /// The text of the file. One without a letter takes the variable out.
    pub text: String,
    /// Whether it says where events go, so that the collector's command need not.
    pub has_outputs: bool,
}

impl Config {
    /// Whether the variable is taken out.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// The text as a compose file holds it: compose puts variables of its own in place of `$NAME`.
    #[must_use]
    pub fn for_compose(&self) -> String {
        self.text.replace('$', "$$")
    }

    /// The text as a pod holds it: the kubelet puts other variables in place of `$(NAME)`.
    #[must_use]
    pub fn for_kubernetes(&self) -> String {
        self.text.replace("$(", "$$(")
    }
}

/// The collector's options after the patch: the default `-o jsonl` makes room for the outputs of a
/// configuration, and comes back without it. Others stay.
#[must_use]
pub fn options(present: &[String], config: Option<&Config>) -> Vec<String> {
    let default = DEFAULT.map(str::to_owned);
    match config {
        Some(config) if !config.is_none() && config.has_outputs && present == default => Vec::new(),
        Some(config) if (config.is_none() || !config.has_outputs) && present.is_empty() => default.into(),
        _ => present.to_vec(),
    }
}

/// The collector's options where none are given: every event goes to its log.
pub const DEFAULT: [&str; 2] = ["-o", "jsonl"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_output_makes_room_for_those_of_a_configuration_and_comes_back() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let with = Config { text: "outputs: [human]".into(), has_outputs: true };
        let without = Config { text: "redact: on".into(), has_outputs: false };

        assert!(options(&words("-o jsonl"), Some(&with)).is_empty());
        assert_eq!(words("-o human"), options(&words("-o human"), Some(&with)));
        assert_eq!(words("-o jsonl"), options(&words("-o jsonl"), Some(&without)));
        assert_eq!(words("-o jsonl"), options(&[], Some(&Config::default())));
        assert!(options(&[], None).is_empty());
    }

    #[test]
    fn what_a_reader_of_the_file_would_replace_is_written_so_that_it_stays() {
        let config = Config { text: "filter: proc.args contains $(x) or a = $y".into(), has_outputs: false };

        assert_eq!("filter: proc.args contains $$(x) or a = $$y", config.for_compose());
        assert_eq!("filter: proc.args contains $$(x) or a = $y", config.for_kubernetes());
    }
}
