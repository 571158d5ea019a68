//! Cache keys: the AWS CLI names a file after the SHA-1 of the call's arguments, in JSON as Python writes it.
//!
//! Every byte counts: with another space or another order the programs do not find each other's files.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use sha1::{Digest, Sha1};

use super::super::chain::{Role, SsoLogin, SsoRole};

/// The arguments of AssumeRole that are hashed, sorted by name. The session's name is one of them if the profile sets
/// it; the MFA code is not.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    role_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_session_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<&'a str>,
}

/// The arguments of IAM Identity Center's GetRoleCredentials that are hashed, sorted by name.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GetRoleCredentials<'a> {
    account_id: &'a str,
    role_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_url: Option<&'a str>,
}

/// The name for a role's credentials, without its ending.
pub(super) fn of_role(role: &Role) -> String {
    let arguments = AssumeRole {
        duration_seconds: role.duration_seconds,
        external_id: role.external_id.as_deref(),
        role_arn: &role.arn,
        role_session_name: role.session_name.as_deref(),
        serial_number: role.mfa_serial.as_deref(),
    };
    hash(&python(&arguments, Python { item: b", ", value: b": " }))
}

/// The name for the credentials of a role of IAM Identity Center, without its ending.
pub(super) fn of_sso(role: &SsoRole) -> String {
    let (session_name, start_url) = match &role.login {
        SsoLogin::Session(name) => (Some(name.as_str()), None),
        SsoLogin::StartUrl(url) => (None, Some(url.as_str())),
    };
    let arguments =
        GetRoleCredentials { account_id: &role.account_id, role_name: &role.role_name, session_name, start_url };
    hash(&python(&arguments, Python { item: b",", value: b":" }))
}

fn hash(text: &[u8]) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON as Python's `json.dumps` writes it with these separators: every character beyond ASCII is escaped.
struct Python {
    item: &'static [u8],
    value: &'static [u8],
}

fn python(arguments: &impl Serialize, format: Python) -> Vec<u8> {
    let mut text = Vec::new();
    // To write text to memory cannot fail. If it did, the AWS CLI's file would not be found, and no harm done.
    let _ = arguments.serialize(&mut Serializer::with_formatter(&mut text, format));
    text
}

impl Formatter for Python {
    fn begin_object_key<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.item) }
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.value)
    }

    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte @ b' '..=b'~') => writer.write_all(&[byte])?,
                _ => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role() -> Role {
        Role {
            profile: "p".to_owned(),
            arn: "arn:aws:iam::111122223333:role/r".to_owned(),
            session_name: None,
            external_id: None,
            mfa_serial: None,
            duration_seconds: None,
        }
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// The names that the AWS CLI 1.46 gave to its files for the same profiles.
    #[test]
    fn names_are_the_aws_clis() {
        let full = Role {
            session_name: text("me"),
            external_id: text("e"),
            mfa_serial: text("arn:aws:iam::111122223333:mfa/me"),
            duration_seconds: Some(3600),
            ..role()
        };
        let odd = Role { external_id: text("é\"\\\u{7f}\t😀"), ..role() };
        for (role, name) in [
            (role(), "e2d92bb0968bc57e345aa2b57c84f636d95a03fd"),
            (full, "a5605088d4370aab1b754f1b721615c2d467a88c"),
            (odd, "3b2c7c1ce3b9009c57b186312716af2f71fa03eb"),
        ] {
            assert_eq!(of_role(&role), name, "{role:?}");
        }
        let sso = |login| SsoRole {
            profile: "p".to_owned(),
            account_id: "111122223333".to_owned(),
            role_name: "r".to_owned(),
            login,
        };
        assert_eq!(of_sso(&sso(SsoLogin::Session("corp".to_owned()))), "bdc1587b015bcc7e21871df4ac201f4dc67ac1bb");
        assert_eq!(
            of_sso(&sso(SsoLogin::StartUrl("https://corp.awsapps.com/start".to_owned()))),
            "33ae83b98daca4ea86ee7ea70763df3bdfc07629"
        );
    }
}
