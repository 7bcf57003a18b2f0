//! Placeholder.
use anyhow::{Result, bail};
pub fn run(_: &[String]) -> Result<()> {
    bail!("not yet")
}
