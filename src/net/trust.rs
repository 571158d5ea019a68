//! Whom TLS trusts: one configuration for the API and for the WebSocket, made when first needed.
//!
//! It reads certificate files. It must not know what is dialled or why.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{Error as PemError, PemObject},
    },
};

use super::any_certificate::AnyCertificate;
use crate::error::{Error, ExitStatus};

/// Whom to trust.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// What the operating system trusts.
    System,
    /// PEM files that the user named instead, and by which setting. A folder stands for the files in it.
    Named {
        /// The setting, as the user would look for it: `AWS_CA_BUNDLE`.
        setting: String,
        /// The files and folders.
        paths: Vec<PathBuf>,
    },
    /// Whoever answers: the user wants no certificate checked.
    Anyone,
}

/// The TLS configuration of all connections.
///
/// Reading and parsing the roots takes about 1 ms for a Linux distribution's bundle, so it happens once and not before
/// something is dialled by TLS. One configuration also means that a host's sessions are resumed, where it allows that.
#[derive(Debug)]
pub struct Trust {
    source: Source,
    config: OnceLock<Result<Arc<ClientConfig>, Error>>,
}

impl Trust {
    /// Trust in what `source` holds, which is not read yet.
    pub fn new(source: Source) -> Self {
        Self { source, config: OnceLock::new() }
    }

    /// The TLS client configuration: this trust, TLS 1.2 and 1.3, and no ALPN.
    ///
    /// # Errors
    /// Status 78 with the file's name if the user named certificates that cannot be used; 78 too if the system has
    /// none at all.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, Error> {
        self.config.get_or_init(|| configure(&self.source)).clone()
    }
}

fn configure(source: &Source) -> Result<Arc<ClientConfig>, Error> {
    // Not `ClientConfig::builder()`: it panics if a dependency ever compiles a second crypto provider in.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| {
        Error::new(ExitStatus::Config, format!("TLS cannot be set up: {error}"), "report this as a bug")
    })?;
    let builder = match source.roots()? {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider))),
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

impl Source {
    /// The certificate authorities; none if certificates are not to be checked.
    fn roots(&self) -> Result<Option<RootCertStore>, Error> {
        match self {
            Self::System => system().map(Some),
            Self::Named { setting, paths } => named(setting, paths).map(Some),
            Self::Anyone => Ok(None),
        }
    }
}

fn named(setting: &str, paths: &[PathBuf]) -> Result<RootCertStore, Error> {
    let unusable = |path: &Path, why: &dyn std::fmt::Display| {
        Error::new(
            ExitStatus::Config,
            format!("the CA file {} cannot be used: {why}", path.display()),
            format!("name a PEM file with the certificates to trust by {setting}, or leave that out"),
        )
    };
    let mut certificates = Vec::new();
    for path in paths {
        if path.is_dir() {
            certificates.extend(rustls_native_certs::load_certs_from_paths(None, Some(path)).certs);
        } else {
            let bytes = fs::read(path).map_err(|error| unusable(path, &error))?;
            certificates.extend(parse(&bytes).map_err(|error| unusable(path, &error))?);
        }
    }
    let roots = usable(certificates);
    if roots.is_empty() {
        let path = paths.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
        return Err(unusable(path, &"no certificate in it"));
    }
    Ok(roots)
}

/// The operating system's roots. Where OpenSSL's bundle file is found, it alone is read: the certificate folder beside
/// it holds the same certificates once more, in hundreds of files.
fn system() -> Result<RootCertStore, Error> {
    let bundle = system_bundle().and_then(|path| fs::read(path).ok());
    let bundle = bundle.and_then(|bytes| parse(&bytes).ok()).map(usable).filter(|roots| !roots.is_empty());
    let roots = bundle.unwrap_or_else(|| usable(rustls_native_certs::load_native_certs().certs));
    if roots.is_empty() {
        return Err(Error::new(
            ExitStatus::Config,
            "this machine has no root certificates",
            "install the package ca-certificates, or name a PEM file by --ca-bundle or AWS_CA_BUNDLE",
        ));
    }
    Ok(roots)
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn system_bundle() -> Option<PathBuf> {
    openssl_probe::probe().cert_file
}

#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn system_bundle() -> Option<PathBuf> {
    None
}

/// The certificates of a PEM text; what else it holds is passed over.
fn parse(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, io::Error> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, PemError>>().map_err(|error| {
        let why = match error {
            PemError::MissingSectionEnd { .. } => "a PEM section has no end",
            PemError::IllegalSectionStart { .. } => "a PEM section has a malformed start",
            PemError::Base64Decode(_) => "a PEM section is not base64",
            _ => "malformed PEM",
        };
        io::Error::other(why)
    })
}

