//! The start of an image: the sensor finds its place in the process, hands its ring to the collector, and
//! prepares the images that follow.

pub mod distance;
pub mod door;
pub mod environ;
pub mod filter;
mod hello;
mod image;
pub mod init;
mod ring;
