//! What a patch of a Dockerfile is asked for.

/// What is put into a Dockerfile.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// The image that brings the sensor; what is in the file, or the default, where there is none.
    pub image: Option<String>,
    /// Where the collector listens, as the container's programs see it; what is in the file, or the default.
    pub socket: Option<String>,
    /// Which stages become images.
    pub stages: Which,
    /// Whether the command line comes along, too.
    pub has_collector: bool,
    /// Whether the entry point is started by `glassbox run`, and how.
    pub run: Option<Run>,
}

/// The stages that get the sensor.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Which {
    /// The last one: what a build makes that says nothing else.
    #[default]
    Last,
    /// One by its name or number.
    One(String),
    /// All.
    All,
}

/// How an entry point is started under `glassbox run`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Run {
    /// The options of `glassbox run`.
    pub options: Vec<String>,
    /// The entry point of the base image, which the file does not say; empty if that has none.
    pub entry_point: Option<Vec<String>>,
}
