//! TLS towards receivers: the system's authorities or given ones, and this side's own certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::kind::Options;
use crate::shell::failure::Failure;

/// The certificates that a connection to a receiver trusts and shows, in DER.
#[derive(Debug, Default)]
pub struct Identities {
    /// Authorities.
    pub roots: Vec<CertificateDer<'static>>,
    /// This side's certificate with its chain, and the file of its key.
    pub own: Option<(Vec<CertificateDer<'static>>, PathBuf)>,
}

impl Identities {
    /// Reads the files of the options. Fails with status 66 where one is missing, 65 where it is no PEM, 64
    /// where a certificate is given without its key.
    pub fn of(options: &Options) -> Result<Self, Failure> {
        let roots = match &options.ca {
            Some(path) => certificates(path)?,
            None => of_system()?,
        };
        let own = match (&options.cert, &options.key) {
            (None, None) => None,
            (Some(cert), key) => {
                // A file may hold both.
                let key = key.as_ref().unwrap_or(cert);
                PrivateKeyDer::from_pem_file(key).map_err(|error| problem(key, "private key", error))?;
                Some((certificates(cert)?, key.clone()))
            }
            (None, Some(_)) => {
                return Err(Failure::usage("the option 'key' is given without 'cert'; give cert=FILE too"));
            }
        };
        Ok(Self { roots, own })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) })
        .map_err(|error| problem(path, "certificate", error))
}

fn problem(path: &Path, what: &str, error: pem::Error) -> Failure {
    let path = path.display();
    match error {
        pem::Error::Io(error) => {
            Failure::missing(format!("cannot read the {what} '{path}': {error}; give the path of a PEM file"))
        }
        error => Failure::malformed(format!("'{path}' holds no {what}: {error}; give a PEM file")),
    }
}

/// The system's authorities (SSL_CERT_FILE, SSL_CERT_DIR, or where distributions keep them).
fn of_system() -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(Failure::missing(
            "this system has no certificates of authorities; install ca-certificates, or give the option ca=FILE",
        ));
    }
    Ok(found.certs)
}

/// The TLS side of an HTTP client. The files are read only where the URL is one of https.
pub fn config(options: &Options, is_https: bool) -> Result<TlsConfig, Failure> {
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    if !is_https {
        return Ok(builder.build());
    }
    let Identities { roots, own } = Identities::of(options)?;
    let owned = |der: &CertificateDer<'static>| Certificate::from_der(der.as_ref()).to_owned();
    let roots: Vec<Certificate<'static>> = roots.iter().map(owned).collect();
    let own = match own {
        None => None,
        Some((chain, path)) => {
            let chain: Vec<Certificate<'static>> = chain.iter().map(owned).collect();
            let text =
                std::fs::read(&path).map_err(|error| problem(&path, "private key", pem::Error::Io(error)))?;
            // It has been read once before.
            let key = PrivateKey::from_pem(&text).map_err(|error| {
                Failure::malformed(format!(
                    "'{}' holds no private key: {error}; give a PEM file",
                    path.display()
                ))
            })?;
            Some(ClientCert::new_with_certs(&chain, key))
        }
    };
    Ok(builder.root_certs(RootCerts::Specific(Arc::new(roots))).client_cert(own).build())
}
