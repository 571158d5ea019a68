//! EC2 Instance Connect: SendSSHPublicKey, with the constraints of its API.
//!
//! JSON in, a checked request out. What becomes of the key is its caller's affair.

use crate::report::PushedKey;
use crate::service::ApiError;
use serde_json::Value;

/// The one operation.
pub const OPERATION: &str = "SendSSHPublicKey";

const KEY_LENGTH: std::ops::RangeInclusive<usize> = 80..=4096;
const ID_LENGTH: std::ops::RangeInclusive<usize> = 10..=32;
const MAX_USER: usize = 32;

/// Checks a request and returns what it asks for.
///
/// # Errors
/// What AWS answers to a bad id, user or key.
pub fn read(request: &Value) -> Result<PushedKey, ApiError> {
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let pushed = PushedKey {
        instance_id: text("InstanceId"),
        os_user: text("InstanceOSUser"),
        public_key: text("SSHPublicKey"),
    };
    let bad = |what: &str| Err(ApiError::client("InvalidArgsException", format!("The {what} is not valid.")));
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let id = pushed.instance_id.strip_prefix("i-").unwrap_or_default();
    if !ID_LENGTH.contains(&pushed.instance_id.len()) || id.is_empty() || !id.chars().all(is_hex) {
        return bad("instance id");
    }
    let is_of_user = |c: char| c.is_ascii_alphanumeric() || "@._-$".contains(c);
    let starts_well = pushed.os_user.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || pushed.os_user.len() > MAX_USER || !pushed.os_user.chars().all(is_of_user) {
        return bad("OS user");
    }
    let words: Vec<&str> = pushed.public_key.split(' ').collect();
    let is_key = matches!(words.as_slice(), ["ssh-ed25519" | "ssh-rsa", key, ..] if key.starts_with("AAAA"));
    if !KEY_LENGTH.contains(&pushed.public_key.len()) || !is_key || pushed.public_key.contains('\n') {
        return bad("SSH public key");
    }
    Ok(pushed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_constraints_of_the_api_hold() {
        let key = format!("ssh-ed25519 AAAA{}", "a".repeat(64));
        let request = |id: &str, user: &str, key: &str| {
            read(&json!({ "InstanceId": id, "InstanceOSUser": user, "SSHPublicKey": key }))
        };
        assert_eq!(request("i-0123456789", "ec2-user", &key).unwrap().os_user, "ec2-user");
        for (id, user, key) in [
            ("mi-0123456789", "me", key.as_str()),
            ("i-0123456789EXAMPLE", "me", &key),
            ("i-0123", "me", &key),
            ("i-0123456789", "", &key),
            ("i-0123456789", "0me", &key),
            ("i-0123456789", "me;id", &key),
            ("i-0123456789", "me", "ssh-ed25519 AAAA"),
            ("i-0123456789", "me", &format!("{key}\nssh-rsa AAAA")),
            ("i-0123456789", "me", &key.replace("ssh-ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----")),
        ] {
            assert_eq!(request(id, user, key).unwrap_err().kind, "InvalidArgsException", "{id} {user} {key}");
        }
    }
}
