//! `glassbox`: the collector and the command line.
//!
//! The outer part (`cli`, `commands`, `launch`, `socket`, `sensor_path`, `environment`, `inherited`, `stop`)
//! makes this program a correct parent and neighbour of CMD; the collector itself begins at `session`.
#![deny(unsafe_code)]

mod arrival;
mod attach;
mod census;
mod cli;
mod clock;
mod commands;
mod container;
mod doctor;
mod door;
mod enrich;
mod environment;
mod errors;
mod event;
mod failure;
mod files;
mod hook_list;
mod ids;
mod inherited;
mod install;
mod json;
mod kernel;
mod lambda;
mod launch;
mod loss;
mod order;
mod outputs;
mod patch;
mod picture;
mod pipeline;
mod procfs;
mod program;
mod replay;
mod rings;
mod runc;
mod sensor_path;
mod session;
mod settings;
mod sinks;
mod socket;
mod stages;
mod stop;
mod webhook;

use std::process::exit;

fn main() {
    let arguments = lambda::rearranged(runc::rearranged(std::env::args_os()));
    let result = cli::Cli::from_arguments(arguments.into_iter())
        .and_then(|cli| cli.map_or(Ok(0), commands::carry_out));
    match result {
        Ok(status) => exit(status.into()),
        Err(failure) => {
            failure.report();
            exit(failure.status().into());
        }
    }
}
