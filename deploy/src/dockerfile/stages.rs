//! The stages of a Dockerfile: the base of each, and which parts of the sensor it has.

use std::ops::Range;

use super::instruction::{Instruction, malformed};
use super::text::File;
use super::words::{self, arguments};
use crate::{Error, image, preload};

/// The beginning of an image.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Base {
    /// Nothing.
    #[default]
    Scratch,
    Stage(usize),
    /// An image that is not in the file.
    Image(String),
}

#[derive(Debug)]
pub struct Stage {
    /// The name, in small letters.
    pub name: Option<String>,
    /// The base that its `FROM` names.
    pub base: Base,
    /// The base's name as it is written.
    base_text: String,
    /// The value of `--platform`.
    pub platform: Option<String>,
    /// Its instructions, `FROM` first.
    pub instructions: Range<usize>,
    /// Behind the last instruction that runs, copies or sets something: the place of the sensor.
    pub end: usize,
    /// The parts it has, once it was examined and patched.
    pub found: Option<Found>,
}

/// The parts that a stage has, with those that it inherits from the stage it is built from.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The base of the first stage in the line.
    pub base: Base,
    /// The nearest `--platform`.
    pub platform: Option<String>,
    /// Whether an archive or a whole folder is put at `/`.
    pub has_root_files: bool,
    /// Whether the sensor's folder is within a declared volume.
    pub has_volume: bool,
    /// The copies of the sensor or the command line.
    pub copies: Vec<Copy>,
    pub has_sensor: bool,
    pub has_collector: bool,
    /// Whether `LD_PRELOAD` is set.
    pub has_preload: bool,
    /// Whether `LD_PRELOAD` names the sensor.
    pub is_preloaded: bool,
    /// The line of an `ARG LD_PRELOAD`.
    pub preload_argument: Option<usize>,
    /// The value of `GLASSBOX_SOCKET`.
    pub socket: Option<Socket>,
    /// Whether `GLASSBOX_CONFIG` names the file that the patch copies.
    pub is_configured: bool,
    /// The last `ENTRYPOINT`.
    pub entry_point: Option<Program>,
    /// The last `CMD`, unless a later `ENTRYPOINT` made docker forget it.
    pub command: Option<Program>,
    /// The shell of the shell form.
    pub shell: Option<Vec<String>>,
}

/// A `COPY` to the sensor's folder.
#[derive(Clone, Debug)]
pub struct Copy {
    /// The line that it begins in, from 1.
    pub line: usize,
    /// The index of its stage.
    pub stage: usize,
    /// The value of `--from`, and where it stands.
    pub from: Option<(String, Range<usize>)>,
    /// Whether `--from` names a stage of this file.
    pub is_from_stage: bool,
    /// Whether it is a list of words with a folder as its destination.
    pub is_extensible: bool,
    /// Where the destination stands.
    pub destination: usize,
}

/// An assignment of `GLASSBOX_SOCKET`.
#[derive(Clone, Debug)]
pub struct Socket {
    pub value: String,
    /// The index of its stage.
    pub stage: usize,
    /// Where the value stands.
    pub span: Range<usize>,
}

/// An `ENTRYPOINT` or `CMD`.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The index of its stage.
    pub stage: usize,
    /// The words that are started: the shell with the text, if it is in the shell form.
    pub words: Vec<String>,
    /// Whether it is in the shell form.
    pub is_in_shell: bool,
    /// The arguments as they are written, continued lines joined.
    pub text: String,
    /// Where the arguments stand.
    pub span: Range<usize>,
    /// Where the first word of a list stands, or its end.
    pub first: usize,
    /// Where each word of a list stands, with its quotes.
    pub items: Vec<Range<usize>>,
}

/// All stages of a file, in their order.
#[derive(Debug)]
pub struct Stages {
    /// Never empty.
    pub all: Vec<Stage>,
}

impl Stages {
    /// Finds the stages.
    ///
    /// # Errors
    /// A file without a stage, or with instructions before the first.
    pub fn of(file: &File) -> Result<Self, Error> {
        let mut all: Vec<Stage> = Vec::new();
        // Builders set this one themselves; there is a sensor for Linux only.
        let mut defaults = vec![("TARGETOS".to_owned(), "linux".to_owned())];
        for (index, instruction) in file.instructions.iter().enumerate() {
            match instruction.keyword.as_str() {
                "FROM" => {
                    let value_of = |name: &str| {
                        let found = defaults.iter().rev().find(|(known, _)| known == name);
                        found.map(|(_, value)| value.clone())
                    };
                    let stage = stage(instruction, index, &all, value_of)?;
                    all.push(stage);
                    continue;
                }
                "ARG" if all.is_empty() => {
                    let assigned = words::assignments(instruction, file.escape)?;
                    defaults.extend(assigned.into_iter().filter_map(|one| Some((one.name, one.value?))));
                    continue;
                }
                // An instruction of a frontend that knows more than docker's.
                _ if all.is_empty() && file.syntax.is_none() => {
                    return Err(malformed(
                        instruction.line,
                        &format!("{} before the first FROM; begin with FROM", instruction.keyword),
                    ));
                }
                _ => {}
            }
            if let Some(stage) = all.last_mut() {
                stage.instructions.end = index + 1;
                if ["ADD", "ARG", "COPY", "ENV", "RUN"].contains(&instruction.keyword.as_str()) {
                    stage.end = instruction.span.end;
                }
            }
        }
        if all.is_empty() {
            return Err(Error::Malformed(
                "it has no FROM, so it is not a Dockerfile; give the path of one".into(),
            ));
        }
        Ok(Self { all })
    }

