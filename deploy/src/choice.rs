//! Whether a container gets the sensor: the rules that every kind of deployment file shares.
//!
//! The modules of compose, ECS and Kubernetes, and `glassbox runc`, each know where a container has its
//! marks, its variables and its image; here stands the answer, and the words in which the notes give it.

use crate::preload;

/// The annotation by which a container or a pod says `on` or `off`.
pub const ANNOTATION: &str = "glassbox/sensor";

/// The labels that say the same: spelt as labels are in compose files, and as the annotation.
pub const LABELS: [&str; 2] = ["glassbox.sensor", ANNOTATION];

/// The name of the sensor's file, wherever it lies.
const SENSOR_FILE: &str = "libglassbox.so";

/// Whether something gets the sensor.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Choice {
    /// It gets the sensor.
    In,
    /// It stays as it is, for this reason.
    Out(String),
}

/// Where a container says `on` or `off`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark<'a> {
    /// The annotation [`ANNOTATION`].
    Annotation,
    /// A label, by its name.
    Label(&'a str),
}

impl Choice {
    /// Leaves something out.
    pub fn out(why: impl Into<String>) -> Self {
        Self::Out(why.into())
    }

    /// Leaves something out if `is_so`.
    pub fn out_if(is_so: bool, why: &str) -> Self {
        if is_so { Self::out(why) } else { Self::In }
    }

    /// Asks the next rule, unless this one leaves the container out.
    pub fn and(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::In => next(),
            out => out,
        }
    }
}

impl Mark<'_> {
    /// Reads a mark's text; `None` is a mark that is not there.
    ///
    /// # Errors
    /// A text that is neither `on` nor `off`: what is wrong, and what to write.
    pub fn choice(self, text: Option<&str>, is_opt_in: bool) -> Result<Choice, String> {
        let (here, kind, name) = match self {
            Self::Annotation => ("the annotation", "annotation", ANNOTATION),
            Self::Label(name) => ("its label", "label", name),
        };
        match text {
            Some("on") => Ok(Choice::In),
            Some("off") => Ok(Choice::Out(format!("{here} {name} says off"))),
            Some(other) => Err(format!("{here} {name} is '{other}'; say \"on\" or \"off\"")),
            None if is_opt_in => Ok(Choice::Out(format!("no {kind} {name} says on"))),
            None => Ok(Choice::In),
        }
    }
}

/// The choice that the values of `GLASSBOX` in a container's environment make.
pub fn by_switch<'v>(mut values: impl Iterator<Item = &'v str>) -> Choice {
    Choice::out_if(values.any(|value| value == "off"), "GLASSBOX=off is in its environment")
}

/// The choice that the values of `LD_PRELOAD` in a container's environment make: a sensor at another path
/// than ours (`is_ours`) is one that the container brings.
pub fn by_preload<'v>(mut values: impl Iterator<Item = &'v str>, is_ours: impl Fn(&str) -> bool) -> Choice {
    let is_sensor = |path: &str| path.strip_suffix(SENSOR_FILE).is_some_and(|folder| folder.ends_with('/'));
    let brings_one = values.any(|value| preload::names(value).any(|path| is_sensor(path) && !is_ours(path)));
    Choice::out_if(brings_one, "it brings a sensor of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_on_or_off_and_nothing_else() {
        let mark = Mark::Label("glassbox.sensor");

        assert_eq!(Ok(Choice::In), mark.choice(Some("on"), true));
        assert_eq!(Ok(Choice::In), mark.choice(None, false));
        assert_eq!(Ok(Choice::out("its label glassbox.sensor says off")), mark.choice(Some("off"), false));
        assert_eq!(Ok(Choice::out("no label glassbox.sensor says on")), mark.choice(None, true));
        assert_eq!(
            Err("the annotation glassbox/sensor is 'no'; say \"on\" or \"off\"".into()),
            Mark::Annotation.choice(Some("no"), false)
        );
    }

    #[test]
    fn a_sensor_of_another_path_leaves_the_container_out() {
        let is_ours = |path: &str| path == "/ours/libglassbox.so";

        for (value, is_in) in [
            ("/a.so:/ours/libglassbox.so", true),
            ("/theirs/libglassbox.so", false),
            ("/a.so /theirs/libglassbox.so", false),
            ("/x/notlibglassbox.so", true),
        ] {
            assert_eq!(is_in, by_preload([value].into_iter(), is_ours) == Choice::In, "{value}");
        }
    }

    #[test]
    fn the_first_rule_that_leaves_a_container_out_gives_the_reason() {
        let choice = Choice::In.and(|| Choice::out("first")).and(|| Choice::out("second"));

        assert_eq!(Choice::out("first"), choice);
    }
}
