//! The outer shell: the command line, and a process that is a correct parent and neighbour.

pub mod aside;
pub mod cli;
pub mod cli_outputs;
pub mod cli_rules;
pub mod commands;
pub mod environment;
pub mod failure;
pub mod field_list;
pub mod files;
pub mod greeting;
pub mod hook_list;
pub mod inherited;
pub mod install;
pub mod listeners;
pub mod pager;
pub mod pages;
pub mod sensor_path;
pub mod socket;
pub mod stop;
pub mod trusted;
pub mod usage;
