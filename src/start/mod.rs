//! An image begins: the sensor finds its way, hands its ring to the collector, and sees to the images that follow.

pub mod distance;
pub mod environ;
pub mod filter;
mod hello;
mod image;
pub mod init;
mod ring;
