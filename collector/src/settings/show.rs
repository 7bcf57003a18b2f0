//! `glassbox config show`: what the layers hold, as a configuration file that says of each value where it
//! comes from.

use std::ffi::OsStr;
use std::fmt::Write;

use deploy::visible::visible;

use super::file::masked;
use super::keys::KEYS;
use super::layers::Layers;
use super::setting::{Setting, Source};

/// The page. Fed back as `--config`, it sets the same, but for secrets: these show as `[redacted]`.
pub fn page(layers: &Layers) -> String {
    let mut page = match &layers.configuration {
        Some(file) => format!("# The file is {}.\n", visible(&file.name)),
        None => "# There is no file.\n".to_owned(),
    };
    let mut last = "";
    for key in KEYS {
        let (section, name) = key.parts();
        if section != last {
            let of_section = KEYS.iter().filter(|key| key.parts().0 == section);
            let is_empty = of_section.into_iter().all(|key| layers.setting(key).values.is_empty());
            let _ = writeln!(page, "{}{section}:", if is_empty { "# " } else { "" });
            last = section;
        }
        let indent = if section.is_empty() { "" } else { "  " };
        entry(&layers.setting(key), indent, name, &mut page);
    }
    page
}

fn entry(setting: &Setting, indent: &str, name: &str, page: &mut String) {
    let origin = match &setting.source {
        Source::Flag => format!("--{}", setting.key.flag),
        Source::Environment(variable) => variable.clone(),
        Source::File(place) => visible(place).into_owned(),
        Source::Default => "default".to_owned(),
    };
    let _ = match setting.values.as_slice() {
        [] => writeln!(page, "{indent}# {name}: (not set)"),
        values if setting.key.form.is_list() => {
            let _ = writeln!(page, "{indent}{name}:  # {origin}");
            values.iter().try_for_each(|value| writeln!(page, "{indent}  - {}", scalar(value)))
        }
        [.., value] => writeln!(page, "{indent}{name}: {}  # {origin}", scalar(value)),
    };
}

/// A value without secrets as YAML reads it back: a word as it is, else in quotes as JSON has them.
fn scalar(value: &OsStr) -> String {
    let text = masked(&value.to_string_lossy());
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    match text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.chars().all(is_plain)
    {
        true => text,
        false => serde_json::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::file;
    use crate::settings::keys::{FILTER, OUTPUT, REDACT};

    #[test]
    fn page_names_the_layer_of_each_value_and_what_is_not_set() {
        let text = "\nfilter: evt.type = open\noutputs: ['jsonl:/x,mode=0640']\n";
        let mut layers = Layers::default();
        layers.configuration = Some(file::read(text.as_bytes(), "g.yaml", None).unwrap());
        let layers = layers.with_flag(&REDACT, ["off".into()]);

        let page = page(&layers);

        for line in [
            "# The file is g.yaml.\n",
            "\nsocket: \"@glassbox\"  # default\n",
            "\nfilter: \"evt.type = open\"  # g.yaml:2:9\n",
            "\noutputs:  # g.yaml:3:10\n  - \"jsonl:/x,mode=0640\"\n",
            "\nredact: off  # --no-redact\n",
            "\nrules:\n  # files: (not set)\n  default: on  # default\n",
        ] {
            assert!(page.contains(line), "{line:?}:\n{page}");
        }
    }

    #[test]
    fn page_reads_back_as_the_same() {
        let hard = "proc.args contains \"a\\b: #'\" or fd.name = \"\u{e9}\"";
        let layers = Layers::default()
            .with_flag(&FILTER, [hard.into()])
            .with_flag(&OUTPUT, ["jsonl:/a,,b #c".into(), "human".into()]);

        let back = file::read(page(&layers).as_bytes(), "back.yaml", None).unwrap();

        for key in KEYS {
            let (expected, found) = (layers.setting(key).values, back.values.get(key.name));
            assert_eq!(expected, found.map(|found| found.values.clone()).unwrap_or_default(), "{}", key.name);
        }
    }

    #[test]
    fn secrets_are_masked() {
        let shown = scalar(OsStr::new("otlp:https://u:hunter2@host/x,filter=proc.args contains token"));

        assert!(!shown.contains("hunter2") && shown.contains("[redacted]"), "{shown}");
    }
}
