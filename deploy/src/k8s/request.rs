//! The options of a patch of pods.

use crate::config::Config;
use crate::notify::Notify;

/// How the sensor is put in, and into which containers of which pods.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The image with the pair. If it is `None`, an image that is there already stays; a new container gets
    /// [`DEFAULT_IMAGE`](crate::image::DEFAULT_IMAGE).
    pub image: Option<String>,
    /// The containers that get the sensor, by name. If the list is empty, all but known agents get it.
    pub containers: Vec<String>,
    /// The containers that do not get it, by name.
    pub excluded: Vec<String>,
    /// Whether a pod's own init containers get it too.
    pub with_init_containers: bool,
    /// Whether only pods with the annotation `glassbox/sensor: "on"` get it.
    pub is_opt_in: bool,
    /// The collector's outputs, each as `-o` takes it. If the list is empty, the outputs that are there
    /// already stay; a new container gets `jsonl`.
    pub outputs: Vec<String>,
    /// The collector's configuration. If it is `None`, one that is there already stays.
    pub config: Option<Config>,
    /// What `glassbox exec` asks of the kernel for each container. If it is `None`, a supervisor that is
    /// there stays as it is.
    pub notify: Option<Notify>,
    /// Whether a container that can have no supervisor gets the sensor alone; otherwise it is one that cannot
    /// have the sensor.
    pub has_sensor_alone: bool,
    /// The collector's processor limit, as Kubernetes writes it.
    pub cpu: Option<String>,
    /// The collector's memory limit, as Kubernetes writes it.
    pub memory: Option<String>,
}
