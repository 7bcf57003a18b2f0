//! `glassbox runc`: its options.

use std::ffi::OsString;

use clap::Args;

const RUNC_HELP: &str = "\
A container stays as it is with the annotation glassbox/sensor=off, with GLASSBOX=off in its
environment, or if it brings a sensor of its own.

Examples:
  mkdir -p /run/glassbox; GLASSBOX_SOCKET=/run/glassbox/socket glassbox collect -o jsonl &
  glassbox runc run -b BUNDLE NAME
  podman --runtime /usr/bin/glassbox-runc run IMAGE
  podman --runtime /usr/bin/glassbox-runc --runtime-flag fail-closed run IMAGE
  podman --runtime /usr/bin/glassbox-runc --runtime-flag notify=security run IMAGE
  ctr run --runc-binary /usr/bin/glassbox-runc IMAGE NAME
  docker: \"runtimes\": {\"glassbox\": {\"path\": \"/usr/bin/glassbox-runc\"}} in daemon.json, then
          docker run --runtime glassbox IMAGE";

/// `glassbox runc`
#[derive(Args, Debug)]
#[command(after_help = RUNC_HELP, override_usage = "glassbox runc [OPTIONS] RUNC-ARGUMENTS…")]
pub struct Options {
    /// Do not start a container that cannot be prepared
    #[arg(long)]
    pub fail_closed: bool,
    /// Prepare only containers with the annotation glassbox/sensor=on
    #[arg(long)]
    pub opt_in: bool,
    /// Name the sensor in the container's /etc/ld.so.preload too, which glibc also reads for set-uid programs
    /// and in an emptied environment
    #[arg(long)]
    pub preload_file: bool,
    /// The real runtime [default: the first of runc and crun in PATH]
    #[arg(long, value_name = "PATH")]
    pub runtime: Option<OsString>,
    /// Where the collector listens [default: GLASSBOX_SOCKET, else /run/glassbox/socket]
    #[arg(long, value_name = "SOCKET")]
    pub socket: Option<String>,
    /// Have the kernel ask about system calls that no hook can see, of static and Go programs in a container
    /// and of code that calls the kernel itself: off, exec, security, full. Set-user-id programs keep their
    /// rights, and nothing is put into the container for it (docs/notify.md)
    #[arg(long, value_name = "LEVEL")]
    pub notify: Option<OsString>,
    /// Do not start a container for which the level of --notify cannot be had
    #[arg(long)]
    pub require_notify: bool,
    /// The real runtime's arguments
    #[arg(value_name = "RUNC-ARGUMENTS", last = true, hide = true)]
    pub arguments: Vec<OsString>,
}
