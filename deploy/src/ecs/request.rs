//! The options of a patch of task definitions.

use crate::config::Config;
use crate::notify::Notify;

/// How the sensor is put in, and into which containers.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The sensor's image. If it is `None`, an image that is there already stays; a new container gets
    /// [`crate::image::DEFAULT_IMAGE`].
    pub image: Option<String>,
    /// The containers that get the sensor. If the list is empty, all but agents and log routers get it.
    pub containers: Vec<String>,
    /// The containers that do not get the sensor.
    pub excluded: Vec<String>,
    /// The collector's outputs, each as its `-o` takes it. If the list is empty, the outputs that are there
    /// already stay; a new container gets `jsonl`.
    pub outputs: Vec<String>,
    /// The collector's configuration. If it is `None`, one that is there already stays.
    pub config: Option<Config>,
    /// Whether the task ends when the collector does.
    pub is_essential: bool,
    /// When applications start. If it is `None`, a condition that is there already stays; a new one is
    /// [`Condition::Healthy`].
    pub condition: Option<Condition>,
    /// The memory reserved for the collector, in MiB.
    pub memory_reservation_mib: Option<u32>,
    /// What `glassbox exec` asks of the kernel for each application. If it is `None`, a supervisor that is
    /// there stays as it is.
    pub notify: Option<Notify>,
    /// Whether the task is meant for Fargate even if the text does not say so.
    pub is_fargate: bool,
}

/// When an application starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// Once the collector listens: every event is seen, but a collector that never listens keeps the
    /// application from starting.
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
