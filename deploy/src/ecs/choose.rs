//! Chooses the containers of a task definition that get the sensor.

use serde_json::Value;

use super::case::function;
use super::request::Request;
use super::task::{Task, names_sensor};
use crate::choice::{self, Choice, LABELS, Mark};
use crate::image::SENSOR_PATH;
use crate::{Error, Note, agents};

/// The result of choosing.
#[derive(Debug)]
pub struct Chosen {
    /// The indexes of the containers that get the sensor.
    pub applications: Vec<usize>,
    /// Why the others do not get it.
    pub notes: Vec<Note>,
}

impl Task<'_> {
    /// Chooses among the containers; the container at `ours` is the sensor's own.
    ///
    /// # Errors
    /// A label that says neither `on` nor `off`, or an environment that is not a list.
    pub fn choose(&self, ours: Option<usize>, request: &Request) -> Result<Chosen, Error> {
        let mut chosen = Chosen { applications: Vec::new(), notes: Vec::new() };
        let others = self.containers.iter().enumerate().filter(|(index, _)| Some(*index) != ours);
        for (index, container) in others {
            let label = self.label(index);
            if let Some(name) = function(container) {
                chosen.notes.push(Note::Warning(format!(
                    "{label} is given by {name}; put the sensor in there by hand"
                )));
                continue;
            }
            let choice = self.choice(container, request);
            match choice.map_err(|error| error.within(|why| format!("{label}: {why}")))? {
                Choice::In => chosen.applications.push(index),
                Choice::Out(why) => {
                    let is_prepared = self.environment(container, "LD_PRELOAD").any(names_sensor);
                    let rest =
                        if is_prepared { ", and the parts of the sensor that it has stay" } else { "" };
                    chosen.notes.push(Note::Skipped(format!("{label}: {why}{rest}")));
                }
            }
        }
        Ok(chosen)
    }

    fn choice(&self, container: &Value, request: &Request) -> Result<Choice, Error> {
        let name = self.case.text(container, "name");
        let is_in = |list: &[String]| name.is_some_and(|name| list.iter().any(|listed| listed == name));
        if is_in(&request.excluded) {
            return Ok(Choice::out("it is excluded"));
        }
        if !request.containers.is_empty() && !is_in(&request.containers) {
            return Ok(Choice::out("it is not among those named"));
        }
        let mut is_asked_for = !request.containers.is_empty();
        for name in LABELS {
            let labels = self.case.get(container, "dockerLabels");
            let Some(said) = labels.and_then(|labels| labels.get(name)) else { continue };
            let text = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
            match Mark::Label(name).choice(Some(&text), false).map_err(Error::Malformed)? {
                Choice::In => is_asked_for = true,
                out @ Choice::Out(_) => return Ok(out),
            }
        }
        let by_kind = if is_asked_for { Choice::In } else { self.choice_by_kind(container) };
        if by_kind != Choice::In {
            return Ok(by_kind);
        }
        self.case.list(container, "environment")?;
        let values = |name| self.environment(container, name).filter_map(Value::as_str);
        Ok(choice::by_switch(values("GLASSBOX"))
            .and(|| choice::by_preload(values("LD_PRELOAD"), |path| path == SENSOR_PATH)))
    }

    /// Leaves out log routers and agents.
    fn choice_by_kind(&self, container: &Value) -> Choice {
        if self.case.get(container, "firelensConfiguration").is_some() {
            return Choice::out("it is the log router");
        }
        match self.image(container).and_then(|image| agents::by_image(&image)) {
            Some(what) => Choice::Out(format!("it is {what}")),
            None => Choice::In,
        }
    }
}
