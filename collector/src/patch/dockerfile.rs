//! `glassbox patch dockerfile`: its options.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use deploy::dockerfile::{self, Request, Run, Which};
use deploy::{Error, Patched, image};

use super::common::{self, Common, Supervisor};
use crate::shell::failure::Failure;

const HELP: &str = "\
The sensor is copied behind the stage's last RUN, so that no build step loads it. A value of LD_PRELOAD, in the file or \
in the base image, stays. Containers find a collector on the host by its folder:

  GLASSBOX_SOCKET=/run/glassbox/socket glassbox collect -o jsonl &
  glassbox patch dockerfile Dockerfile && docker build -t app .
  docker run -v /run/glassbox:/run/glassbox:ro app

or bring their own (the summary goes to stderr when the program ends):

  glassbox patch dockerfile --run Dockerfile";

/// `glassbox patch dockerfile`
#[derive(Args, Debug)]
#[command(after_help = HELP, group(ArgGroup::new("starter").args(["run", "notify"]).multiple(true)))]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub supervisor: Supervisor,
    /// The image that brings the sensor [default: what is in the file, else glassbox with this version]
    #[arg(long, value_name = "IMAGE", value_parser = image::checked_name)]
    pub image: Option<String>,
    /// Where programs find the collector [default: what is in the file, else /run/glassbox/socket]
    #[arg(long, value_name = "SOCKET", value_parser = image::checked_socket, conflicts_with = "run")]
    pub socket: Option<String>,
    /// The stage that becomes the image, by name or number [default: the last]
    #[arg(long, value_name = "STAGE", conflicts_with = "all_stages")]
    pub target: Option<String>,
    /// Every stage
    #[arg(long)]
    pub all_stages: bool,
    /// Copy the command line too: /opt/glassbox/glassbox
    #[arg(long)]
    pub with_collector: bool,
    /// Start the entry point with `glassbox run`, instead of setting LD_PRELOAD
    #[arg(long)]
    pub run: bool,
    /// An option of that `glassbox run`; repeatable: --run-option=-o --run-option=jsonl:/log/events.jsonl
    #[arg(long, value_name = "OPTION", requires = "run", allow_hyphen_values = true)]
    pub run_option: Vec<String>,
    /// Copy the configuration file CONFIG, which lies in the build's context: the folder of FILE, or below it
    #[arg(long, value_name = "CONFIG", requires = "run")]
    pub config: Option<PathBuf>,
    /// The base image's entry point, if the file has none: '["docker-entrypoint.sh"]', or '[]'
    #[arg(long, value_name = "JSON", requires = "starter", value_parser = entry_point)]
    pub entrypoint: Option<EntryPoint>,
}

/// The words of an entry point.
#[derive(Clone, Debug)]
pub struct EntryPoint(Vec<String>);

fn entry_point(text: &str) -> Result<EntryPoint, String> {
    let words = serde_json::from_str(text);
    words.map(EntryPoint).map_err(|_| "a list is written as in [\"/bin/app\", \"-v\"]".into())
}

impl Options {
    /// The configuration's path in the build's context, after a check of the file. Fails with status 64 where
    /// it lies elsewhere, 65 or 66 where it is malformed or missing.
    pub fn config(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.config else { return Ok(None) };
        common::config(Some(path))?;
        let context = self.common.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_default();
        let inside = real(path).strip_prefix(real(context.unwrap_or(Path::new(".")))).ok().map(PathBuf::from);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
        let named = inside.as_deref().and_then(Path::to_str).filter(|name| name.chars().all(is_plain));
        named.map(|name| Some(name.to_owned())).ok_or_else(|| {
            let (name, file) = (path.display(), self.common.file.display());
            Failure::usage(format!(
                "the configuration '{name}' cannot be copied by '{file}'; put it into the folder of that file, under a name of \
                 letters, digits and ./_-"
            ))
        })
    }

    /// Patches a Dockerfile's text.
    pub fn patch(&self, text: &str, config: Option<String>) -> Result<Patched, Error> {
        let stages = match &self.target {
            Some(name) => Which::One(name.clone()),
            None if self.all_stages => Which::All,
            None => Which::Last,
        };
        let run = self.run.then(|| Run { options: self.run_option.clone() });
        let request = Request {
            image: self.image.clone(),
            socket: self.socket.clone(),
            stages,
            has_collector: self.with_collector,
            run,
            notify: self.supervisor.request(),
            entry_point: self.entrypoint.as_ref().map(|words| words.0.clone()),
            config,
        };
        dockerfile::patch(text, &request)
    }
}
