//! The stream URL: the address of a session's WebSocket, checked for a host that may have the session's token.
//!
//! The query is opaque, and is kept as it is: `cell-number` has `+` and `/` in its value, and the value changes when
//! the service moves the channel.

use std::fmt;

use http::Uri;

use super::error::UrlError;
use ssm_net::Address;

/// The DNS suffixes of AWS's partitions, as AWS's SDKs list them.
const AWS_SUFFIXES: [&str; 14] = [
    "amazonaws.com",
    "api.aws",
    "amazonaws.com.cn",
    "api.amazonwebservices.com.cn",
    "amazonaws.eu",
    "api.amazonwebservices.eu",
    "c2s.ic.gov",
    "api.aws.ic.gov",
    "sc2s.sgov.gov",
    "api.aws.scloud",
    "cloud.adc-e.uk",
    "api.cloud-aws.adc-e.uk",
    "csp.hci.ic.gov",
    "api.aws.hci.ic.gov",
];

/// The query parameters of a URL that the service has signed itself. Such a URL is dialled as it is, once.
const SIGNATURE_PARAMETERS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
];

/// The URL of a session's WebSocket. `Display` and `Debug` leave out its query and any password before its host.
#[derive(Clone, Eq, PartialEq)]
pub struct StreamUrl {
    uri: Uri,
}

impl StreamUrl {
    /// Checks `text`, the URL that StartSession or ResumeSession gave.
    ///
    /// `api` is the endpoint that the user has set for the API, if there is one: the stream may then be on any host,
    /// and if the endpoint is an `http://` URL, the stream may be a `ws://` URL. `stream` is a URL of the user's, if
    /// there is one: its scheme, host and port take the place of the service's.
    ///
    /// # Errors
    /// If `text` is no URL of a WebSocket, if the stream would be unencrypted, or if its host is not AWS's.
    pub fn parse(text: &str, api: Option<&str>, stream: Option<&str>) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError::Unusable)?;
        if let Some(stream) = stream {
            return redirect(uri, stream).map(|uri| Self { uri }).ok_or(UrlError::Unusable);
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(UrlError::Unusable)?;
        let plain_endpoint = api.is_some_and(|endpoint| endpoint.starts_with("http://"));
        match uri.scheme_str() {
            Some("wss") => {}
            Some("ws") if plain_endpoint => {}
            Some("ws") => return Err(UrlError::Unencrypted(host.to_owned())),
            _ => return Err(UrlError::Unusable),
        }
        if api.is_none() && !is_aws(host) {
            return Err(UrlError::Stranger(host.to_owned()));
        }
        Ok(Self { uri })
    }

    /// Whether the scheme is `wss`: the connection needs TLS.
    pub fn is_encrypted(&self) -> bool {
        self.uri.scheme_str() == Some("wss")
    }

    /// The host to connect to; IPv6 addresses without brackets.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The TCP port to connect to.
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }

    /// Whether the service has signed the URL itself. Such a URL needs no other signature, and is good for one dial.
    pub fn is_presigned(&self) -> bool {
        let query = self.uri.query().unwrap_or_default();
        query.split('&').filter_map(|pair| pair.split('=').next()).any(|name| SIGNATURE_PARAMETERS.contains(&name))
    }

    /// The address to connect to.
    pub fn address(&self) -> Address {
        Address { host: self.host().to_owned(), port: self.port(), encrypted: self.is_encrypted() }
    }

    /// The whole URL, to dial and to sign. It must not be shown.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl fmt::Display for StreamUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let authority = authority.rsplit('@').next().unwrap_or_default();
        write!(formatter, "{scheme}://{authority}{}", self.uri.path())
    }
}

impl fmt::Debug for StreamUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// `uri` with the scheme, host and port of `endpoint`.
fn redirect(uri: Uri, endpoint: &str) -> Option<Uri> {
    let endpoint: Uri = endpoint.parse().ok()?;
    let scheme = if endpoint.scheme_str() == Some("https") { "wss" } else { "ws" };
    let builder = Uri::builder().scheme(scheme).authority(endpoint.authority()?.clone());
    builder.path_and_query(uri.path_and_query()?.clone()).build().ok()
}

/// Whether a host is the message gateway, `ssmmessages.REGION.SUFFIX` with `-fips` or without, or an interface endpoint
/// of it below such a name. Other names below AWS's suffixes may belong to any customer.
fn is_aws(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    AWS_SUFFIXES.iter().any(|suffix| {
        let rest = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
        rest.is_some_and(|rest| is_gateway(rest.strip_suffix(".vpce").unwrap_or(rest)))
    })
}

