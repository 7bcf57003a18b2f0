//! The webhook's certificate and key, read again when their files change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::shell::failure::{Failure, say};

/// The identity and the time of both files, from their metadata: they differ after a change.
type Stamp = [Option<(u64, u64, i64, i64)>; 2];

/// A certificate with its key.
pub struct Identity {
    cert: PathBuf,
    key: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    stamp: Stamp,
    /// The state of the files that could not be used and was reported.
    refused: Option<Stamp>,
}

impl Identity {
    /// Reads the files.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, Failure> {
        let stamp = stamp(cert, key);
        let current = Current { config: read(cert, key)?, stamp, refused: None };
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current: Mutex::new(current) })
    }

    /// The configuration for a connection that begins now. Files that changed and cannot be used leave the
    /// former ones in use: they may be in the middle of being replaced.
    pub fn config(&self) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.cert, &self.key);
        if stamp != current.stamp {
            match read(&self.cert, &self.key) {
                Ok(config) => {
                    say(&format!("read the certificate '{}' again", self.cert.display()));
                    *current = Current { config, stamp, refused: None };
                }
                Err(failure) if current.refused != Some(stamp) => {
                    say(&format!("{failure}; goes on with the one before"));
                    current.refused = Some(stamp);
                }
                Err(_) => {}
            }
        }
        Arc::clone(&current.config)
    }
}

/// Follows links: Kubernetes replaces a secret by changing a link.
fn stamp(cert: &Path, key: &Path) -> Stamp {
    [cert, key].map(|path| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    })
}

fn read(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Failure> {
    let problem = |path: &Path, what: &str, error: pem::Error| match error {
        pem::Error::Io(error) => Failure::missing(format!(
            "cannot read the {what} '{}': {error}; give the path of a PEM file",
            path.display()
        )),
        error => {
            Failure::malformed(format!("'{}' holds no {what}: {error}; give a PEM file", path.display()))
        }
    };
    let certificates = CertificateDer::pem_file_iter(cert)
        .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
        .and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) })
        .map_err(|error| problem(cert, "certificate", error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| problem(key, "private key", error))?;
    let unusable = |error: rustls::Error| {
        let (cert, key) = (cert.display(), key.display());
        Failure::malformed(format!(
            "cannot use '{cert}' with the key '{key}': {error}; give a pair that belongs together"
        ))
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, private))
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
