//! What is asked to be put into pods.

/// What is put into pods.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The image with the pair in it; the one that is there, else [`DEFAULT`](crate::image::DEFAULT), if none is named.
    pub image: Option<String>,
    /// The containers that get the sensor, by name; all but known helpers if there are none.
    pub containers: Vec<String>,
    /// The containers that do not get it, by name.
    pub excluded: Vec<String>,
    /// Whether a pod's own init containers get it too.
    pub with_init_containers: bool,
    /// Whether only pods that say `glassbox/sensor: "on"` are taken.
    pub is_opt_in: bool,
    /// What the collector writes, each as `-o` takes it; what is there, else `jsonl`, if there are none.
    pub outputs: Vec<String>,
    /// The most that the collector may use of a processor, as Kubernetes writes it.
    pub cpu: Option<String>,
    /// The most memory that the collector may use, as Kubernetes writes it.
    pub memory: Option<String>,
}
