//! `glassbox patch ecs`: its options.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use deploy::config::Config;
use deploy::{Error, Patched};

use super::common::{Common, Supervisor};
use crate::outputs::{Destination, Output};

const HELP: &str = "\
FILE is the input of register-task-definition, a reply of describe-task-definition (the patch
turns it into such an input), a list of container definitions, or a CloudFormation template.

A container stays as it is if its docker label glassbox.sensor says off, if GLASSBOX=off is in
its environment, or if it brings a sensor of its own. The label 'on' puts the sensor also
into a log router or another vendor's agent, which are left alone otherwise.

Examples:
  glassbox patch ecs --image 1234.dkr.ecr.eu-west-1.amazonaws.com/glassbox task.json
  aws ecs describe-task-definition --task-definition web | glassbox patch ecs - >task.json
  aws ecs register-task-definition --cli-input-json file://task.json
  glassbox patch ecs --container web --check cdk.out/Web.template.json";

/// `glassbox patch ecs`
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub supervisor: Supervisor,
    /// The sensor's image, with its registry [default: the one that is there, else glassbox with this
    /// version]
    // Not only plain names: Terraform's `${var.image}` and CloudFormation's `{{resolve:…}}` are images here.
    #[arg(long, value_name = "IMAGE", value_parser = NonEmptyStringValueParser::new())]
    pub image: Option<String>,
    /// Put the sensor into this container; repeatable [default: all but log routers and agents]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub container: Vec<String>,
    /// Leave this container as it is; repeatable
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub exclude: Vec<String>,
    /// The collector's output, as its -o takes it; repeatable [default: what is there, else jsonl]
    #[arg(long, value_name = "FORMAT[:DEST]", value_parser = output)]
    pub events: Vec<String>,
    /// Put the configuration file CONFIG into the collector's container, as GLASSBOX_CONFIG_YAML; an empty
    /// one takes it out [default: what is there]
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// When the applications start [default: what is there, else healthy]
    #[arg(long, value_name = "WHEN", value_enum)]
    pub start_when: Option<StartWhen>,
    /// End the task when the collector ends
    #[arg(long)]
    pub essential: bool,
    /// Reserve memory for the collector
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(6..))]
    pub memory_reservation: Option<u32>,
    /// Warn of fields that Fargate does not take, even if the file does not say that it is meant for Fargate
    #[arg(long)]
    pub fargate: bool,
}

/// When the applications start.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StartWhen {
    /// Once the collector listens: every event is seen, but a collector that cannot start keeps them from
    /// starting
    Healthy,
    /// Once the collector's container has been started, whatever becomes of it
    Started,
}

/// Checks the format here, so that a mistake is reported before the task runs.
fn output(spelling: &str) -> Result<String, String> {
    match Output::parse(OsStr::new(spelling), &Destination::stdout()) {
        Ok(_) => Ok(spelling.to_owned()),
        Err(failure) => Err(failure.to_string()),
    }
}

impl Options {
    /// Patches the text of a task definition, or a text that holds some.
    pub fn patch(&self, text: &str, config: Option<Config>) -> Result<Patched, Error> {
        let request = deploy::ecs::Request {
            image: self.image.clone(),
            containers: self.container.clone(),
            excluded: self.exclude.clone(),
            outputs: self.events.clone(),
            config,
            notify: self.supervisor.request(),
            is_essential: self.essential,
            condition: self.start_when.map(|when| match when {
                StartWhen::Healthy => deploy::ecs::Condition::Healthy,
                StartWhen::Started => deploy::ecs::Condition::Start,
            }),
            memory_reservation_mib: self.memory_reservation,
            is_fargate: self.fargate,
        };
        deploy::ecs::patch(text, &request)
    }
}
