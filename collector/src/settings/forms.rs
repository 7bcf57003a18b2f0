//! The forms of settings' values: how the text of each is read, whatever layer it stands in.

use std::ffi::{OsStr, OsString};

use crate::outputs::{Destination, Output};

/// The form of a setting's value.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A text. The function refuses one; its error says what the text should be and what to do.
    Text(fn(&str) -> Result<(), String>),
    /// `on` or `off`.
    Switch,
    /// One of these words, in letters of any case.
    Word(&'static [&'static str]),
    /// The path of a file or folder.
    Path,
    /// Several paths.
    Paths,
    /// Several outputs, as `-o` takes them.
    Outputs,
}

/// The words for on and off: YAML 1.1 and other tools know more of them than one.
const SWITCHES: [(&str, &str); 6] =
    [("on", "on"), ("true", "on"), ("yes", "on"), ("off", "off"), ("false", "off"), ("no", "off")];

impl Form {
    /// Whether there may be several values.
    pub fn is_list(&self) -> bool {
        matches!(self, Self::Paths | Self::Outputs)
    }

    /// What a value is, in messages.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Switch => "on or off",
            Self::Word(_) => "a word",
            Self::Path => "a path",
            Self::Paths => "a list of paths",
            Self::Outputs => "a list of outputs",
        }
    }

    /// One value, in the only spelling that settings know. An error says what is wrong with the text and what
    /// to do.
    pub fn read(&self, text: &OsStr) -> Result<OsString, String> {
        let known = text.to_str().unwrap_or_default();
        let is_word = |word: &&str| word.eq_ignore_ascii_case(known);
        match self {
            Self::Switch => match SWITCHES.iter().find(|(word, _)| is_word(word)) {
                Some((_, meant)) => Ok((*meant).into()),
                None => Err(format!("'{}' is neither on nor off; write one of them", text.display())),
            },
            Self::Word(words) => match words.iter().find(|word| is_word(word)) {
                Some(word) => Ok((*word).into()),
                None => {
                    let nearest = rules::did_you_mean(known, words.iter().copied());
                    Err(format!("'{}' is not one of {}{nearest}", text.display(), words.join(", ")))
                }
            },
            Self::Text(check) => {
                let known = text.to_str().ok_or_else(|| "it is not UTF-8; write it so".to_owned())?;
                check(known).map(|()| known.into())
            }
            Self::Path | Self::Paths => Ok(text.to_owned()),
            Self::Outputs => match Output::parse(text, &Destination::stdout()) {
                Ok(_) => Ok(text.to_owned()),
                Err(failure) => Err(failure.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: Form, text: &str) -> Result<String, String> {
        form.read(OsStr::new(text)).map(|value| value.into_string().unwrap())
    }

    #[test]
    fn switches_are_on_or_off_in_the_words_that_yaml_has_for_it() {
        for (text, meant) in [("on", "on"), ("True", "on"), ("yes", "on"), ("OFF", "off"), ("no", "off")] {
            assert_eq!(Ok(meant.to_owned()), read(Form::Switch, text));
        }
        assert_eq!(
            Err("'maybe' is neither on nor off; write one of them".to_owned()),
            read(Form::Switch, "maybe")
        );
    }

    #[test]
    fn word_is_one_of_the_list_and_the_nearest_is_named() {
        let form = Form::Word(&["open", "closed"]);

        assert_eq!(Ok("closed".to_owned()), read(form, "Closed"));
        assert_eq!(
            Err("'closd' is not one of open, closed; did you mean 'closed'?".to_owned()),
            read(form, "closd")
        );
    }

    #[test]
    fn text_is_what_its_function_takes() {
        let form = Form::Text(|text| if text == "x" { Ok(()) } else { Err("say x".to_owned()) });

        assert_eq!(Ok("x".to_owned()), read(form, "x"));
        assert_eq!(Err("say x".to_owned()), read(form, "y"));
    }
}
