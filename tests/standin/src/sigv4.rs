//! AWS Signature Version 4: is this request signed by the one pair of keys that is known here?
//!
//! It sees a request as strings and bytes, and a time; it knows no HTTP library, no session and no socket. The
//! canonical query reads a raw `+` as a space, as the service does (protocol §2).

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// How far `x-amz-date` may be from the clock, seconds.
pub const MAX_SKEW_SECONDS: i64 = 300;

/// The only identity that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Session token; when there is one it must be sent and signed.
    pub session_token: Option<String>,
}

/// What is signed, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path, as sent.
    pub path: &'a str,
    /// Query without the question mark, as sent.
    pub query: &'a str,
    /// Header names in lower case and their values.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: &'a [u8],
}

/// Why a signature is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No `Authorization` header.
    Unsigned,
    /// The `Authorization` header or `x-amz-date` cannot be read.
    Malformed,
    /// An access key id that is not known.
    UnknownKey,
    /// Another date, region or service in the credential's scope.
    Scope,
    /// `x-amz-date` is more than five minutes away.
    Stale,
    /// `host`, `x-amz-date` or `x-amz-security-token` is not among the signed headers.
    UnsignedHeader,
    /// The session token is missing or not the known one.
    Token,
    /// The signature does not match.
    Mismatch,
}

/// An accepted signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The names in `SignedHeaders`.
    pub signed_headers: Vec<String>,
}

/// Checks the signature of `request` for `service` in `region` at `now` (seconds since the Unix epoch).
///
/// # Errors
/// The first thing that is wrong, see [`Refusal`].
pub fn verify(
    request: &Request<'_>,
    credentials: &Credentials,
    region: &str,
    service: &str,
    now: i64,
) -> Result<Accepted, Refusal> {
    let authorization = header(request, "authorization").ok_or(Refusal::Unsigned)?;
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256").ok_or(Refusal::Malformed)?;
    let find = |key: &str| fields.split(',').find_map(|f| f.trim().strip_prefix(key)).ok_or(Refusal::Malformed);
    let (credential, signed, signature) = (find("Credential=")?, find("SignedHeaders=")?, find("Signature=")?);
    let (key_id, scope) = credential.split_once('/').ok_or(Refusal::Malformed)?;
    if key_id != credentials.access_key_id {
        return Err(Refusal::UnknownKey);
    }
    let date = header(request, "x-amz-date").ok_or(Refusal::Malformed)?;
    let day = date.get(..8).ok_or(Refusal::Malformed)?;
    if scope != format!("{day}/{region}/{service}/aws4_request") {
        return Err(Refusal::Scope);
    }
    if (seconds(&date).ok_or(Refusal::Malformed)? - now).abs() > MAX_SKEW_SECONDS {
        return Err(Refusal::Stale);
    }
    let signed_headers: Vec<String> = signed.split(';').map(str::to_owned).collect();
    let token = header(request, "x-amz-security-token");
    if token != credentials.session_token {
        return Err(Refusal::Token);
    }
    let mut needed = vec!["host", "x-amz-date"];
    if token.is_some() {
        needed.push("x-amz-security-token");
    }
    if needed.iter().any(|name| !signed_headers.iter().any(|s| s == name)) {
        return Err(Refusal::UnsignedHeader);
    }
    let canonical = canonical_request(request, &signed_headers).ok_or(Refusal::Mismatch)?;
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let mut key = format!("AWS4{}", credentials.secret_access_key).into_bytes();
    for part in [day, region, service, "aws4_request"] {
        key = mac(&key, part.as_bytes());
    }
    if hex::encode(mac(&key, to_sign.as_bytes())) == signature {
        Ok(Accepted { signed_headers })
    } else {
        Err(Refusal::Mismatch)
    }
}

fn header(request: &Request<'_>, name: &str) -> Option<String> {
    let values: Vec<String> =
        request.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| collapse_spaces(v)).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn collapse_spaces(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn canonical_request(request: &Request<'_>, signed: &[String]) -> Option<String> {
    let path = if request.path.is_empty() { "/".into() } else { encode(request.path.as_bytes(), true) };
    let mut pairs: Vec<(String, String)> = request
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode(&decode(name), false), encode(&decode(value), false))
        })
        .collect();
    pairs.sort();
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in signed {
        headers.push_str(&format!("{name}:{}\n", header(request, name)?));
    }
    let body = hex::encode(Sha256::digest(request.body));
    Some(format!("{}\n{path}\n{}\n{headers}\n{}\n{body}", request.method, query.join("&"), signed.join(";")))
}