/// Those of `certificates` that can be used; one odd certificate does not spoil a bundle.
fn usable(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(%error, "a root certificate is passed over");
        }
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::test_support::Folder;

    const FIRST: &str = "\
-----BEGIN CERTIFICATE-----
MIIBgDCCASWgAwIBAgIUEZPB2anL7PTpCs5vamI0Rxz9kBMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJdGVzdCBDQSAxMCAXDTI2MTEyMzE4MDgxOFoYDzIxMjYxMDMw
MTgwODE4WjAUMRIwEAYDVQQDDAl0ZXN0IENBIDEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARIKnmhd7WAylip4KdrCAsE1B92lW+AiDCrEm6eilH7yKWn/oP4uvb0
52r3VeUkQh8Dq55W25CMKRJ+kpihiGVvo1MwUTAdBgNVHQ4EFgQURuIzQRNlgG3y
OvXjHIX1gb5NqXgwHwYDVR0jBBgwFoAURuIzQRNlgG3yOvXjHIX1gb5NqXgwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAw41A9nDQcs2UTmlhUfPb
Jrfqpsi26KO0XGLJrBeZQFgCIQCACUi3NVPoOsi+DWbfaqSLb+NbcvYANEezn4Yh
HTEyeQ==
-----END CERTIFICATE-----
";
    const SECOND: &str = "\
-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUAriuBBEM2E0An/VPv30KPm32FIowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJdGVzdCBDQSAyMCAXDTI2MTEyMzE4MDgxOFoYDzIxMjYxMDMw
MTgwODE4WjAUMRIwEAYDVQQDDAl0ZXN0IENBIDIwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQ7cUUr5eHecG/Ny9HDsGDeg4MzMQs423MbHttJxjw+D7FAwRApYUiy
kDK6miMa9fKh8iLek4G+iUUcOJ+pdeYzo1MwUTAdBgNVHQ4EFgQUXY+mzAN4b0FQ
8Rl1kqwf8Kdpzv8wHwYDVR0jBBgwFoAUXY+mzAN4b0FQ8Rl1kqwf8Kdpzv8wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA+zl9upSXsEOBR8GRvVgk
9sXaE/akFQ5yYvr/x6VD8DoCIElJtlHJ8pljA25n8Pkm+tq1qeJ6o60IP6F6j1Ax
joH2
-----END CERTIFICATE-----
";

    fn trust(path: &Path) -> Trust {
        Trust::new(Source::Named { setting: "AWS_CA_BUNDLE".to_owned(), paths: vec![path.to_owned()] })
    }

    fn count(trust: &Trust) -> usize {
        trust.source.roots().unwrap().unwrap().len()
    }

    #[test]
    fn a_named_bundle_is_read_whole() {
        let folder = Folder::new();
        let path = folder.write("ca.pem", &format!("# two of them\n{FIRST}\nin between\n{SECOND}"));
        let trust = trust(&path);
        assert!(trust.client_config().is_ok());
        assert_eq!(count(&trust), 2);
    }

    #[test]
    fn a_folder_is_read_file_by_file() {
        let folder = Folder::new();
        folder.write("a.pem", FIRST);
        let path = folder.write("b.pem", SECOND);
        assert_eq!(count(&trust(path.parent().unwrap())), 2);
    }

    #[test]
    fn one_odd_certificate_is_passed_over() {
        let folder = Folder::new();
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let path = folder.write("ca.pem", &format!("{odd}{FIRST}"));
        assert_eq!(count(&trust(&path)), 1);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = Folder::new();
        for (text, why) in [
            ("", "no certificate in it"),
            ("no PEM here", "no certificate in it"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate in it"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate in it"),
            ("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "a PEM section is not base64"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "a PEM section has no end"),
        ] {
            let path = folder.write("ca.pem", text);
            let error = trust(&path).client_config().unwrap_err();
            assert_eq!(error.status, ExitStatus::Config);
            assert_eq!(error.message, format!("the CA file {} cannot be used: {why}", path.display()), "{text:?}");
            assert!(error.hint.contains("AWS_CA_BUNDLE"), "{error:?}");
        }
        let missing = folder.path("missing.pem");
        let error = trust(&missing).client_config().unwrap_err();
        assert!(error.message.contains("missing.pem cannot be used: "), "{error:?}");
    }

    #[test]
    fn the_system_has_roots() {
        if system_bundle().is_some() {
            assert!(Trust::new(Source::System).client_config().is_ok());
        }
    }
}
