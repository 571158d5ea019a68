//! The least that a client does before StartSession: trust, TCP, TLS, one request.

use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

/// About what a signed StartSession takes, in bytes.
const HEADERS: usize = 700;

/// Asks the endpoint of the environment, with the authorities of the environment, and waits for the answer.
pub(crate) fn run() -> Result<()> {
    let variable = |name: &str| std::env::var(name).map_err(Error::other);
    let endpoint = variable("AWS_ENDPOINT_URL_SSM")?;
    let address = endpoint.trim_start_matches("https://");
    let mut roots = RootCertStore::empty();
    let bundle = CertificateDer::pem_file_iter(variable("AWS_CA_BUNDLE")?).map_err(Error::other)?;
    roots.add_parsable_certificates(bundle.flatten());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = address.split(':').next().unwrap_or_default();
    let name = ServerName::try_from(host.to_owned()).map_err(Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(Error::other)?;
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut stream = Stream::new(&mut connection, &mut socket);
    let filler = "x".repeat(HEADERS);
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: {address}\r\nx-amz-target: AmazonSSM.StartSession\r\nx-filler: {filler}\r\n\
         content-length: 2\r\n\r\n{{}}"
    )?;
    stream.flush()?;
    stream.read(&mut [0; 1024]).map(drop)
}
