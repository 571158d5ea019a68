//! Trust: the root certificates, and the one TLS configuration made of them for the API and for the WebSocket.
//!
//! Certificate files are read when TLS is first needed. This module must not know what is dialled or why.

use std::{
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{Error as PemError, PemObject},
    },
};

use tokio::sync::OnceCell;

use super::any_certificate::AnyCertificate;
use super::error::TrustError;
use super::files;

/// The most that is read of the certificate files of one setting, in bytes: some fifty times as much as the bundle of a
/// Linux distribution has.
const MAX_BYTES: usize = 16 << 20;

/// Where the trusted root certificates come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TrustSource {
    /// The operating system.
    System,
    /// PEM files that a setting names. A folder stands for the files in it.
    Named {
        /// The setting, as the user would look for it: `AWS_CA_BUNDLE`.
        setting: String,
        /// The files and folders.
        paths: Vec<PathBuf>,
    },
    /// Nowhere: no certificate is checked, and every host is trusted.
    Anyone,
}

/// The TLS configuration of all connections.
///
/// To read and parse a Linux distribution's bundle takes about 1 ms. It is done once, and not before something is
/// dialled by TLS. Connections that share the configuration also resume each other's TLS sessions, where the host
/// allows that.
#[derive(Debug)]
pub struct Trust {
    source: TrustSource,
    config: OnceCell<Result<Arc<ClientConfig>, TrustError>>,
}

impl Trust {
    /// Trust in the certificates of `source`, which are not read yet.
    pub fn new(source: TrustSource) -> Self {
        Self { source, config: OnceCell::new() }
    }

    /// The TLS client configuration: this trust, TLS 1.2 and 1.3, no ALPN. The first call reads the certificates, and
    /// later ones give the same result.
    ///
    /// # Errors
    /// If a named file cannot be used, or if the system has no certificates at all.
    pub async fn client_config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let read = || async {
            match &self.source {
                // A file of the user's may be of any kind. The system's are sound, and a thread for them would slow
                // each start.
                TrustSource::System | TrustSource::Anyone => configure(&self.source),
                TrustSource::Named { setting, paths } => {
                    let source = self.source.clone();
                    let read = files::in_time(move || configure(&source)).await;
                    read.unwrap_or_else(|why| Err(unusable(setting, first(paths), &why)))
                }
            }
        };
        self.config.get_or_init(read).await.clone()
    }
}

/// Makes the configuration. Blocks, as it reads files.
fn configure(source: &TrustSource) -> Result<Arc<ClientConfig>, TrustError> {
    // Not `ClientConfig::builder()`: it panics if a dependency ever compiles a second crypto provider in.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| TrustError::Library(error.to_string()))?;
    let builder = match source.roots()? {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider))),
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

impl TrustSource {
    /// The root certificates; `None` if certificates are not to be checked.
    fn roots(&self) -> Result<Option<RootCertStore>, TrustError> {
        match self {
            Self::System => system().map(Some),
            Self::Named { setting, paths } => named(setting, paths).map(Some),
            Self::Anyone => Ok(None),
        }
    }
}

/// The error for a file that the user named and that cannot be used.
fn unusable(setting: &str, path: &Path, why: &dyn Display) -> TrustError {
    TrustError::File { path: path.to_owned(), why: why.to_string(), setting: setting.to_owned() }
}

fn first(paths: &[PathBuf]) -> &Path {
    paths.first().map_or(Path::new(""), PathBuf::as_path)
}

fn named(setting: &str, paths: &[PathBuf]) -> Result<RootCertStore, TrustError> {
    let mut certificates = Vec::new();
    for path in paths {
        let read = match path.is_dir() {
            true => of_folder(path),
            false => files::read(path, MAX_BYTES).and_then(|bytes| parse(&bytes)),
        };
        certificates.extend(read.map_err(|error| unusable(setting, path, &error))?);
    }
    let roots = usable(certificates);
    if roots.is_empty() {
        return Err(unusable(setting, first(paths), &"no certificate in it"));
    }
    Ok(roots)
}

/// The certificates of the files in a folder. Files without certificates are passed over.
fn of_folder(folder: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
    let mut left = MAX_BYTES;
    for file in fs::read_dir(folder)?.flatten() {
        match files::read(&file.path(), left) {
            Ok(bytes) => {
                left = left.saturating_sub(bytes.len());
                certificates.extend(CertificateDer::pem_slice_iter(&bytes).flatten());
            }
            Err(error) => tracing::debug!(path = %file.path().display(), %error, "a file is passed over"),
        }
    }
    // Such folders have each certificate twice: under its name, and under its hash.
    certificates.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    certificates.dedup();
    Ok(certificates)
}