fn encode(bytes: &[u8], keep_slash: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || (keep_slash && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

pub(crate) fn decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let escaped = tail.first_chunk::<2>().filter(|_| byte == b'%').and_then(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        if let Some(value) = escaped {
            out.push(value);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(if byte == b'+' { b' ' } else { byte });
        }
    }
    out
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    // An HMAC takes keys of any length; the empty answer would never match a signature.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// Seconds since the Unix epoch of a date such as `20261123T120000Z`.
pub fn seconds(date: &str) -> Option<i64> {
    let (day, time) = date.strip_suffix('Z')?.split_once('T')?;
    if day.len() != 8 || time.len() != 6 {
        return None;
    }
    let number = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day_of_month) = (number(day, 0, 4)?, number(day, 4, 6)?, number(day, 6, 8)?);
    let (hour, minute, second) = (number(time, 0, 2)?, number(time, 2, 4)?, number(time, 4, 6)?);
    // Days from the civil date, counting years from March so that the leap day is the last of its year.
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (shifted_year.div_euclid(400), shifted_year.rem_euclid(400));
    let day_of_year = (153 * shifted_month + 2) / 5 + day_of_month - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        path: String,
        query: String,
        headers: Vec<(String, String)>,
        credentials: Credentials,
        region: String,
        now: i64,
    }

    impl Vector {
        fn check(&self) -> Result<Accepted, Refusal> {
            let request =
                Request { method: "GET", path: &self.path, query: &self.query, headers: &self.headers, body: b"" };
            verify(&request, &self.credentials, &self.region, "ssmmessages", self.now)
        }
    }

    fn vectors() -> Vec<Vector> {
        let json: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../../crates/gateway/tests/vectors/upgrade-signing.json")).unwrap();
        json.iter()
            .map(|v| {
                let text = |key: &str| v[key].as_str().unwrap().to_owned();
                let url = text("uRL");
                let (path, query) = url[6..].split_once('?').unwrap();
                let token = text("sessionToken");
                Vector {
                    path: path[path.find('/').unwrap()..].to_owned(),
                    query: query.to_owned(),
                    headers: v["headers"]
                        .as_object()
                        .unwrap()
                        .iter()
                        .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()))
                        .collect(),
                    credentials: Credentials {
                        access_key_id: text("accessKeyID"),
                        secret_access_key: text("secretAccessKey"),
                        session_token: (!token.is_empty()).then_some(token),
                    },
                    region: text("region"),
                    now: seconds(&text("time")).unwrap(),
                }
            })
            .collect()
    }

    #[test]
    fn every_vector_is_accepted() {
        for vector in vectors() {
            assert!(vector.check().is_ok(), "{}", vector.query);
        }
    }

    #[test]
    fn anything_changed_is_refused() {
        for mut vector in vectors() {
            vector.query.push('x');
            assert_eq!(vector.check(), Err(Refusal::Mismatch));
            vector.query.pop();
            vector.now += MAX_SKEW_SECONDS + 1;
            assert_eq!(vector.check(), Err(Refusal::Stale));
            vector.now -= MAX_SKEW_SECONDS + 1;
            vector.region = "eu-north-1".into();
            assert_eq!(vector.check(), Err(Refusal::Scope));
            vector.credentials.access_key_id = "AKIDOTHER".into();
            assert_eq!(vector.check(), Err(Refusal::UnknownKey));
            vector.headers.retain(|(name, _)| name != "authorization");
            assert_eq!(vector.check(), Err(Refusal::Unsigned));
        }
    }

    #[test]
    fn a_missing_or_foreign_token_is_refused() {
        let mut vector = vectors().pop().unwrap();
        vector.credentials.session_token = Some("secret".into());
        assert_eq!(vector.check(), Err(Refusal::Token));
    }

    /// The GET of the test suite that AWS publishes for signers, "get-vanilla-query-order-key-case".
    #[test]
    fn queries_are_sorted_before_they_are_signed() {
        let headers = [
            ("host".to_owned(), "example.amazonaws.com".to_owned()),
            ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()),
            (
                "authorization".to_owned(),
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, \
                 Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
                    .to_owned(),
            ),
        ];
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        };
        let query = "Param2=value2&Param1=value1";
        let request = Request { method: "GET", path: "/", query, headers: &headers, body: b"" };
        let now = seconds("20150830T123600Z").unwrap();
        assert!(verify(&request, &credentials, "us-east-1", "service", now).is_ok());
    }

    /// The POST of the same suite, "post-header-key-sort" with its extra header.
    #[test]
    fn a_post_with_an_extra_signed_header_is_checked() {
        let mut headers = vec![
            ("host".to_owned(), "example.amazonaws.com".to_owned()),
            ("my-header1".to_owned(), "value1".to_owned()),
            ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()),
            (
                "authorization".to_owned(),
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;my-header1;x-amz-date, \
                 Signature=c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"
                    .to_owned(),
            ),
        ];
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        };
        let now = seconds("20150830T123600Z").unwrap();
        let check = |headers: &[(String, String)]| {
            let request = Request { method: "POST", path: "/", query: "", headers, body: b"" };
            verify(&request, &credentials, "us-east-1", "service", now).map(|a| a.signed_headers.len())
        };
        assert_eq!(check(&headers), Ok(3));
        headers[1].1 = "value2".into();
        assert_eq!(check(&headers), Err(Refusal::Mismatch));
    }

    #[test]
    fn dates_become_seconds() {
        assert_eq!(seconds("19700101T000000Z"), Some(0));
        assert_eq!(seconds("20240229T000000Z"), Some(1_709_164_800));
        assert_eq!(seconds("20261123T120000Z"), Some(1_795_435_200));
        assert_eq!(seconds("2026-11-23"), None);
    }
}
