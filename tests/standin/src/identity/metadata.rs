//! What a machine knows of itself: the instance metadata service, version 2 alone, and a container's credentials.

use super::{Answer, Asked, IdentityOptions, Refused, Said, iso};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a session with the metadata service presents.
const TOKEN: &str = "a-metadata-token";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
const ROLE: &str = "instance-role";
const REGION: &str = "/latest/meta-data/placement/region";

pub(super) fn answer(options: &IdentityOptions, asked: &Asked) -> Option<Answer> {
    let result = match (asked.method.as_str(), asked.path.as_str()) {
        ("PUT", "/latest/api/token") => Ok(Said::MetadataToken(TOKEN)),
        ("GET", "/container") if asked.header("authorization") == Some(&options.container_token) => {
            Ok(Said::Json(credentials(options, asked)))
        }
        ("GET", "/container") => Err(refused(401, "Unauthorized")),
        ("GET", path) if path.starts_with("/latest/") => instance(options, asked, path),
        _ => return None,
    };
    Some(Answer { operation: asked.path.clone(), parameters: BTreeMap::new(), result })
}

fn instance(options: &IdentityOptions, asked: &Asked, path: &str) -> Result<Said, Refused> {
    if asked.header("x-aws-ec2-metadata-token") != Some(TOKEN) {
        return Err(refused(401, "Unauthorized"));
    }
    if path == REGION && !options.machine_region.is_empty() {
        return Ok(Said::Text(options.machine_region.clone()));
    }
    match path.strip_prefix(ROLES) {
        Some("") => Ok(Said::Text(ROLE.to_owned())),
        Some(ROLE) => Ok(Said::Json(credentials(options, asked))),
        _ => Err(refused(404, "Not Found")),
    }
}

fn credentials(options: &IdentityOptions, asked: &Asked) -> Value {
    let keys = &options.issued;
    json!({ "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": iso(asked.now), "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key, "Token": keys.session_token,
        "Expiration": iso(asked.now + options.lifetime.as_secs()) })
}

fn refused(status: u16, code: &'static str) -> Refused {
    Refused { status, code, said: Said::Text(code.to_owned()) }
}