/// Whether a name ends in `ssmmessages.REGION` or `ssmmessages-fips.REGION`.
fn is_gateway(name: &str) -> bool {
    let mut labels = name.rsplit('.');
    let region = labels.next().unwrap_or_default();
    // All regions of all partitions have this shape, and no service's name has.
    let is_region = region.split('-').count() > 2 && region.ends_with(|last: char| last.is_ascii_digit());
    is_region && matches!(labels.next(), Some("ssmmessages" | "ssmmessages-fips"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/v1/data-channel/s-1?role=publish_subscribe&cell-number=AAE+k/N0==";

    fn parse(scheme_and_host: &str, endpoint_override: Option<&str>) -> Result<StreamUrl, UrlError> {
        StreamUrl::parse(&format!("{scheme_and_host}{PATH}"), endpoint_override, None)
    }

    #[test]
    fn hosts_of_aws_are_dialled() {
        for host in [
            "ssmmessages.eu-west-1.amazonaws.com",
            "ssmmessages-fips.us-gov-west-1.amazonaws.com",
            "vpce-0abc-1234.ssmmessages.us-east-1.vpce.amazonaws.com",
            "ssmmessages.cn-north-1.amazonaws.com.cn",
            "ssmmessages.eu-west-1.api.aws",
            "ssmmessages-fips.us-east-1.api.aws",
            "ssmmessages.cn-northwest-1.api.amazonwebservices.com.cn",
            "vpce-0abc-1234-cn-north-1a.ssmmessages.cn-north-1.vpce.amazonaws.com.cn",
            "ssmmessages.us-gov-west-1.amazonaws.com",
            "ssmmessages.us-iso-east-1.c2s.ic.gov",
            "ssmmessages.us-iso-east-1.api.aws.ic.gov",
            "ssmmessages.us-isob-east-1.sc2s.sgov.gov",
            "ssmmessages.us-isob-east-1.api.aws.scloud",
            "ssmmessages.eu-isoe-west-1.cloud.adc-e.uk",
            "ssmmessages.eu-isoe-west-1.api.cloud-aws.adc-e.uk",
            "ssmmessages.us-isof-south-1.csp.hci.ic.gov",
            "ssmmessages.us-isof-south-1.api.aws.hci.ic.gov",
            "ssmmessages.eusc-de-east-1.amazonaws.eu",
            "ssmmessages.eusc-de-east-1.api.amazonwebservices.eu",
            "ssmmessages.eu-west-1.amazonaws.com.",
            "SSMMESSAGES.EU-WEST-1.AMAZONAWS.COM",
        ] {
            assert!(parse(&format!("wss://{host}"), None).is_ok(), "{host}");
        }
    }

    #[test]
    fn the_token_does_not_go_to_a_stranger() {
        for host in [
            "ssmmessages.example.com",
            "amazonaws.com",
            "evilamazonaws.com",
            "ssmmessages.eu-west-1.amazonaws.com.evil.example",
            "127.0.0.1",
            "[::1]",
            "ssmmessages.amazonaws.com@evil.example",
            "ssmmessages.eu-west-1.amazonaws.org",
            "ssmmessages.amazonaws.com",
            "ssmmessages..amazonaws.com",
            "eu-west-1.amazonaws.com",
            "evil.eu-west-1.amazonaws.com",
            "evilssmmessages.eu-west-1.amazonaws.com",
            "ssmmessages.s3.amazonaws.com",
            "ssmmessages.s3.eu-west-1.amazonaws.com",
            "evil.execute-api.eu-west-1.amazonaws.com",
            "ssmmessages.evil.execute-api.eu-west-1.amazonaws.com",
            "evil.s3.eu-west-1.vpce.amazonaws.com",
            "ssmmessages.eu-west-1.evil.vpce.amazonaws.com",
            "ssmmessages.eu-west-1.cloud.adc-e.uk.example",
        ] {
            assert!(parse(&format!("wss://{host}"), None).is_err(), "{host}");
        }
        assert!(parse("wss://gateway.example", Some("https://api.example")).is_ok());
    }

    #[test]
    fn an_unencrypted_stream_needs_an_unencrypted_endpoint() {
        assert!(parse("ws://ssmmessages.eu-west-1.amazonaws.com", None).is_err());
        assert!(parse("ws://127.0.0.1:80", Some("https://127.0.0.1")).is_err());
        assert!(parse("ws://127.0.0.1:80", Some("http://127.0.0.1")).is_ok());
        assert!(parse("https://ssmmessages.eu-west-1.amazonaws.com", None).is_err());
        assert!(StreamUrl::parse("", None, None).is_err());
    }

    #[test]
    fn host_port_and_query_are_read_and_the_query_is_not_shown() {
        let url = parse("wss://[::1]:8443", Some("https://x")).unwrap();
        assert_eq!((url.host(), url.port()), ("::1", 8443));
        assert_eq!(url.to_string(), "wss://[::1]:8443/v1/data-channel/s-1");
        assert_eq!(url.uri().query(), Some("role=publish_subscribe&cell-number=AAE+k/N0=="));
        assert_eq!(parse("wss://ssmmessages.eu-west-1.amazonaws.com", None).unwrap().port(), 443);
        assert_eq!(parse("ws://a", Some("http://x")).unwrap().port(), 80);
    }

    #[test]
    fn a_password_before_the_host_is_not_shown() {
        let url = parse("wss://me:secret@gateway.example:8443", Some("https://x")).unwrap();
        assert_eq!((url.host(), url.port()), ("gateway.example", 8443));
        assert_eq!(format!("{url} {url:?}"), ["wss://gateway.example:8443/v1/data-channel/s-1"; 2].join(" "));
    }

    #[test]
    fn a_presigned_url_is_seen_as_such() {
        assert!(!parse("wss://ssmmessages.eu-west-1.amazonaws.com", None).unwrap().is_presigned());
        for name in SIGNATURE_PARAMETERS {
            let url = format!("wss://ssmmessages.eu-west-1.amazonaws.com/v1?role=x&{name}=y");
            assert!(StreamUrl::parse(&url, None, None).unwrap().is_presigned(), "{name}");
        }
    }
}
