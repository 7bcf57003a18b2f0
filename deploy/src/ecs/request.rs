//! What a patch of a task definition is asked for.

/// What is put in, and into which containers.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The sensor's image. Where it is `None`, the image that is there already stays; a new container gets
    /// [`crate::image::DEFAULT`].
    pub image: Option<String>,
    /// The containers that get the sensor. Where the list is empty, all but agents and log routers get it.
    pub containers: Vec<String>,
    /// Containers that get none.
    pub excluded: Vec<String>,
    /// The collector's outputs, each as its `-o` takes it. Where the list is empty, those that are there already stay; a
    /// new container gets `jsonl`.
    pub outputs: Vec<String>,
    /// Whether the task ends when the collector does.
    pub is_essential: bool,
    /// When applications start. Where it is `None`, a condition that is there already stays; a new one is
    /// [`Condition::Healthy`].
    pub condition: Option<Condition>,
    /// The memory reserved for the collector, in MiB.
    pub memory_reservation_mib: Option<u32>,
    /// Whether the task is meant for Fargate even if the text does not say so.
    pub is_fargate: bool,
}

/// When an application starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// Once the collector listens: every event is seen, but a collector that never listens keeps the application from
    /// starting.
    Healthy,
    /// Once the collector's container has been started, whatever becomes of it.
    Start,
}

impl Condition {
    /// The condition as `dependsOn` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Start => "START",
        }
    }
}
