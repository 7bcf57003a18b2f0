//! The connection to a NATS server: addresses, login, TLS.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, ServerAddr};
use deploy::visible::visible;

use crate::shell::failure::Failure;
use crate::sinks::carrier::kind::Options;
use crate::sinks::carrier::tls::Identities;

/// How long a server may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest text of a login, bytes.
const LONGEST: u64 = 16 << 10;

/// A server, or several of one cluster, and how to get in.
#[derive(Clone, Debug)]
pub struct Broker {
    servers: Vec<ServerAddr>,
    options: ConnectOptions,
    /// How long it may take for one answer.
    pub timeout: Duration,
}

impl Broker {
    /// The servers of a place, by its options. Fails with status 66 where a file is missing, 65 where it is
    /// malformed, 64 where an address or the options are wrong.
    pub fn of(place: &OsStr, options: &Options) -> Result<Self, Failure> {
        let place = place.to_string_lossy();
        let server = |text: &str| {
            text.parse::<ServerAddr>().map_err(|error| {
                Failure::usage(format!("'{}': {error}; give nats://HOST:PORT", visible(text)))
            })
        };
        let servers = place.split(',').map(server).collect::<Result<Vec<_>, _>>()?;
        let timeout = options.timeout_ms.map_or(TIMEOUT, Duration::from_millis);
        let mut connect =
            ConnectOptions::new().name("glassbox").connection_timeout(timeout).request_timeout(Some(timeout));
        if let Some(from) = &options.creds {
            connect = match Login::read(from)? {
                Login::User(name, password) => connect.user_and_password(name, password),
                Login::Token(token) => connect.token(token),
            };
        }
        let is_tls = place.starts_with("tls://") || options.ca.is_some() || options.cert.is_some();
        if is_tls {
            // Read here for the message about a file that is wrong, and again at each connection.
            drop(Identities::of(options)?);
            connect = connect.require_tls(true);
            if let Some(ca) = &options.ca {
                connect = connect.add_root_certificates(ca.clone());
            }
            if let Some(cert) = &options.cert {
                let key = options.key.as_ref().unwrap_or(cert);
                connect = connect.add_client_certificate(cert.clone(), key.clone());
            }
        }
        Ok(Self { servers, options: connect, timeout })
    }

    /// Connects; the error is for a person.
    pub async fn connect(&self) -> Result<(Client, Context), String> {
        let connecting = self.options.clone().connect(self.servers.clone());
        let client = match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| told(&error))?,
            Err(_) => return Err("the server did not answer in time".to_owned()),
        };
        let context = jetstream::new(client.clone());
        Ok((client, context))
    }
}

/// An error of the client, in one line, without what it is made of twice.
pub fn told(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = inner.source();
    }
    visible(&line).replace('\n', " ")
}

/// A way to get in.
#[derive(PartialEq, Eq)]
enum Login {
    User(String, String),
    Token(String),
}

impl Login {
    /// Reads `FILE` or `env:NAME`: lines `user: NAME` and `password: …`, or `token: …`; empty lines and those
    /// with `#` in front are left out.
    fn read(from: &OsStr) -> Result<Self, Failure> {
        let (place, text) = match from.to_str().and_then(|text| text.strip_prefix("env:")) {
            Some(name) => {
                let text = std::env::var(name).map_err(|_| {
                    Failure::missing(format!(
                        "the variable {name} of creds=env:{name} is not set; set it to lines 'user: NAME' and \
                         'password: …'"
                    ))
                })?;
                (format!("the variable {name}"), text)
            }
            None => (format!("'{}'", from.display()), of_file(Path::new(from))?),
        };
        Self::parse(&text).ok_or_else(|| {
            // Without the text itself, which is secret.
            Failure::malformed(format!(
                "{place} is no login; give lines 'user: NAME' and 'password: …', or one 'token: …'"
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (mut user, mut password, mut token) = (None, None, None);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let place = match name.trim().to_ascii_lowercase().as_str() {
                "user" => &mut user,
                "password" => &mut password,
                "token" => &mut token,
                _ => return None,
            };
            if place.replace(value.trim().to_owned()).is_some() {
                return None;
            }
        }
        match (user, password, token) {
            (Some(user), Some(password), None) => Some(Self::User(user, password)),
            (None, None, Some(token)) => Some(Self::Token(token)),
            _ => None,
        }
    }
}

fn of_file(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        Failure::missing(format!(
            "cannot read the login '{}': {error}; give a file of lines 'user: NAME' and 'password: …'",
            path.display()
        ))
    };
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_is_a_user_with_a_password_or_a_token() {
        let user = Login::User("a".into(), "b:c".into());

        assert!(Some(user) == Login::parse("# nats\nuser: a\n\nPassword: b:c\n"));
        assert!(Some(Login::Token("t".into())) == Login::parse("token: t"));
        for wrong in
            ["", "user: a", "secret", "user: a\nuser: b\npassword: c", "user: a\npassword: b\ntoken: c"]
        {
            assert!(Login::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn missing_and_malformed_logins_are_told_without_their_text() {
        let scratch = crate::sinks::tests::Scratch::new("login");
        let path = scratch.path("login");
        std::fs::write(&path, "secret").unwrap();
        let of = |from: &OsStr| Login::read(from).err().unwrap();

        let malformed = of(path.as_os_str());

        assert_eq!(65, malformed.status());
        assert!(!malformed.to_string().contains("secret"), "{malformed}");
        assert_eq!(66, of(OsStr::new("/nonexistent")).status());
        assert_eq!(66, of(OsStr::new("env:GLASSBOX_NO_SUCH")).status());
    }
}
