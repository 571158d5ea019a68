//! STS: AssumeRole, AssumeRoleWithWebIdentity, GetCallerIdentity, in its query protocol.

use super::{ACCOUNT, Answer, Asked, IdentityOptions, Refused, Said, fields, iso};
use crate::sigv4::{self, Credentials, Request};

pub(super) fn answer(options: &IdentityOptions, asked: &Asked) -> Answer {
    let parameters = fields(&String::from_utf8_lossy(&asked.body));
    let get = |name: &str| parameters.get(name).map(String::as_str);
    let operation = get("Action").unwrap_or("(none)").to_owned();
    let result = match operation.as_str() {
        "AssumeRole" => caller(options, asked).and_then(|caller| assume_role(options, asked, &caller, get)),
        "AssumeRoleWithWebIdentity" => assume_role_with_web_identity(options, asked, get),
        "GetCallerIdentity" => caller(options, asked).map(|caller| identity(&caller)),
        _ => Err(refused(400, "InvalidAction", "Could not find operation.")),
    };
    Answer { operation, parameters, result }
}

/// Whose keys signed the request.
fn caller(options: &IdentityOptions, asked: &Asked) -> Result<Credentials, Refused> {
    let request = Request {
        method: &asked.method,
        path: &asked.path,
        query: &asked.query,
        headers: &asked.headers,
        body: &asked.body,
    };
    let now = i64::try_from(asked.now).unwrap_or(i64::MAX);
    let known = [&options.user, &options.issued].into_iter().chain(options.roles.iter().map(|(_, keys)| keys));
    let mut known = known.filter(|keys| sigv4::verify(&request, keys, &options.region, "sts", now).is_ok());
    known
        .next()
        .cloned()
        .ok_or_else(|| refused(403, "InvalidClientTokenId", "The security token included in the request is invalid."))
}

fn assume_role<'a>(
    options: &IdentityOptions,
    asked: &Asked,
    caller: &Credentials,
    get: impl Fn(&str) -> Option<&'a str>,
) -> Result<Said, Refused> {
    let role = get("RoleArn").unwrap_or_default();
    if options.denied.iter().any(|denied| denied == role) {
        let message = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {role}",
            arn_of(&caller.access_key_id)
        );
        return Err(refused(403, "AccessDenied", &message));
    }
    if get("SerialNumber").is_some() && get("TokenCode") != Some(&options.mfa_code) {
        let message = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
        return Err(refused(403, "AccessDenied", message));
    }
    Ok(assumed(options, asked, "AssumeRole", get))
}

fn assume_role_with_web_identity<'a>(
    options: &IdentityOptions,
    asked: &Asked,
    get: impl Fn(&str) -> Option<&'a str>,
) -> Result<Said, Refused> {
    if get("WebIdentityToken") != Some(&options.web_identity_token) {
        return Err(refused(400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT."));
    }
    Ok(assumed(options, asked, "AssumeRoleWithWebIdentity", get))
}

fn assumed<'a>(
    options: &IdentityOptions,
    asked: &Asked,
    operation: &str,
    get: impl Fn(&str) -> Option<&'a str>,
) -> Said {
    let role = get("RoleArn").unwrap_or_default();
    let name = role.rsplit('/').next().unwrap_or_default();
    let session = get("RoleSessionName").unwrap_or_default();
    let seconds = get("DurationSeconds").and_then(|seconds| seconds.parse().ok());
    let expiration = iso(asked.now + seconds.unwrap_or(options.lifetime.as_secs()));
    let Credentials { access_key_id, secret_access_key, session_token } = options.issued_for(role);
    let token = session_token.as_deref().unwrap_or_default();
    Said::Xml(format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{operation}Result>\
         <AssumedRoleUser><AssumedRoleId>AROAEXAMPLE:{session}</AssumedRoleId>\
         <Arn>arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{access_key_id}</AccessKeyId><SecretAccessKey>{secret_access_key}</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
         </{operation}Result>{METADATA}</{operation}Response>"
    ))
}

fn identity(caller: &Credentials) -> Said {
    let arn = arn_of(&caller.access_key_id);
    Said::Xml(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>{arn}</Arn><UserId>{}</UserId><Account>{ACCOUNT}</Account>\
         </GetCallerIdentityResult>{METADATA}</GetCallerIdentityResponse>",
        caller.access_key_id
    ))
}

fn arn_of(access_key_id: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{access_key_id}")
}

const METADATA: &str =
    "<ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>";

fn refused(status: u16, code: &'static str, message: &str) -> Refused {
    let xml = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error>\
         <RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ErrorResponse>"
    );
    Refused { status, code, said: Said::Xml(xml) }
}
