//! `glassbox patch dockerfile`: its options.

use clap::Args;
use deploy::{Error, Patched};

use super::Common;

/// `glassbox patch dockerfile`
#[derive(Args, Debug)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
}

impl Options {
    /// Patches a Dockerfile's text.
    pub fn patch(&self, _text: &str) -> Result<Patched, Error> {
        Err(Error::Refused("this build cannot patch Dockerfiles".into()))
    }
}
