//! A cache entry: the file with one role's credentials, in the AWS CLI's format, which is AWS's answer as JSON.

use std::{fs, io, path::Path, time::SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_types::{DateTime, date_time::Format};
use serde::{Deserialize, Serialize};
use ssm_net::files;
use zeroize::Zeroizing;

/// Temporary credentials with their issuer, which the file names.
#[derive(Clone, Debug)]
pub(in super::super) struct IssuedCredentials {
    pub(in super::super) credentials: Credentials,
    pub(in super::super) issuer: Issuer,
}

/// The service that issued credentials.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in super::super) enum Issuer {
    /// STS, for the assumed role with this id and ARN.
    AssumedRole { id: String, arn: String },
    /// IAM Identity Center. `aws sso logout` removes files with its mark.
    Sso,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "Credentials")]
    credentials: Keys<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ToStore<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_type: Option<&'static str>,
    credentials: Keys<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed_role_user: Option<AssumedRoleUser<'a>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Keys<T> {
    access_key_id: T,
    secret_access_key: T,
    session_token: T,
    expiration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser<'a> {
    assumed_role_id: &'a str,
    arn: &'a str,
}

/// The credentials in the file; `None` if it cannot be used.
pub(super) fn read(path: &Path) -> Option<Credentials> {
    let text = Zeroizing::new(fs::read(path).ok()?);
    let keys = serde_json::from_slice::<Stored>(&text).ok()?.credentials;
    let mut credentials = Credentials::builder()
        .access_key_id(keys.access_key_id)
        .secret_access_key(keys.secret_access_key)
        .session_token(keys.session_token)
        .expiry(parse_time(&keys.expiration)?)
        .provider_name("AWS CLI cache");
    credentials.set_account_id(keys.account_id.map(Into::into));
    Some(credentials.build())
}

/// Writes the file, readable by its owner alone, in one step: readers see either the old text or the new one.
pub(super) fn write(path: &Path, entry: &IssuedCredentials) -> io::Result<()> {
    let text = Zeroizing::new(serde_json::to_vec(&to_store(entry)?)?);
    files::write_private(path, &text)
}

fn to_store(entry: &IssuedCredentials) -> io::Result<ToStore<'_>> {
    let credentials = &entry.credentials;
    let expiry = credentials.expiry().ok_or_else(|| io::Error::other("credentials without an end"))?;
    let utc = match entry.issuer {
        Issuer::AssumedRole { .. } => "UTC",
        Issuer::Sso => "Z",
    };
    Ok(ToStore {
        provider_type: (entry.issuer == Issuer::Sso).then_some("sso"),
        credentials: Keys {
            access_key_id: credentials.access_key_id(),
            secret_access_key: credentials.secret_access_key(),
            session_token: credentials.session_token().unwrap_or_default(),
            expiration: time(expiry, utc)?,
            account_id: credentials.account_id().map(|id| id.as_str()),
        },
        assumed_role_user: match &entry.issuer {
            Issuer::AssumedRole { id, arn } => Some(AssumedRoleUser { assumed_role_id: id, arn }),
            Issuer::Sso => None,
        },
    })
}

/// A time as the AWS CLI writes it: whole seconds, and `utc` for the time zone.
fn time(time: SystemTime, utc: &str) -> io::Result<String> {
    let seconds = DateTime::from_secs(DateTime::from(time).secs());
    let text = seconds.fmt(Format::DateTime).map_err(io::Error::other)?;
    Ok(format!("{}{utc}", text.trim_end_matches('Z')))
}

/// The time in a text of the AWS CLI's, which ends in `UTC`, `Z` or an offset.
fn parse_time(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix("UTC").map_or_else(|| text.to_owned(), |time| format!("{time}Z"));
    DateTime::from_str(&text, Format::DateTimeWithOffset).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::test_support::Folder;

    /// 2026-11-23T21:03:44 UTC.
    const TIME: Duration = Duration::from_secs(1_795_467_824);

    fn entry(issuer: Issuer) -> IssuedCredentials {
        let credentials = Credentials::builder()
            .access_key_id("ASIA")
            .secret_access_key("secret")
            .session_token("token")
            .expiry(UNIX_EPOCH + TIME + Duration::from_millis(500))
            .account_id("111122223333")
            .provider_name("test")
            .build();
        IssuedCredentials { credentials, issuer }
    }

    #[test]
    fn entries_look_like_the_aws_clis() {
        let folder = Folder::new();
        let path = folder.path("entry.json");
        let role = Issuer::AssumedRole { id: "AROA:me".to_owned(), arn: "arn:aws:sts::1:assumed-role/r/me".to_owned() };
        let keys = r#""AccessKeyId":"ASIA","SecretAccessKey":"secret","SessionToken":"token""#;
        for (issuer, text) in [
            (
                role,
                format!(
                    r#"{{"Credentials":{{{keys},"Expiration":"2026-11-23T21:03:44UTC","AccountId":"111122223333"}},"#
                ) + r#""AssumedRoleUser":{"AssumedRoleId":"AROA:me","Arn":"arn:aws:sts::1:assumed-role/r/me"}}"#,
            ),
            (
                Issuer::Sso,
                r#"{"ProviderType":"sso","Credentials":{"#.to_owned()
                    + &format!(r#"{keys},"Expiration":"2026-11-23T21:03:44Z","AccountId":"111122223333"}}}}"#),
            ),
        ] {
            write(&path, &entry(issuer)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            let found = read(&path).unwrap();
            assert_eq!(
                (found.access_key_id(), found.secret_access_key(), found.session_token()),
                ("ASIA", "secret", Some("token"))
            );
            assert_eq!(found.account_id().unwrap().as_str(), "111122223333");
            assert_eq!(found.expiry(), Some(UNIX_EPOCH + TIME));
        }
    }

    #[cfg(unix)]
    #[test]
    fn entries_are_their_owners_alone_and_nothing_is_left_beside_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = Folder::new();
        let path = folder.write("entry.json", "");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, &entry(Issuer::Sso)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn times_are_read_in_each_of_their_forms() {
        for text in [
            "2026-11-23T21:03:44UTC",
            "2026-11-23T21:03:44Z",
            "2026-11-23T21:03:44+00:00",
            "2026-11-23T22:03:44+01:00",
            "2026-11-23T21:03:44.000Z",
        ] {
            assert_eq!(parse_time(text), Some(UNIX_EPOCH + TIME), "{text}");
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        let folder = Folder::new();
        let keys = r#""AccessKeyId":"a","SecretAccessKey":"s""#;
        for text in [
            "",
            "{",
            "[]",
            r#"{"accessToken":"x"}"#,
            &format!(r#"{{"Credentials":{{{keys},"Expiration":"2026-11-23T21:03:44UTC"}}}}"#),
            &format!(r#"{{"Credentials":{{{keys},"SessionToken":"t","Expiration":"soon"}}}}"#),
        ] {
            assert!(read(&folder.write("entry.json", text)).is_none(), "{text}");
        }
        assert!(read(&folder.path("missing.json")).is_none());
    }
}
