//! Puts the sensor into a Dockerfile.
//!
//! A stage gets a `COPY` of the sensor from its image and an `ENV` that preloads it, behind the last
//! instruction that runs, copies or sets something. So no `RUN` of the stage loads the sensor; none misses
//! it, of which the loader would complain on stderr each time; and another version of the sensor leaves the
//! cached layers before it unchanged. The variable's former value, from the file or from the base image, is
//! kept by reference: `${LD_PRELOAD:+$LD_PRELOAD:}`.
//!
//! A former patch is recognised by its effect, not by a mark: a `COPY` to the sensor's folder, an
//! `LD_PRELOAD` that names it, an entry point that begins with `glassbox run` or `glassbox exec`. A stage
//! inherits all of these from the stage that it is built from.
//!
//! [`text`] finds the instructions, [`words`] reads them, [`stages`] describes each stage.

mod entry;
mod instruction;
mod request;
mod stages;
mod text;
mod words;

use self::entry::Edit;
use self::stages::{Base, Found, Stages};
use crate::{Error, Note, Patched, image};

pub use self::request::{Request, Run, Which};

/// The path at which docs/operations.md starts a collector on the host.
pub const DEFAULT_SOCKET: &str = "/run/glassbox/socket";

/// The names of Microsoft's base images: there is no sensor for Windows.
const WINDOWS: [&str; 4] =
    ["mcr.microsoft.com/windows/", "mcr.microsoft.com/windows:", "nanoserver", "servercore"];

/// Base images for functions of AWS Lambda.
const LAMBDA: [&str; 2] = ["public.ecr.aws/lambda/", "amazon/aws-lambda-"];

/// Base images for static programs, which load no library.
const STATIC: [&str; 2] = ["distroless/static", "chainguard/static"];

/// Patches a Dockerfile.
///
/// # Errors
/// An instruction that no builder would take, by line; and a file that cannot be patched safely.
pub fn patch(text: &str, request: &Request) -> Result<Patched, Error> {
    let file = text::read(text)?;
    let mut stages = Stages::of(&file)?;
    let image = request.image.as_deref().unwrap_or(image::DEFAULT_IMAGE);
    if stages.named(image).is_some() {
        return Err(Error::Refused(format!(
            "a stage is called '{image}' like the sensor's image; give --image a full name, with a tag"
        )));
    }
    let mut patch = Patch { text, image, request, edits: Vec::new(), notes: Vec::new() };
    if let Some(syntax) = file.syntax.as_deref().filter(|syntax| !instruction::is_dockers(syntax)) {
        patch.notes.push(Note::Warning(format!(
            "'{syntax}' is not one of docker's frontends and may read the file in another way; check the result"
        )));
    }
    let chosen: Vec<usize> = match &request.stages {
        Which::Last => vec![stages.all.len() - 1],
        Which::All => (0..stages.all.len()).collect(),
        Which::One(name) => vec![stages.named(name).ok_or_else(|| {
            Error::Refused(format!("no stage is called '{name}'; there are {}", stages.list()))
        })?],
    };
    // In the file's order: a stage is built from earlier ones only, and inherits what they were given.
    for index in 0..stages.all.len() {
        let mut found = stages.found(index, &file)?;
        if chosen.contains(&index) {
            patch.stage(index, &stages, &mut found)?;
        }
        stages.all[index].found = Some(found);
    }
    Ok(patch.done())
}

/// A patch in progress.
struct Patch<'a> {
    text: &'a str,
    image: &'a str,
    request: &'a Request,
    edits: Vec<Edit>,
    notes: Vec<Note>,
}

