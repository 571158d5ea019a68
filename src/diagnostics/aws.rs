//! The words for settings that make no sense, and for calls of AWS's API that fail.

use ssm_aws::{ApiError, ApiFailure, Call, Denial, LoadError, NotAnInstance, Reason, Refusal};

use super::credentials::{half_key_pair, renewal, sign_in};
use super::denial::{OWN_SESSIONS, cure};
use super::dial::dial;
use super::error::{Error, ExitStatus};
use super::setting::origin;

/// How many profiles a hint names.
const PROFILES_NAMED: usize = 8;

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        let hint = match &error {
            LoadError::ProfileFiles { file, .. } => {
                format!("correct {file}, or point AWS_CONFIG_FILE at another file")
            }
            LoadError::NoSuchProfile { name, known, file } => no_such_profile(name, known, file),
            LoadError::NoRegion { profile, file } => {
                let section = match profile.as_str() {
                    "default" => "[default]".to_owned(),
                    name => format!("[profile {name}]"),
                };
                format!("give --region, set AWS_REGION, or write region = … under {section} in {file}")
            }
            LoadError::NotARegion(_) => "give a region such as --region eu-west-1".to_owned(),
            LoadError::NotAUrl(from) => {
                let message = format!("{} is no http or https URL with a host", origin(&from.to_string()));
                let hint = "give a URL such as https://ssm.eu-west-1.amazonaws.com";
                return Self::new(ExitStatus::Config, message, hint);
            }
            LoadError::HalfKeyPair(half) => return half_key_pair(half),
        };
        Self::new(ExitStatus::Config, error.to_string(), hint)
    }
}

/// What to do about a profile that does not exist: those that do, the nearest first.
fn no_such_profile(name: &str, known: &[String], file: &str) -> String {
    let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
    // The sort is stable, so that what is equally near stays in order.
    known.sort_by(|a, b| strsim::jaro_winkler(name, b).total_cmp(&strsim::jaro_winkler(name, a)));
    let more = if known.len() > PROFILES_NAMED { ", …" } else { "" };
    known.truncate(PROFILES_NAMED);
    let hint = match known.as_slice() {
        [] => format!("{file} has no profiles; `aws configure --profile {name}` writes one"),
        known => format!("profiles in {file} and the credentials file: {}{more}", known.join(", ")),
    };
    // A profile with dots may be the end of a host name that has a region in its middle.
    let behind =
        if name.contains('.') { "; if it is part of the host's name, write the region behind it again" } else { "" };
    hint + behind
}

/// What failed, and what to do about it.
pub(super) fn api(error: &ApiError) -> Error {
    use ExitStatus::{Config, TryAgain};
    let (status, hint) = match &*error.failure {
        ApiFailure::SignIn(error) => return sign_in(error),
        ApiFailure::Dial(error) => return dial(error),
        ApiFailure::Refused(refusal) => return refused(error, refusal),
        ApiFailure::Unreachable(_) => (
            TryAgain,
            "try again in a moment; check --endpoint-url if there is one: http:// or https://, host and port",
        ),
        ApiFailure::NoAnswer => (TryAgain, "try again; behind a proxy, set HTTPS_PROXY"),
        ApiFailure::Broken(_) => (TryAgain, "try again"),
        ApiFailure::Incomplete { .. } => {
            (TryAgain, "try again; with --endpoint-url, check that it is Session Manager's")
        }
        ApiFailure::KeyLength { .. } => (Config, "check AWS_ENDPOINT_URL_KMS and AWS_ENDPOINT_URL"),
        ApiFailure::Late { .. } => {
            (TryAgain, "try again in a moment; an instance id in place of a name needs no look-up")
        }
        ApiFailure::Endless { .. } => (TryAgain, "try again; check --endpoint-url"),
        ApiFailure::Unsendable(_) => (Config, "check --region and --endpoint-url"),
    };
    Error::new(status, error.to_string(), hint)
}

