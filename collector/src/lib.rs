//! The collector and the command line: the library that the program `glassbox` and the fuzz targets are made
//! of.
//!
//! [`shell`] and [`launch`] make this program a correct parent and neighbour of CMD; the collector itself
//! begins at [`session`]. ARCHITECTURE.md draws the folders in the order of an event's way.
#![deny(unsafe_code)]

mod allowance;
mod arrival;
mod attach;
mod census;
mod container;
mod diff;
mod doctor;
mod door;
mod enrich;
mod evasion;
mod event;
#[cfg(feature = "nats")]
mod fleet;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod ids;
mod json;
mod lambda;
mod launch;
mod loss;
mod metrics;
mod notify;
mod order;
mod outputs;
mod patch;
mod picture;
mod pipeline;
mod reload;
mod replay;
mod rings;
mod rulebook;
mod runc;
mod session;
mod settings;
mod shell;
mod sinks;
mod stages;
mod system;
mod top;
mod webhook;

/// Does what the arguments of this process say; gives its exit status. A failure has been reported then.
pub fn run() -> i32 {
    let arguments = lambda::rearranged(runc::rearranged(std::env::args_os()));
    let result = shell::cli::Cli::from_arguments(arguments.into_iter())
        .and_then(|cli| cli.map_or(Ok(0), shell::commands::carry_out));
    match result {
        Ok(status) => status.into(),
        Err(failure) => {
            failure.report();
            failure.status().into()
        }
    }
}