impl Patch<'_> {
    fn stage(&mut self, index: usize, stages: &Stages, found: &mut Found) -> Result<(), Error> {
        let stage = &stages.all[index];
        let name = stage.shown(index);
        self.check_base(&name, found)?;
        let mut lines = Vec::new();
        let mut done = Vec::new();

        if let Some(base) = stage.base_by_argument().filter(|_| found.has_sensor) {
            let base = stages.all[base].shown(base);
            self.notes.push(Note::Warning(format!(
                "{name} inherits the sensor from {base} with the default arguments of the build; patch the other stages too, with --all-stages"
            )));
        }
        self.upgrade(&name, found, &mut done);
        let needs_collector =
            self.request.has_collector || self.request.run.is_some() || self.level().is_some();
        let mut missing = Vec::new();
        if !found.has_sensor {
            missing.push(image::SENSOR_PATH);
        }
        if needs_collector && !found.has_collector {
            missing.push(image::COLLECTOR_PATH);
        }
        if !missing.is_empty() {
            match found.copies.iter().rfind(|copy| copy.stage == index && copy.is_extensible) {
                Some(copy) => {
                    self.edits.push((copy.destination..copy.destination, format!("{} ", missing.join(" "))))
                }
                None => {
                    lines.push(format!("COPY --from={} {} {}/", self.image, missing.join(" "), image::FOLDER))
                }
            }
            let what = if missing.contains(&image::SENSOR_PATH) { "the sensor" } else { "the command line" };
            let both = if missing.len() == 2 { " and the command line" } else { "" };
            done.push(format!("copies {what}{both} from '{}'", self.image));
            (found.has_sensor, found.has_collector) = (true, found.has_collector || needs_collector);
        }
        if let Some(config) = self.request.config.as_deref().filter(|_| !found.is_configured) {
            lines.push(format!("COPY {config} {}", image::CONFIG_PATH));
            // `glassbox run` takes the outputs of a file that is named.
            lines.push(format!("ENV GLASSBOX_CONFIG={}", image::CONFIG_PATH));
            done.push(format!("copies the configuration '{config}'"));
            found.is_configured = true;
        }
        let started = entry::started(&name, index, found, self.request)?;
        if self.request.run.is_none() {
            self.variables(&name, index, found, &mut lines, &mut done);
        }
        if let Some((change, what)) = started {
            done.push(what);
            match change {
                entry::Change::Edit(edit) => self.edits.push(edit),
                entry::Change::Lines(more) => lines.extend(more),
            }
        }
        if !lines.is_empty() {
            self.insert(stage.end, lines);
        }
        if !done.is_empty() {
            self.notes.push(Note::Done(format!("{name}: {}", done.join(", "))));
        }
        Ok(())
    }

    /// The level that is asked for, unless it is off.
    fn level(&self) -> Option<&str> {
        self.request.notify.as_ref()?.level.as_deref()
    }

    /// Refuses a base image for which there is no sensor, and warns of one whose programs may not load it.
    fn check_base(&mut self, name: &str, found: &Found) -> Result<(), Error> {
        let is_windows = match &found.base {
            Base::Image(image) => WINDOWS.iter().any(|one| image.to_ascii_lowercase().contains(one)),
            _ => false,
        };
        if is_windows || found.platform.as_deref().is_some_and(|platform| platform.starts_with("windows")) {
            return Err(Error::Refused(format!(
                "{name} is for Windows, and the sensor for Linux; choose another stage with --target"
            )));
        }
        match &found.base {
            Base::Image(image) if self.level().is_some() && LAMBDA.iter().any(|one| image.contains(one)) => {
                return Err(Error::Refused(format!(
                    "{name}: '{image}' is for AWS Lambda, which refuses what --notify needs (docs/notify.md); patch it without"
                )));
            }
            _ if self.level().is_some() => {}
            Base::Scratch if !found.has_root_files => self.notes.push(Note::Warning(format!(
                "{name} begins from scratch, where programs are usually static and do not load the sensor; \
                 check them with `glassbox doctor`, or give --notify security to have the kernel tell of them"
            ))),
            Base::Image(image) if STATIC.iter().any(|one| image.contains(one)) => {
                self.notes.push(Note::Warning(format!(
                    "{name}: '{image}' is made for static programs, which do not load the sensor; give --notify security to have \
                     the kernel tell of them"
                )))
            }
            _ => {}
        }
        // A platform that an argument names is the build's own, or the builder's choice: a shell has no such
        // argument, and in a plain build nothing is wrong.
        if let Some(platform) = found.platform.as_deref().filter(|platform| !platform.contains('$')) {
            self.notes.push(Note::Warning(format!(
                "{name} is always built for {platform}, but COPY --from takes the sensor for the build's platform; build with \
                 --platform={platform}"
            )));
        }
        if found.has_volume {
            self.notes.push(Note::Warning(format!(
                "{name} declares a volume around {}: builders may drop files that are copied there; move VOLUME to the end of the stage",
                image::FOLDER
            )));
        }
        Ok(())
    }

    /// Changes the present copies to the requested image.
    fn upgrade(&mut self, name: &str, found: &Found, done: &mut Vec<String>) {
        let Some(image) = &self.request.image else { return };
        for copy in &found.copies {
            match &copy.from {
                Some((from, _)) if from == image => {}
                Some((from, span)) if !copy.is_from_stage => {
                    // Several stages may inherit the same copy.
                    let edit = (span.clone(), image.clone());
                    if !self.edits.contains(&edit) {
                        done.push(format!("copies the sensor from '{image}' instead of '{from}'"));
                        self.edits.push(edit);
                    }
                }
                _ => self.notes.push(Note::Skipped(format!(
                    "{name}: line {} copies the sensor from something other than an image; change the source there",
                    copy.line
                ))),
            }
        }
    }

    /// Sets `LD_PRELOAD` and `GLASSBOX_SOCKET`.
    fn variables(
        &mut self,
        name: &str,
        index: usize,
        found: &mut Found,
        lines: &mut Vec<String>,
        done: &mut Vec<String>,
    ) {
        let mut assigned = Vec::new();
        if !found.is_preloaded {
            if let (Some(line), false) = (found.preload_argument, found.has_preload) {
                self.notes.push(Note::Warning(format!(
                    "{name}: line {line} takes LD_PRELOAD as an argument of the build, and its value during the build stays in the image"
                )));
            }
            assigned.push(format!("LD_PRELOAD=\"${{LD_PRELOAD:+$LD_PRELOAD:}}{}\"", image::SENSOR_PATH));
            done.push("preloads it".into());
            (found.is_preloaded, found.has_preload) = (true, true);
        }
        let wanted = self.request.socket.as_deref();
        let socket = match (&found.socket, wanted) {
            (Some(present), None) => present.value.clone(),
            (Some(present), Some(wanted)) if present.value == wanted => present.value.clone(),
            // A value of the stage itself is edited; one that it inherits stays, for other stages may inherit
            // it too.
            (Some(present), Some(wanted)) if present.stage == index => {
                self.edits.push((present.span.clone(), wanted.to_owned()));
                done.push(format!("looks for the collector at {wanted}"));
                wanted.to_owned()
            }
            (_, wanted) => {
                let socket = wanted.unwrap_or(DEFAULT_SOCKET);
                assigned.push(format!("GLASSBOX_SOCKET={socket}"));
                done.push(format!("looks for the collector at {socket} ({})", how_to_reach(socket)));
                socket.to_owned()
            }
        };
        if !assigned.is_empty() {
            lines.push(format!("ENV {}", assigned.join(" ")));
        }
        found.socket = Some(stages::Socket { value: socket, stage: index, span: 0..0 });
    }

    /// Inserts lines behind an instruction, with the line end that the file uses.
    fn insert(&mut self, at: usize, lines: Vec<String>) {
        let before = &self.text[..at];
        let is_ended = before.ends_with('\n');
        let line_end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut text = if is_ended { String::new() } else { line_end.to_owned() };
        for line in lines {
            text.push_str(&line);
            text.push_str(line_end);
        }
        self.edits.push((at..at, text));
    }

    fn done(mut self) -> Patched {
        self.edits.sort_by_key(|(span, _)| span.start);
        let mut text = String::with_capacity(self.text.len() + 512);
        let mut from = 0;
        for (span, with) in self.edits {
            text.push_str(&self.text[from..span.start]);
            text.push_str(&with);
            from = span.end;
        }
        text.push_str(&self.text[from..]);
        Patched { text, notes: self.notes }
    }
}

/// How to start a container so that its programs reach the collector.
fn how_to_reach(socket: &str) -> String {
    match socket.rsplit_once('/') {
        Some((folder, _)) => format!("start containers with -v {folder}:{folder}:ro"),
        None => "start containers in the collector's network namespace".into(),
    }
}

#[cfg(test)]
mod tests;
