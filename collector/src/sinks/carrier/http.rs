//! Receivers over HTTP: `http://` and `https://`.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use deploy::visible::visible;
use flate2::Compression;
use flate2::write::GzEncoder;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::{Agent, Error};

use super::kind::{Kind, Opened, Takes, Wanted};
use super::service::{Judged, Service, Url, by_status, retry_after};
use super::transport::{Bounds, Shipped, Transport};
use super::{headers, receiver, tls};
use crate::shell::failure::Failure;
use crate::sinks::look::Surface;
use crate::sinks::parcel::Parcel;

/// The row of URLs.
pub const CARRIER: Kind = Kind {
    name: "http",
    help: "an http:// or https:// URL",
    place,
    shown: |place| visible(&format!("'{}'", place.display())).into_owned(),
    is_exclusive: |_| false,
    surface: || Surface::Other,
    takes: Takes::Parcels,
    open,
};

/// Bytes of an answer that are looked at.
const MOST_ANSWER: u64 = 64 << 10;
/// Characters of an answer that a message quotes.
const MOST_QUOTED: usize = 200;
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

fn place(text: &OsStr) -> Option<Result<OsString, Failure>> {
    let is_url =
        text.to_str().is_some_and(|text| text.starts_with("http://") || text.starts_with("https://"));
    let refused = |why: String| {
        Failure::usage(format!("'{}' is no URL of a receiver: {why}", visible(&text.to_string_lossy())))
    };
    is_url.then(|| parsed(&text.to_string_lossy()).map(|_| text.to_owned()).map_err(refused))
}

/// The parts of a URL; the error says what to give.
fn parsed(text: &str) -> Result<Url, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}; give http://HOST:PORT/PATH"))?;
    let authority = uri.authority().ok_or("it names no host; give http://HOST:PORT/PATH")?;
    if authority.as_str().contains('@') {
        return Err("it has a password in it, which others on this machine can read; give the header \
                    'Authorization: Basic …' in headers=FILE"
            .to_owned());
    }
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let query = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => (decoded(name), decoded(value)),
        None => (decoded(pair), String::new()),
    };
    Ok(Url {
        scheme: uri.scheme_str().unwrap_or_default().to_owned(),
        authority: authority.as_str().to_owned(),
        path: uri.path().to_owned(),
        query: query.map(pair).collect(),
    })
}

fn open(wanted: &Wanted<'_>) -> Result<Opened, Failure> {
    let refused = |why: String| Failure::usage(format!("{why}: {}", wanted.name));
    let service =
        wanted.service.ok_or_else(|| refused("this format has no receiver over HTTP".to_owned()))?;
    let mut url = parsed(&wanted.place.to_string_lossy()).map_err(refused)?;
    if url.path == "/" && !wanted.place.to_string_lossy().ends_with('/') {
        service.path.clone_into(&mut url.path);
    }
    let options = wanted.options;
    let timeout = options.timeout_ms.map(Duration::from_millis).or_else(service.timeout).unwrap_or(TIMEOUT);
    let transport = Http {
        agent: Agent::new_with_config(
            Agent::config_builder()
                .timeout_global(Some(timeout))
                .max_redirects(0)
                .max_redirects_will_error(false)
                .http_status_as_error(false)
                .max_idle_connections(1)
                .user_agent(concat!("glassbox/", env!("CARGO_PKG_VERSION")))
                .tls_config(tls::config(options, url.scheme == "https")?)
                .build(),
        ),
        headers: headers::read(options.headers.as_deref(), service.header_variables)?,
        is_prepared: false,
        is_compressed: (service.is_compressed)(),
        url,
        service,
        body: Vec::new(),
        packed: Vec::new(),
    };
    receiver::opened(wanted, Box::new(transport))
}

/// Sends bodies by POST to one receiver.
struct Http {
    agent: Agent,
    url: Url,
    service: &'static Service,
    headers: Vec<(HeaderName, HeaderValue)>,
    is_prepared: bool,
    is_compressed: bool,
    body: Vec<u8>,
    packed: Vec<u8>,
}

impl Http {
    /// The URL with these query parameters, which are encoded, behind its own.
    fn address(&self, query: &str) -> String {
        let Url { scheme, authority, path, query: own } = &self.url;
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let own = own.iter().filter(|(name, _)| !self.service.own_parameters.contains(&name.as_str()));
        let own = own.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let all: Vec<String> = own.chain((!query.is_empty()).then(|| query.to_owned())).collect();
        let mark = if all.is_empty() { "" } else { "?" };
        format!("{scheme}://{authority}{path}{mark}{}", all.join("&"))
    }

