//! The signature of the upgrade request: SigV4 for the service `ssmmessages`.
//!
//! AWS's own client signs since 1.2.764.0, and AWS states that unsigned upgrades will stop working. The signature
//! covers the headers `host`, `x-amz-date` and, with temporary credentials, `x-amz-security-token`, but none of the
//! WebSocket's own. The tests compare it with signatures of AWS's Go signer (`tests/vectors/upgrade-signing.json`).

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::error::Error;
use super::url::StreamUrl;

/// The signing name of the message gateway.
const SERVICE: &str = "ssmmessages";

/// The headers that sign an upgrade to `url` in `region` at `time`.
///
/// # Errors
/// If the URL or the credentials cannot be written as HTTP headers.
pub fn sign_upgrade(
    url: &StreamUrl,
    region: &str,
    credentials: &Credentials,
    time: SystemTime,
) -> Result<HeaderMap, Error> {
    let failed =
        |cause: &dyn std::fmt::Display| Error::Unsignable { host: url.host().to_owned(), why: cause.to_string() };
    let identity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|cause| failed(&cause))?
        .into();
    let text = url.uri().to_string();
    let request = SignableRequest::new("GET", &text, std::iter::empty(), SignableBody::Bytes(&[]))
        .map_err(|cause| failed(&cause))?;
    let (instructions, _) = sign(request, &parameters).map_err(|cause| failed(&cause))?.into_parts();
    let header = |(name, value): (&str, &str)| {
        let mut value = HeaderValue::from_str(value).map_err(|cause| failed(&cause))?;
        value.set_sensitive(true);
        Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|cause| failed(&cause))?, value))
    };
    instructions.headers().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_signature_is_the_one_of_the_go_signer() {
        let vectors: Vec<Value> = serde_json::from_str(include_str!("../tests/vectors/upgrade-signing.json")).unwrap();
        assert_eq!(vectors.len(), 5);
        for vector in vectors {
            let text = |key: &str| vector[key].as_str().unwrap();
            let token = Some(text("sessionToken")).filter(|token| !token.is_empty()).map(str::to_owned);
            let credentials = Credentials::new(text("accessKeyID"), text("secretAccessKey"), token, None, "test");
            let url = StreamUrl::parse(text("uRL"), None, None).unwrap();
            // 20261123T120000Z, the time of every vector.
            assert_eq!(text("time"), "20261123T120000Z");
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_435_200);
            let headers = sign_upgrade(&url, text("region"), &credentials, time).unwrap();
            for (name, value) in vector["headers"].as_object().unwrap() {
                if name != "Host" {
                    assert_eq!(headers[name.as_str()].to_str().unwrap(), value.as_str().unwrap(), "{}", text("name"));
                }
            }
        }
    }
}