fn refused(error: &ApiError, refusal: &Refusal) -> Error {
    use ExitStatus::{Config, Denied, NoTarget, TryAgain, Unavailable};
    let ApiError { call, region, .. } = error;
    let say = |status, hint: &str| Error::new(status, error.to_string(), hint);
    match refusal.reason {
        Reason::Throttled => {
            say(TryAgain, "try again in a moment; ssh's ControlMaster lets many connections share one session")
        }
        Reason::NotConnected => {
            let online = format!("aws ssm describe-instance-information --region {region}");
            let hint = format!(
                "check that it runs, that its SSM Agent is online ({online}), and that account and region are the right \
                 ones"
            );
            say(Unavailable, &hint)
        }
        Reason::NotRunning => say(Unavailable, "start it, and try again"),
        Reason::NotFound if matches!(call, Call::GenerateDataKey { .. }) => {
            say(Config, "check the KMS key of the Session Manager preferences: it has to be in the session's region")
        }
        Reason::NotFound => say(NoTarget, "check the id, --region and --profile"),
        Reason::Expired | Reason::NotAccepted | Reason::Unsigned => say(Denied, &renewal(&refusal.login)),
        Reason::WrongTime => {
            say(Denied, "set this machine's clock, which may be at most 5 minutes off: date -u shows it")
        }
        Reason::NotPermitted => say(Denied, &permission(call, &refusal.message)),
        Reason::Document => say(Config, "check --document-name; AWS-StartSSHSession exists in every account"),
        Reason::KeyUnusable => say(Config, "check in KMS that the key is enabled, symmetric and for encryption"),
        Reason::Failing => say(TryAgain, "try again in a moment"),
        Reason::ProxyPassword => say(Denied, "put them into HTTPS_PROXY: http://NAME:PASSWORD@HOST:PORT"),
        Reason::Stranger => {
            say(TryAgain, "check --endpoint-url and HTTPS_PROXY; a login page of the network may be in between")
        }
        Reason::Other => say(Config, flags(call)),
    }
}

/// What helps when the call is denied with these words.
fn permission(call: &Call, said: &str) -> String {
    let denial = Denial::read(said);
    match call {
        Call::StartSession { document } => {
            let on = match denial.resource {
                Some(arn) if arn.contains(":document/") => format!("the session document, {arn}"),
                Some(arn) if arn.contains("instance/") => format!("the node, {arn}"),
                _ => format!("the node and on document/{document}"),
            };
            cure(&denial, "ssm:StartSession", &on)
        }
        Call::ResumeSession | Call::TerminateSession => {
            cure(&denial, &format!("ssm:{}", call.operation()), OWN_SESSIONS)
        }
        Call::DescribeInstanceInformation => {
            let cure = cure(&denial, "ssm:DescribeInstanceInformation", "*");
            format!("{cure}; an instance id in place of a name needs no look-up")
        }
        Call::SendSshPublicKey { user } => {
            let on = format!("the instance, for ec2:osuser {user}");
            cure(&denial, "ec2-instance-connect:SendSSHPublicKey", &on)
        }
        Call::GenerateDataKey { key_id } => cure(&denial, call.action(), &format!("the KMS key {key_id}")),
    }
}

/// The flags that are worth a look when the service refuses the call for a reason of its own.
fn flags(call: &Call) -> &'static str {
    match call {
        Call::StartSession { .. } => "check HOST, --document-name, --parameters and --endpoint-url",
        Call::ResumeSession | Call::TerminateSession => "check --endpoint-url",
        Call::DescribeInstanceInformation => "check HOST, --tag and --endpoint-url",
        Call::SendSshPublicKey { .. } => "check --push-key and --user; the key must be ed25519 or RSA",
        Call::GenerateDataKey { .. } => "check the KMS key of the Session Manager preferences",
    }
}

impl From<NotAnInstance> for Error {
    fn from(error: NotAnInstance) -> Self {
        let hint = "leave --push-key out, and put your key into authorized_keys there";
        Self::new(ExitStatus::Config, error.to_string(), hint)
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        api(&error)
    }
}

#[cfg(test)]
mod tests {
    use ssm_aws::{Login, Origin};

    use super::*;

    fn refusal(reason: Reason, code: &str, message: &str, login: Login) -> ApiError {
        let refusal = Refusal { reason, status: 400, code: code.to_owned(), message: message.to_owned(), login };
        ApiError {
            call: Call::StartSession { document: "AWS-StartSSHSession".to_owned() },
            host: "ssm.example".to_owned(),
            region: "eu-west-1".to_owned(),
            failure: Box::new(ApiFailure::Refused(refusal)),
        }
    }

    #[test]
    fn each_refusal_has_its_status_and_a_hint() {
        use ExitStatus::{Config, Denied, NoTarget, TryAgain, Unavailable};
        for (reason, status) in [
            (Reason::NotConnected, Unavailable),
            (Reason::NotRunning, Unavailable),
            (Reason::NotFound, NoTarget),
            (Reason::Throttled, TryAgain),
            (Reason::Failing, TryAgain),
            (Reason::Stranger, TryAgain),
            (Reason::Expired, Denied),
            (Reason::WrongTime, Denied),
            (Reason::NotAccepted, Denied),
            (Reason::Unsigned, Denied),
            (Reason::NotPermitted, Denied),
            (Reason::ProxyPassword, Denied),
            (Reason::Document, Config),
            (Reason::Other, Config),
        ] {
            let error = api(&refusal(reason, "", "", Login::Environment));
            assert_eq!(error.status, status, "{reason:?}");
            assert!(!error.hint.is_empty() && !error.message.contains("()"), "{error:?}");
        }
    }