    /// A stage by its name or number, as docker finds it.
    pub fn named(&self, name: &str) -> Option<usize> {
        let by_name = by_name(&self.all, name);
        by_name.or_else(|| name.parse().ok().filter(|number| *number < self.all.len()))
    }

    /// The names of all stages, or their numbers.
    pub fn list(&self) -> String {
        let each = self.all.iter().enumerate();
        let names = each.map(|(index, stage)| stage.name.clone().unwrap_or_else(|| index.to_string()));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The parts that a stage has; the stages before it must have been examined.
    ///
    /// # Errors
    /// An instruction that no builder takes.
    pub fn found(&self, index: usize, file: &File) -> Result<Found, Error> {
        let stage = &self.all[index];
        let mut found = match &stage.base {
            Base::Stage(parent) => self.all[*parent].found.clone().unwrap_or_default(),
            base => Found { base: base.clone(), ..Found::default() },
        };
        // An `ARG` is not inherited.
        found.preload_argument = None;
        if stage.platform.is_some() {
            found.platform.clone_from(&stage.platform);
        }
        for instruction in &file.instructions[stage.instructions.clone()] {
            match instruction.keyword.as_str() {
                "ENV" => found.take_variables(instruction, index, file.escape)?,
                "ARG" => {
                    let assigned = words::assignments(instruction, file.escape)?;
                    if assigned.iter().any(|one| one.name == "LD_PRELOAD") {
                        found.preload_argument = Some(instruction.line);
                    }
                }
                "ADD" | "COPY" => found.take_copy(instruction, index, self, file.escape),
                "VOLUME" => {
                    let is_around = |folder: &String| {
                        let folder = format!("{}/", folder.trim_end_matches('/'));
                        format!("{}/", image::FOLDER).starts_with(&folder)
                    };
                    found.has_volume |= arguments(instruction, file.escape).iter().any(is_around);
                }
                "SHELL" => match serde_json::from_str(instruction.arguments.text.trim()) {
                    Ok(words) => found.shell = Some(words),
                    Err(_) => {
                        return Err(malformed(
                            instruction.line,
                            "SHELL takes a list, as in [\"/bin/sh\", \"-c\"]",
                        ));
                    }
                },
                "ENTRYPOINT" => {
                    found.entry_point = Some(Program::of(instruction, index, found.shell.as_deref())?);
                    // Docker forgets the base's command when the stage sets an entry point and no command of
                    // its own.
                    found.command.take_if(|command| command.stage != index);
                }
                "CMD" => found.command = Some(Program::of(instruction, index, found.shell.as_deref())?),
                _ => {}
            }
        }
        Ok(found)
    }
}

fn by_name(stages: &[Stage], name: &str) -> Option<usize> {
    let name = name.to_ascii_lowercase();
    stages.iter().rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
}

fn stage(
    instruction: &Instruction,
    index: usize,
    earlier: &[Stage],
    value_of: impl Fn(&str) -> Option<String>,
) -> Result<Stage, Error> {
    let words: Vec<&str> = instruction.arguments.text.split_whitespace().collect();
    let (base_text, name) = match *words.as_slice() {
        [base] => (base, None),
        [base, word, name] if word.eq_ignore_ascii_case("as") => (base, Some(name.to_ascii_lowercase())),
        _ => {
            let what = "FROM takes an image, and a name after AS; correct it";
            return Err(malformed(instruction.line, what));
        }
    };
    let image = words::expanded(base_text.trim_matches('"'), value_of);
    let base = match by_name(earlier, &image) {
        Some(stage) => Base::Stage(stage),
        None if image == "scratch" => Base::Scratch,
        None => Base::Image(image),
    };
    Ok(Stage {
        name,
        base,
        base_text: base_text.to_owned(),
        platform: instruction.flag("platform").map(|flag| flag.value.clone()),
        instructions: index..index + 1,
        end: instruction.span.end,
        found: None,
    })
}

impl Stage {
    /// The stage that it is built from, if an argument of the build chooses it.
    pub fn base_by_argument(&self) -> Option<usize> {
        match self.base {
            Base::Stage(base) if self.base_text.contains('$') => Some(base),
            _ => None,
        }
    }

