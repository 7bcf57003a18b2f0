//! The options of a patch of a Dockerfile.

use crate::notify::Notify;

/// How the sensor is put in, and into which stages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// The image that brings the sensor. If it is `None`, the image in the file stays; a new `COPY` gets the
    /// default.
    pub image: Option<String>,
    /// Where the collector listens, as the container's programs see it. If it is `None`, the value in the
    /// file stays; a new one is the default.
    pub socket: Option<String>,
    /// The stages that become images.
    pub stages: Which,
    /// Whether the command line is copied too.
    pub has_collector: bool,
    /// Whether `glassbox run` starts the entry point, and how.
    pub run: Option<Run>,
    /// What is asked of the kernel: by that `glassbox run`, else by `glassbox exec` in front of the entry
    /// point. If it is `None`, what is there stays as it is.
    pub notify: Option<Notify>,
    /// The entry point of the base image, which the file does not tell; empty if the base image has none.
    pub entry_point: Option<Vec<String>>,
    /// The configuration file, by its path in the build's context.
    pub config: Option<String>,
}

/// The stages that get the sensor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Which {
    /// The last stage, which a build makes by default.
    #[default]
    Last,
    /// One by its name or number.
    One(String),
    /// Every stage.
    All,
}

/// How `glassbox run` starts an entry point.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Run {
    /// The options of `glassbox run`.
    pub options: Vec<String>,
}