    #[test]
    fn refusals_in_full() {
        for (reason, login, code, message, expected, hint) in [
            (
                Reason::NotPermitted,
                Login::Environment,
                "AccessDeniedException",
                "User: arn:aws:iam::1:user/me is not authorized to perform: ssm:StartSession",
                "StartSession is not permitted (AccessDeniedException: User: arn:aws:iam::1:user/me is not authorized \
                 to perform: ssm:StartSession)",
                "IAM must allow ssm:StartSession on the node and on document/AWS-StartSSHSession",
            ),
            (
                Reason::Expired,
                Login::Sso("default".to_owned()),
                "ExpiredTokenException",
                "The security token included in the request is expired",
                "the AWS credentials have expired (ExpiredTokenException: The security token included in the request \
                 is expired)",
                "aws sso login",
            ),
            (
                Reason::WrongTime,
                Login::Environment,
                "InvalidSignatureException",
                "Signature expired: 20261101T000000Z is now earlier than 20261101T010000Z",
                "AWS finds the time of the request wrong (InvalidSignatureException: Signature expired: \
                 20261101T000000Z is now earlier than 20261101T010000Z)",
                "set this machine's clock, which may be at most 5 minutes off: date -u shows it",
            ),
            (
                Reason::Throttled,
                Login::Environment,
                "ThrottlingException",
                "Rate exceeded",
                "ssm.example throttles StartSession (ThrottlingException: Rate exceeded)",
                "try again in a moment; ssh's ControlMaster lets many connections share one session",
            ),
            (
                Reason::Unsigned,
                Login::Unsigned,
                "MissingAuthenticationTokenException",
                "",
                "ssm.example wants requests to be signed (MissingAuthenticationTokenException)",
                "leave --no-sign-request out: AWS takes signed requests alone",
            ),
        ] {
            let error = api(&refusal(reason, code, message, login));
            assert_eq!((error.message.as_str(), error.hint.as_str()), (expected, hint));
        }
    }

    #[test]
    fn no_region_says_where_to_put_one() {
        for (profile, section) in [("default", "[default]"), ("prod", "[profile prod]")] {
            let file = "/home/me/.aws/config".to_owned();
            let error = Error::from(LoadError::NoRegion { profile: profile.to_owned(), file });
            assert_eq!((error.status, error.message.as_str()), (ExitStatus::Config, "no AWS region is set"));
            let hint = "give --region, set AWS_REGION, or write region = … under SECTION in /home/me/.aws/config";
            assert_eq!(error.hint, hint.replace("SECTION", section));
        }
    }

    #[test]
    fn an_unknown_profile_is_answered_with_the_known_ones() {
        let say = |name: &str, known: &[String]| {
            let (name, known, file) = (name.to_owned(), known.to_vec(), "/home/me/.aws/config".to_owned());
            Error::from(LoadError::NoSuchProfile { name, known, file })
        };
        let known = ["default", "prod", "staging"].map(str::to_owned);
        let error = say("prdo", &known);
        assert_eq!(error.message, "there is no AWS profile \"prdo\"");
        assert_eq!(error.hint, "profiles in /home/me/.aws/config and the credentials file: prod, default, staging");
        let error = say("x", &[]);
        assert!(error.hint.contains("`aws configure --profile x`"), "{error:?}");
        let error = say("corp.example.com", &known);
        assert!(
            error.hint.ends_with("; if it is part of the host's name, write the region behind it again"),
            "{error:?}"
        );
        let many: Vec<_> = (0..20).map(|n| format!("p{n}")).collect();
        let error = say("p7x", &many);
        assert!(error.hint.contains(": p7, ") && error.hint.ends_with(", …"), "{error:?}");
    }

    #[test]
    fn a_url_is_named_by_its_flag_or_variable() {
        for (from, named) in [
            (Origin::Override("ssmmessages_endpoint_url"), "--ssmmessages-endpoint-url"),
            (Origin::Variable("AWS_ENDPOINT_URL_SSM"), "AWS_ENDPOINT_URL_SSM"),
        ] {
            let error = Error::from(LoadError::NotAUrl(from));
            assert_eq!(error.message, format!("{named} is no http or https URL with a host"));
        }
    }
}
