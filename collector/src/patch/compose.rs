//! `glassbox patch compose`: its options.

use std::path::PathBuf;

use clap::Args;
use deploy::compose::{self, DEFAULT_NAME, Request};
use deploy::config::Config;
use deploy::{Error, Patched, image};

use super::common::{Common, Supervisor};

const HELP: &str = "\
Adds a service that collects, a volume that the engine fills with the sensor from that service's image, and to every other \
service the volume, LD_PRELOAD, GLASSBOX_SOCKET, and that it waits for the collector (docker compose 2.20 or later). The \
events are in the collector's log:

  glassbox patch compose compose.yaml && docker compose up -d
  docker compose logs -f glassbox

A service is left alone with the label glassbox.sensor: \"off\", with GLASSBOX=off in its environment, or if it brings a \
sensor of its own.";

/// `glassbox patch compose`
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub supervisor: Supervisor,
    /// The image that brings the sensor [default: what is in the file, else glassbox with this version]
    #[arg(long, value_name = "IMAGE", value_parser = image::checked_name)]
    pub image: Option<String>,
    /// The name of the collector's service, and of its volume
    #[arg(long, default_value = DEFAULT_NAME, value_parser = compose::checked_name)]
    pub name: String,
    /// Only this service; repeatable [default: all]
    #[arg(long, value_name = "SERVICE")]
    pub service: Vec<String>,
    /// Only services whose label glassbox.sensor says "on"
    #[arg(long)]
    pub opt_in: bool,
    /// Put the configuration file CONFIG into the collector's container, as GLASSBOX_CONFIG_YAML; an empty
    /// one takes it out [default: what is there]
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// An option of the collector; repeatable: --collect-option=-o --collect-option=human [default: -o jsonl]
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub collect_option: Vec<String>,
}

impl Options {
    /// Patches a compose file's text.
    pub fn patch(&self, text: &str, config: Option<Config>) -> Result<Patched, Error> {
        let request = Request {
            image: self.image.clone(),
            name: self.name.clone(),
            services: self.service.clone(),
            is_opt_in: self.opt_in,
            options: self.collect_option.clone(),
            config,
            notify: self.supervisor.request(),
        };
        compose::patch(text, &request)
    }
}