    /// The stage's name in messages.
    pub fn shown(&self, index: usize) -> String {
        match &self.name {
            Some(name) => format!("stage '{name}'"),
            None => format!("stage {index} (FROM {})", self.base_text),
        }
    }
}

impl Found {
    fn take_variables(&mut self, instruction: &Instruction, index: usize, escape: char) -> Result<(), Error> {
        for one in words::assignments(instruction, escape)? {
            let value = one.value.unwrap_or_default();
            match one.name.as_str() {
                "LD_PRELOAD" => {
                    // Also in `${LD_PRELOAD:+$LD_PRELOAD:}NAME`.
                    let is_named =
                        preload::names(&value).any(|name| name.trim_start_matches('}') == image::SENSOR_PATH);
                    self.is_preloaded = is_named || (one.refers_to_itself && self.is_preloaded);
                    self.has_preload = true;
                }
                "GLASSBOX_CONFIG" => self.is_configured = value == image::CONFIG_PATH,
                "GLASSBOX_SOCKET" => self.socket = Some(Socket { value, stage: index, span: one.span }),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_copy(&mut self, instruction: &Instruction, index: usize, stages: &Stages, escape: char) {
        let words = arguments(instruction, escape);
        let Some((destination, sources)) = words.split_last() else { return };
        let folder = destination.trim_end_matches('/');
        let is_unpacked =
            instruction.keyword == "ADD" && sources.iter().any(|source| source.contains(".tar"));
        let is_tree = |source: &String| source.ends_with(['/', '*', '.']) || source.contains("rootfs");
        self.has_root_files |= folder.is_empty() && (is_unpacked || sources.iter().any(is_tree));
        let brings = |file: &str| {
            let name = file.rsplit('/').next().unwrap_or_default();
            let is_whole =
                |source: &str| [image::FOLDER, "/opt/glassbox/*"].contains(&source.trim_end_matches('/'));
            let is_it = |source: &String| source.rsplit('/').next() == Some(name) || is_whole(source);
            match folder {
                image::FOLDER => sources.iter().any(is_it),
                other => other == file && sources.len() == 1,
            }
        };
        let (has_sensor, has_collector) = (brings(image::SENSOR_PATH), brings(image::COLLECTOR_PATH));
        if !has_sensor && !has_collector {
            return;
        }
        self.has_sensor |= has_sensor;
        self.has_collector |= has_collector;
        let from = instruction.flag("from").map(|flag| (flag.value.clone(), flag.span.clone()));
        let text = instruction.arguments.text.trim_end();
        let last = words::split(text, escape).pop().unwrap_or_default();
        let earlier = |name: &str| stages.named(name).is_some_and(|stage| stage < index);
        self.copies.push(Copy {
            line: instruction.line,
            stage: index,
            is_from_stage: from.as_ref().is_some_and(|(name, _)| earlier(name)),
            is_extensible: from.is_some() && !text.starts_with('[') && destination.ends_with('/'),
            from,
            destination: instruction.arguments.span(last).start,
        });
    }
}

impl Program {
    fn of(instruction: &Instruction, stage: usize, shell: Option<&[String]>) -> Result<Self, Error> {
        let text = instruction.arguments.text.trim_end();
        if text.is_empty() {
            let what = format!("{} says nothing; give it a program", instruction.keyword);
            return Err(malformed(instruction.line, &what));
        }
        let list: Option<Vec<String>> = serde_json::from_str(text).ok();
        // `[` is a program, but a command that begins with it is a list with a mistake in it.
        if list.is_none() && text.starts_with('[') {
            let what = format!(
                "the list of {} is not JSON, so a shell would run it; correct it, with double quotes",
                instruction.keyword
            );
            return Err(malformed(instruction.line, &what));
        }
        let is_in_shell = list.is_none();
        let items = if is_in_shell { Vec::new() } else { strings(text) };
        let words = list.unwrap_or_else(|| {
            let default = ["/bin/sh".to_owned(), "-c".to_owned()];
            shell.unwrap_or(&default).iter().cloned().chain([text.to_owned()]).collect()
        });
        let first = text.len() - text.strip_prefix('[').unwrap_or(text).trim_start().len();
        Ok(Self {
            stage,
            words,
            is_in_shell,
            text: text.to_owned(),
            span: instruction.arguments.span(0..text.len()),
            first: instruction.arguments.span(first..first).start,
            items: items.into_iter().map(|item| instruction.arguments.span(item)).collect(),
        })
    }
}

/// The strings in a list of JSON strings, with their quotes.
fn strings(list: &str) -> Vec<Range<usize>> {
    let (mut all, mut open) = (Vec::new(), None);
    let mut characters = list.char_indices();
    while let Some((at, c)) = characters.next() {
        match (c, open) {
            ('\\', _) => drop(characters.next()),
            ('"', None) => open = Some(at),
            ('"', Some(start)) => {
                all.push(start..at + 1);
                open = None;
            }
            _ => {}
        }
    }
    all
}
