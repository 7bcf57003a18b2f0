//! `glassbox patch k8s`: its options, which `glassbox webhook` shares.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use deploy::k8s::Request;

use super::common::{Common, Supervisor, config};
use crate::outputs::{Destination, Output};
use crate::shell::failure::Failure;

const HELP: &str = "\
FILE has any number of documents, YAML or JSON: Pod, PodTemplate, Deployment, StatefulSet,
DaemonSet, ReplicaSet, ReplicationController, Job, CronJob and lists of them get the sensor,
everything else stays as it is, byte for byte.

Annotations of a pod (in a Deployment: of spec.template):
  glassbox/sensor: \"off\"        leave it as it is; \"on\" is asked for with --opt-in
  glassbox/containers: \"a,b\"    only these, whatever the options say
  glassbox/injected            written by the patch: the containers that have the sensor
  glassbox/left                written by the patch: the containers left alone, and why

Examples:
  glassbox patch k8s --image registry.example/glassbox:1 deployment.yaml
  helm template shop | glassbox patch k8s - | kubectl apply -f -
  glassbox patch k8s --check deployment.yaml";

/// `glassbox patch k8s`
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub pods: Pods,
}

/// How the sensor is put in, and into which pods.
#[derive(Args, Debug)]
pub struct Pods {
    /// The sensor's image, with its registry [default: the one that is there, else glassbox with this
    /// version]
    #[arg(long, value_name = "IMAGE", value_parser = deploy::image::checked_name)]
    pub image: Option<String>,
    /// Put the sensor into this container, also an init container; repeatable [default: all but known
    /// helpers]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub container: Vec<String>,
    /// Leave this container as it is; repeatable
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub exclude: Vec<String>,
    /// Put the sensor into the pod's own init containers too
    #[arg(long)]
    pub init_containers: bool,
    /// Only pods with the annotation glassbox/sensor: "on"
    #[arg(long)]
    pub opt_in: bool,
    /// The collector's output, as its -o takes it; repeatable [default: what is there, else jsonl]
    #[arg(long, value_name = "FORMAT[:DEST]", value_parser = events)]
    pub events: Vec<String>,
    /// Put the configuration file CONFIG into the collector's container, as GLASSBOX_CONFIG_YAML; an empty
    /// one takes it out [default: what is there]
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// The collector's processor limit [default: what is there, else 500m]
    #[arg(long, value_name = "QUANTITY", value_parser = quantity)]
    pub cpu: Option<String>,
    /// The collector's memory limit [default: what is there, else 128Mi]
    #[arg(long, value_name = "QUANTITY", value_parser = quantity)]
    pub memory: Option<String>,
    #[command(flatten)]
    pub supervisor: Supervisor,
}

impl Pods {
    /// The request as the crate `deploy` takes it. Fails with status 65 or 66 where the configuration is
    /// malformed or missing.
    pub fn request(&self) -> Result<Request, Failure> {
        Ok(Request {
            image: self.image.clone(),
            containers: self.container.clone(),
            excluded: self.exclude.clone(),
            with_init_containers: self.init_containers,
            is_opt_in: self.opt_in,
            outputs: self.events.clone(),
            config: config(self.config.as_deref())?,
            cpu: self.cpu.clone(),
            memory: self.memory.clone(),
            notify: self.supervisor.request(),
            has_sensor_alone: false,
        })
    }
}

/// Checks an output with the collector's own rules.
fn events(given: &str) -> Result<String, String> {
    Output::parse(OsStr::new(given), &Destination::stdout()).map_err(|failure| failure.to_string())?;
    Ok(given.to_owned())
}

/// Checks a quantity as Kubernetes writes it: `500m`, `0.5`, `128Mi`.
fn quantity(given: &str) -> Result<String, String> {
    const UNITS: [&str; 14] = ["", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let digits = given.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_number =
        digits.parse::<f64>().is_ok_and(|number| number > 0.0) && !digits.contains(['e', 'E', '+']);
    match is_number && UNITS.contains(&&given[digits.len()..]) {
        true => Ok(given.to_owned()),
        false => Err("write a quantity as Kubernetes does: 500m, 0.5, 128Mi".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for given in ["500m", "0.5", "1", "128Mi", "1G"] {
            assert_eq!(Ok(given.to_owned()), quantity(given));
        }
        for given in ["", "m", "-1", "0", "128MB", "1e3", "inf", "1 Mi"] {
            assert!(quantity(given).is_err(), "{given}");
        }
    }

    #[test]
    fn events_are_what_collect_takes() {
        assert_eq!(Ok("jsonl:-".to_owned()), events("jsonl:-"));
        assert!(events("yaml").is_err());
    }
}
