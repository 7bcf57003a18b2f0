//! Chooses the containers of a pod that get the sensor.

use serde_json::{Map, Value};

use super::command::command;
use super::names::{
    COLLECTOR, CONTAINERS, FOLDER, INSTALLER, LISTS, MOST_CONTAINERS, PRELOADED, Place, VOLUME, name,
    one_line, quoted,
};
use super::request::Request;
use super::stop::{Stop, malformed};
use crate::agents;
use crate::choice::{self, ANNOTATION, Choice, Mark};

/// The result of choosing.
#[derive(Debug)]
pub struct Chosen {
    /// The containers that get the sensor.
    pub places: Vec<Place>,
    /// The first of them, after which the added containers are modelled.
    pub model: Place,
    /// The containers that were left alone, and why.
    pub left: Vec<Left>,
}

/// The name of a container that was left alone, and why.
type Left = (String, String);

/// Reads a pod's annotation `glassbox/sensor`.
///
/// # Errors
/// [`Stop::LeftAlone`] for `off`, and for a missing annotation if the request demands one;
/// [`Stop::Malformed`] for another word.
pub fn check_wanted(said: Option<&str>, is_opt_in: bool) -> Result<(), Stop> {
    let at = format!("/metadata/annotations/{}", ANNOTATION.replace('/', "~1"));
    match Mark::Annotation.choice(said, is_opt_in).map_err(|why| malformed(&at, &why))? {
        Choice::In => Ok(()),
        Choice::Out(why) => Err(Stop::LeftAlone(why)),
    }
}

/// Chooses among the containers of a `spec`; `said` is the pod's annotation that names some.
///
/// # Errors
/// [`Stop::LeftAlone`] or [`Stop::Refused`] if no container is left to choose.
pub fn choose(spec: &Map<String, Value>, said: Option<&str>, request: &Request) -> Result<Chosen, Stop> {
    let (mut places, mut left) = by_name(spec, said, request)?;
    let mut is_possible = true;
    places.retain(|(key, index)| {
        let container = &spec[*key][*index];
        let choice = of_container(container).and_then(|choice| {
            let command = command(spec, container, request);
            match (choice, command) {
                (Choice::In, Err(why)) if !request.has_sensor_alone => Err(Impossible(why)),
                (choice, _) => Ok(choice),
            }
        });
        let why = match choice {
            Ok(Choice::In) => return true,
            Ok(Choice::Out(why)) => why,
            Err(Impossible(why)) => {
                is_possible = false;
                why
            }
        };
        left.push((name(container).to_owned(), why));
        false
    });
    if let Some(model) = places.first().copied() {
        return Ok(Chosen { places, model, left });
    }
    let reasons: Vec<String> =
        left.iter().map(|(name, why)| format!("'{}': {why}", one_line(name))).collect();
    let why = if reasons.is_empty() { "it has no containers".into() } else { reasons.join("; ") };
    Err(if is_possible { Stop::LeftAlone(why) } else { Stop::Refused(why) })
}

/// The containers that the annotation or the request asks for, and those among the others that a note should
/// name.
fn by_name(
    spec: &Map<String, Value>,
    said: Option<&str>,
    request: &Request,
) -> Result<(Vec<Place>, Vec<Left>), Stop> {
    let by_annotation: Vec<&str> = said
        .into_iter()
        .flat_map(|said| said.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if by_annotation.len() > MOST_CONTAINERS {
        return Err(Stop::Refused(format!(
            "the annotation {CONTAINERS} has more than {MOST_CONTAINERS} names; leave it out to choose all"
        )));
    }
    let named: Vec<&str> = match by_annotation.is_empty() {
        true => request.containers.iter().map(String::as_str).collect(),
        false => by_annotation.clone(),
    };
    let all = LISTS.into_iter().flat_map(|key| {
        let containers = spec.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        containers.iter().enumerate().map(move |(index, container)| ((key, index), name(container)))
    });
    let all: Vec<(Place, &str)> = all.filter(|(_, name)| ![INSTALLER, COLLECTOR].contains(name)).collect();
    if let Some(missing) = by_annotation.iter().find(|wanted| !all.iter().any(|(_, name)| name == *wanted)) {
        let there: Vec<String> = all.iter().map(|(_, name)| (*name).to_owned()).collect();
        let what =
            format!("the annotation {CONTAINERS} names '{}'; it has {}", one_line(missing), quoted(&there));
        return Err(Stop::Refused(what));
    }
    let (mut places, mut left) = (Vec::new(), Vec::new());
    for ((key, index), name) in all {
        let is_considered = key == "containers" || request.with_init_containers;
        let is_agent = agents::by_name(name).is_some();
        if request.excluded.iter().any(|excluded| excluded == name) {
            continue;
        }
        match named.is_empty() {
            true if is_considered && is_agent => {
                left.push((
                    name.to_owned(),
                    "a helper of another system; name it to have the sensor there".into(),
                ));
            }
            true if is_considered => places.push((key, index)),
            false if named.contains(&name) => places.push((key, index)),
            _ => {}
        }
    }
    match places.is_empty() && !named.is_empty() {
        true => {
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            Err(Stop::LeftAlone(format!("it has no container {}", quoted(&named))))
        }
        false => Ok((places, left)),
    }
}

/// A container that cannot have the sensor: why, and what to do.
struct Impossible(String);

fn of_container(container: &Value) -> Result<Choice, Impossible> {
    let entries = container.get("env").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = |wanted: &'static str| entries.iter().filter(move |entry| name(entry) == wanted);
    fn text(entry: &Value) -> &str {
        entry["value"].as_str().unwrap_or_default()
    }

    let mut choice = choice::by_switch(named("GLASSBOX").map(text));
    for entry in named("LD_PRELOAD") {
        if choice != Choice::In {
            break;
        }
        if entry.get("valueFrom").is_some_and(|from| !from.is_null()) {
            let why =
                "its LD_PRELOAD comes from elsewhere (valueFrom) and cannot be added to; write its value";
            return Err(Impossible(why.into()));
        }
        choice = choice::by_preload([text(entry)].into_iter(), |path| path == PRELOADED);
    }
    match choice {
        Choice::In if has_other_mount(container) => {
            Err(Impossible(format!("something else is mounted at {FOLDER}; mount it elsewhere")))
        }
        choice => Ok(choice),
    }
}

/// Whether a volume other than ours is mounted at our folder or below it.
fn has_other_mount(container: &Value) -> bool {
    let mut mounts = container.get("volumeMounts").and_then(Value::as_array).into_iter().flatten();
    let is_inside = |path: &str| path == FOLDER || path.starts_with(&format!("{FOLDER}/"));
    mounts.any(|mount| {
        mount["mountPath"].as_str().is_some_and(|path| is_inside(path.trim_end_matches('/')))
            && name(mount) != VOLUME
    })
}
