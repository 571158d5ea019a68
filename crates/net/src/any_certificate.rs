//! A verifier that accepts every certificate, of any issuer and for any name: TLS without authentication.
//!
//! TLS without this check keeps out eavesdroppers alone: a host that answers in AWS's place reads everything, the
//! session's token included. The signature of the handshake is still checked: the peer must hold the key of the
//! certificate that it shows. [`Trust`](super::Trust) alone may use this module, and only for a user who has asked for
//! it.

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// A verifier that accepts every certificate.
#[derive(Debug)]
pub(super) struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl AnyCertificate {
    /// A verifier that checks the handshake's signatures with the algorithms of `provider`.
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::{
        ClientConfig, ClientConnection, ServerConfig, ServerConnection,
        crypto::ring,
        pki_types::{PrivateKeyDer, pem::PemObject},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
        version::{TLS12, TLS13},
    };

    use super::*;

    /// Signed by itself, for another name.
    const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhTCCASugAwIBAgIUNeLpngy0UyNPSd3u20uLtel2GaYwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMYW5vdGhlciBuYW1lMCAXDTI2MTEyNDAwMzk0MloYDzIxMjYx
MDMxMDAzOTQyWjAXMRUwEwYDVQQDDAxhbm90aGVyIG5hbWUwWTATBgcqhkjOPQIB
BggqhkjOPQMBBwNCAATbHrrUV9ol0pZ031uSyRpAwsGF+Qx32Yha5FoKeNlfFPZW
fH5fZWSvp9TOGNrhU5mAnCaNQKIOBqS2ff2bCzHUo1MwUTAdBgNVHQ4EFgQUezSB
PhALPpd/UwkUE5OcJuArnDkwHwYDVR0jBBgwFoAUezSBPhALPpd/UwkUE5OcJuAr
nDkwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAz0LA5OMNr3HP
9HkA9t+0o/2xpomiZUFt8wz1m9g8gBACIFWTkPnLIgTGj+J1zBAPEPDWOaB2QOQT
CuQmXXBQZaSu
-----END CERTIFICATE-----
";
    /// The key of [`CERTIFICATE`].
    const ITS_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWsfj8fGu8EVvB9Cx
pFusLoW5ODsSdi8GSvgHjbotgSKhRANCAATbHrrUV9ol0pZ031uSyRpAwsGF+Qx3
2Yha5FoKeNlfFPZWfH5fZWSvp9TOGNrhU5mAnCaNQKIOBqS2ff2bCzHU
-----END PRIVATE KEY-----
";
    /// A key that has nothing to do with it.
    const ANOTHER_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJI67uaeCkZsj67qY
FpAmgL7Jv5axbkN9nKvHKYIZgdWhRANCAATBy9q81PrOGxh58wT+HMTKb09XS9hU
iK1VdCZqEcEtxyoIGK1lhb2QN8bJo1rhqLfaGAKCflOQPrwI7yBEgk61
-----END PRIVATE KEY-----
";

    /// Shows the certificate, and signs with some key.
    #[derive(Debug)]
    struct Peer(Arc<CertifiedKey>);

    impl Peer {
        fn new(key: &str) -> Self {
            let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let key = ring::sign::any_ecdsa_type(&key).unwrap();
            Self(Arc::new(CertifiedKey::new(vec![certificate], key)))
        }
    }

    impl ResolvesServerCert for Peer {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    /// A handshake with a peer that has this key.
    fn handshake(key: &str, version: &'static rustls::SupportedProtocolVersion) -> Result<(), Error> {
        let provider = Arc::new(ring::default_provider());
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version])?;
        let verifier = Arc::new(AnyCertificate::new(Arc::clone(&provider)));
        let client = client.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version])?;
        let server = server.with_no_client_auth().with_cert_resolver(Arc::new(Peer::new(key)));
        let mut client = ClientConnection::new(Arc::new(client), "ssm.example".try_into().unwrap())?;
        let mut server = ServerConnection::new(Arc::new(server))?;
        while client.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut io::Cursor::new(wire)).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut io::Cursor::new(wire)).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn a_stranger_is_taken_but_must_hold_its_key() {
        for version in [&TLS12, &TLS13] {
            assert_eq!(handshake(ITS_KEY, version), Ok(()));
            assert!(matches!(handshake(ANOTHER_KEY, version), Err(Error::InvalidCertificate(_))), "{version:?}");
        }
    }
}