    /// Sends one body; `Err` with what is to be done about it.
    fn post(
        &self,
        address: &str,
        content_type: &str,
        body: &[u8],
        is_packed: bool,
    ) -> Result<Judged, Shipped> {
        let send = || {
            let mut request = self.agent.post(address).header("Content-Type", content_type);
            if is_packed {
                request = request.header("Content-Encoding", "gzip");
            }
            for (name, value) in &self.headers {
                request = request.header(name, value);
            }
            request.send(body)
        };
        // A connection that was kept may have been closed since, as after the freeze of a Lambda sandbox.
        let response = match send() {
            Err(Error::Io(error)) if is_stale(&error) => send(),
            response => response,
        };
        let mut response = response.map_err(|error| Shipped::later(told(&error)))?;
        let status = response.status().as_u16();
        let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let after = asked.and_then(|value| retry_after(value, SystemTime::now()));
        // The connection goes back into the pool once its answer was read to the end.
        let answer = response.body_mut().with_config().limit(MOST_ANSWER).read_to_vec();
        let answer = match answer {
            Ok(answer) => answer,
            // The status is what counts where the rest is too long.
            Err(Error::BodyExceedsLimit(_)) => Vec::new(),
            Err(error) => return Err(Shipped::later(told(&error))),
        };
        match (self.service.judge)(status, &answer).unwrap_or_else(|| by_status(status, &quoted(&answer))) {
            Judged::Later(why) => Err(Shipped::Later { after, why }),
            judged => Ok(judged),
        }
    }

    /// Sends what comes before the first parcel.
    fn prepare(&mut self) -> Result<(), Shipped> {
        for (query, body) in (self.service.prepare)(&self.url) {
            match self.post(&self.address(&query), "text/plain; charset=utf-8", body.as_bytes(), false)? {
                Judged::Taken(..) => {}
                // The receiver may be mended: until then events wait.
                Judged::Refused(why) | Judged::TooLarge(why) | Judged::Doubtful(why) | Judged::Later(why) => {
                    return Err(Shipped::later(why));
                }
            }
        }
        self.is_prepared = true;
        Ok(())
    }

    fn try_to_ship(&mut self, parcels: &[Parcel<'_>]) -> Result<Judged, Shipped> {
        if !self.is_prepared {
            self.prepare()?;
        }
        let lane = parcels.first().map_or(&[][..], |first| first.lane);
        let address = self.address(&(self.service.query)(&self.url, lane));
        self.body.clear();
        parcels.iter().for_each(|parcel| self.body.extend_from_slice(parcel.body));
        if !self.is_compressed {
            return self.post(&address, self.service.content_type, &self.body, false);
        }
        self.packed.clear();
        let mut packer = GzEncoder::new(&mut self.packed, Compression::fast());
        let packed = packer.write_all(&self.body).and_then(|()| packer.try_finish());
        drop(packer);
        // Writing to memory does not fail.
        packed.map_err(|error| Shipped::later(error.to_string()))?;
        self.post(&address, self.service.content_type, &self.packed, true)
    }
}

impl Transport for Http {
    fn bounds(&self) -> Bounds {
        let Service { may_join, most_bytes, linger, .. } = *self.service;
        let parcels = if may_join { usize::MAX } else { 1 };
        Bounds { parcels, bytes: most_bytes, is_one_lane: true, linger }
    }

    fn ship(&mut self, parcels: &[Parcel<'_>]) -> Shipped {
        match self.try_to_ship(parcels) {
            Ok(Judged::Taken(refused, why)) => Shipped::Taken { refused, why },
            Ok(Judged::Refused(why)) => Shipped::Refused(why),
            Ok(Judged::TooLarge(why)) => Shipped::TooLarge(why),
            Ok(Judged::Doubtful(why)) => Shipped::Doubtful(why),
            Ok(Judged::Later(why)) => Shipped::later(why),
            Err(shipped) => {
                // The receiver may be another one afterwards.
                self.is_prepared = false;
                shipped
            }
        }
    }
}

/// Whether the other side had closed the connection.
fn is_stale(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// An error of a request, in a line.
fn told(error: &Error) -> String {
    match error {
        Error::Io(error) => super::file::bare(error),
        Error::Timeout(_) => "the receiver did not answer in time".to_owned(),
        Error::HostNotFound => "its host has no address".to_owned(),
        error => visible(&error.to_string()).into_owned(),
    }
}

/// The beginning of an answer, for a message.
fn quoted(answer: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(answer).chars().take(MOST_QUOTED).collect();
    visible(text.trim()).replace(['\n', '\r'], " ")
}
