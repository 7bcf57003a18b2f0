//! `--from URL --durable NAME`: where a judge gets its events.

use std::ffi::{OsStr, OsString};

use deploy::visible::visible;

use crate::shell::failure::Failure;
use crate::sinks::carrier::kind::Options;
use crate::sinks::carrier::nats::CARRIER;
use crate::sinks::carrier::options;

/// Where the events come from.
pub struct From {
    /// The servers.
    pub place: OsString,
    /// How to get in, and the cluster, where only one is wanted.
    pub options: Options,
    /// The name of the judges that share the work.
    pub durable: String,
}

impl From {
    /// Reads `URL[,KEY=VALUE…]`, as `-o nats:` takes it. Fails with status 64 where it is wrong.
    pub fn parse(text: &OsStr, durable: String) -> Result<Self, Failure> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if durable.is_empty() || durable.len() > 32 || !durable.bytes().all(is_plain) {
            return Err(Failure::usage(format!(
                "--durable '{}' is no name; give letters, digits, '-' and '_', 32 at most",
                visible(&durable)
            )));
        }
        let (place, options) = options::divided(text);
        let wrong =
            |why: &str| Failure::usage(format!("{why}: --from '{}'", visible(&text.to_string_lossy())));
        let place = (CARRIER.place)(&place)
            .unwrap_or_else(|| Err(wrong("it names no server; give nats://HOST:PORT or tls://HOST:PORT")))?;
        let options = Options::read(&options, &CARRIER).map_err(|why| wrong(&why))?;
        if options.only.is_some() || options.filter.is_some() || options.spool.is_some() {
            return Err(wrong("'only', 'filter' and 'spool' are for outputs; leave them out"));
        }
        Ok(Self { place, options, durable })
    }
}
