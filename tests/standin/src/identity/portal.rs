//! Where people sign in: IAM Identity Center's portal and its tokens, and AWS Sign-In of `aws login`.

use super::{Answer, Asked, IdentityOptions, Refused, Said, fields};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long a new access token lives, in seconds.
const TOKEN_LIFETIME: u32 = 28_800;
/// How long console credentials live, in seconds.
const CONSOLE_LIFETIME: u32 = 900;

pub(super) fn answer(options: &IdentityOptions, asked: &Asked) -> Option<Answer> {
    let (operation, parameters, result) = match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/federation/credentials") => {
            let parameters = fields(&asked.query);
            let result = role_credentials(options, asked, &parameters);
            ("GetRoleCredentials", parameters, result)
        }
        ("POST", "/token") => {
            let result = refreshed(options, asked).map(|()| {
                json!({ "accessToken": options.sso_token, "tokenType": "Bearer", "expiresIn": TOKEN_LIFETIME,
                    "refreshToken": options.refresh_token })
            });
            ("CreateToken", BTreeMap::new(), result)
        }
        ("POST", "/v1/token") => {
            let result = refreshed(options, asked).map(|()| {
                let keys = &options.issued;
                json!({ "accessToken": { "accessKeyId": keys.access_key_id, "secretAccessKey": keys.secret_access_key,
                    "sessionToken": keys.session_token }, "tokenType": "aws_sigv4", "expiresIn": CONSOLE_LIFETIME,
                    "refreshToken": options.refresh_token })
            });
            ("CreateOAuth2Token", BTreeMap::new(), result)
        }
        _ => return None,
    };
    Some(Answer { operation: operation.to_owned(), parameters, result: result.map(Said::Json) })
}

fn role_credentials(
    options: &IdentityOptions,
    asked: &Asked,
    parameters: &BTreeMap<String, String>,
) -> Result<Value, Refused> {
    if asked.header("x-amz-sso_bearer_token") != Some(&options.sso_token) {
        let said = Said::Json(json!({ "message": "Session token not found or invalid" }));
        return Err(Refused { status: 401, code: "UnauthorizedException", said });
    }
    let role = parameters.get("role_name").map(String::as_str).unwrap_or_default();
    let keys = options.issued_for(role);
    let expiration = (asked.now + options.lifetime.as_secs()) * 1000;
    Ok(json!({ "roleCredentials": { "accessKeyId": keys.access_key_id, "secretAccessKey": keys.secret_access_key,
        "sessionToken": keys.session_token, "expiration": expiration } }))
}

fn refreshed(options: &IdentityOptions, asked: &Asked) -> Result<(), Refused> {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    if body.get("refreshToken").and_then(Value::as_str) == Some(&options.refresh_token) {
        return Ok(());
    }
    let said = Said::Json(json!({ "error": "TOKEN_EXPIRED", "error_description": "Invalid refresh token provided" }));
    Err(Refused { status: 401, code: "AccessDeniedException", said })
}
