//! Opens what all receivers have in common: a transport behind a courier, and a spool where one is asked for.

use super::courier::Courier;
use super::kind::{Opened, Wanted};
use super::spooled;
use super::transport::Transport;
use crate::shell::failure::Failure;
use crate::sinks::framing::Found;

/// The carrier to a receiver by `transport`, with the options' spool. Fails with status 73 where the spool
/// cannot be used.
pub fn opened(wanted: &Wanted<'_>, transport: Box<dyn Transport>) -> Result<Opened, Failure> {
    let courier = Courier::new(transport);
    match &wanted.options.spool {
        None => Ok(Opened::plain(Box::new(courier), Found::Fresh)),
        Some(folder) => spooled::opened(wanted, folder, courier),
    }
}
