//! The victim `steady`, which opens a file every few milliseconds until it is told to stop.

use std::fs;

use crate::child::{Ending, Running, wait_until};
use crate::events::Events;
use crate::scene::Scene;
use crate::victim::{Libc, compiled};

/// A scene of a victim that is linked statically, in an emptied directory.
pub fn scene_of_static(name: &str, arguments: &[&str]) -> Scene {
    let scene = Scene::with(compiled(name, Libc::GlibcStatic), arguments);
    scene.clean();
    scene
}

/// Waits until it has opened its file of this number.
pub fn wait_for_open(scene: &Scene, number: usize) {
    wait_until("more opens", || scene.work().join(format!("steady.{number}")).exists());
}

/// The number of the file that it opens next.
pub fn made(scene: &Scene) -> usize {
    (0..).find(|number| !scene.work().join(format!("steady.{number}")).exists()).unwrap_or(0)
}

/// Tells it to stop, and waits for that.
///
/// # Panics
/// Where the file that tells it cannot be written.
pub fn stop_and_finish(scene: &Scene, running: Running) -> Ending {
    fs::write(scene.work().join("stop"), "").expect("the file is in a directory of ours");
    running.finish()
}

/// How many of its opens were told of.
pub fn steady_opens(events: &Events) -> usize {
    events.named("file.open").filter(|open| open.path().contains("/steady.")).count()
}