/// The operating system's roots.
fn system() -> Result<RootCertStore, TrustError> {
    roots_of_system(system_bundle(), || rustls_native_certs::load_native_certs().certs)
}

/// The roots in `bundle`, OpenSSL's bundle file, if it can be used; else those that `load` finds. `load` would read the
/// certificate folder as well, which has the same certificates once more, in hundreds of files.
fn roots_of_system(
    bundle: Option<PathBuf>,
    load: impl FnOnce() -> Vec<CertificateDer<'static>>,
) -> Result<RootCertStore, TrustError> {
    let bundle = bundle.and_then(|path| fs::read(path).ok());
    let bundle = bundle.and_then(|bytes| parse(&bytes).ok()).map(usable).filter(|roots| !roots.is_empty());
    let roots = bundle.unwrap_or_else(|| usable(load()));
    if roots.is_empty() {
        return Err(TrustError::NoRoots);
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

/// The certificates in a PEM text. Other sections are passed over.
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

/// The certificates that rustls can use. One that it cannot does not spoil a bundle.
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
    use crate::test_support::Folder;

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
        Trust::new(TrustSource::Named { setting: "AWS_CA_BUNDLE".to_owned(), paths: vec![path.to_owned()] })
    }

    fn count(trust: &Trust) -> usize {
        trust.source.roots().unwrap().unwrap().len()
    }

    #[tokio::test]
    async fn a_named_bundle_is_read_whole() {
        let folder = Folder::new();
        let path = folder.write("ca.pem", &format!("# two of them\n{FIRST}\nin between\n{SECOND}"));
        let trust = trust(&path);
        assert!(trust.client_config().await.is_ok());
        assert_eq!(count(&trust), 2);
    }

    #[test]
    fn a_folder_is_read_file_by_file() {
        let folder = Folder::new();
        folder.write("a.pem", FIRST);
        let path = folder.write("b.pem", SECOND);
        folder.write("0123abcd.0", FIRST);
        folder.write("README", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
        std::fs::create_dir(folder.path("folder")).unwrap();
        assert_eq!(count(&trust(path.parent().unwrap())), 2);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_fifo_is_no_bundle_and_holds_nothing_up() {
        let folder = Folder::new();
        let path = folder.write("a.pem", FIRST);
        let fifo = folder.path("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let error = trust(&fifo).client_config().await.unwrap_err();
        assert_eq!(error.to_string(), format!("the CA file {} cannot be used: it is no regular file", fifo.display()));
        assert_eq!(count(&trust(path.parent().unwrap())), 1, "in a folder it is passed over");
    }

    #[test]
    fn one_odd_certificate_is_passed_over() {
        let folder = Folder::new();
        let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let path = folder.write("ca.pem", &format!("{odd}{FIRST}"));
        assert_eq!(count(&trust(&path)), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
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
            let error = trust(&path).client_config().await.unwrap_err();
            let TrustError::File { path: named, why: said, setting } = error else { panic!("{error:?}") };
            assert_eq!((named, said.as_str(), setting.as_str()), (path, why, "AWS_CA_BUNDLE"), "{text:?}");
        }
        let missing = folder.path("missing.pem");
        let error = trust(&missing).client_config().await.unwrap_err();
        let why = fs::read(&missing).unwrap_err();
        assert_eq!(error.to_string(), format!("the CA file {} cannot be used: {why}", missing.display()));
    }

    #[test]
    fn the_bundle_of_the_system_is_read_alone() {
        let folder = Folder::new();
        let bundle = folder.write("ca-certificates.crt", FIRST);
        let roots = roots_of_system(Some(bundle), || panic!("the folder of certificates was read too")).unwrap();
        assert_eq!(roots.len(), 1);
    }

    #[test]
    fn a_system_without_a_usable_bundle_has_its_roots_elsewhere() {
        let folder = Folder::new();
        let elsewhere = || parse(format!("{FIRST}{SECOND}").as_bytes()).unwrap();
        for bundle in [None, Some(folder.path("missing.crt")), Some(folder.write("empty.crt", ""))] {
            assert_eq!(roots_of_system(bundle.clone(), elsewhere).unwrap().len(), 2, "{bundle:?}");
        }
    }

    #[test]
    fn a_system_without_roots_is_an_error() {
        let error = roots_of_system(None, Vec::new).unwrap_err();
        assert_eq!(error, TrustError::NoRoots);
    }
}
