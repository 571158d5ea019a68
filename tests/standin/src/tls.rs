//! A throw-away certificate authority and a certificate of it for this machine's loopback names, and others.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A certificate, its key and the authority that clients have to trust.
#[derive(Debug)]
pub struct Issued {
    /// The authority's certificate, in PEM.
    pub authority_pem: String,
    /// The certificate, in PEM.
    pub certificate_pem: String,
    /// Its key, in PEM.
    pub key_pem: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

/// A certificate for localhost, 127.0.0.1 and ::1, and for `names`.
///
/// # Errors
/// A name that no certificate can have.
pub fn issue(names: &[String]) -> io::Result<Issued> {
    let authority_key = KeyPair::generate().map_err(io::Error::other)?;
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "standin throw-away authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_pem = authority.self_signed(&authority_key).map_err(io::Error::other)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into_iter().chain(names.iter().cloned());
    let mut params = CertificateParams::new(names.collect::<Vec<_>>()).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "standin");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
    Ok(Issued {
        authority_pem,
        certificate_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        certificate: certificate.der().clone(),
        key: key.serialize_der(),
    })
}

impl Issued {
    /// Accepts TLS with it.
    pub(crate) fn acceptor(self) -> io::Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate], private)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
