//! What is said when there are no credentials, or not the right ones: each text in full.

use fixtures::standin::IdentityOptions;
use fixtures::{Account, HOST, KEYS, refused_port};

use super::says;

const ROLE: &str = "arn:aws:iam::111122223333:role/ops";

fn unreachable() -> String {
    let refused = std::io::Error::from(rustix::io::Errno::CONNREFUSED);
    format!("no AWS credentials: 127.0.0.1 cannot be reached: {refused}")
}

fn role(settings: &str) -> String {
    format!("[profile base]\n{KEYS}[profile ops]\nrole_arn = {ROLE}\nsource_profile = base\n{settings}")
}

#[test]
fn an_unknown_profile() {
    let account = Account::open("[profile prod]\n[profile staging]\n");
    let config = account.bench().user().home().join(".aws/config");
    says(
        account.proxy().args(["--profile", "pord", HOST]).run(),
        78,
        "there is no AWS profile \"pord\"",
        &format!("profiles in {} and the credentials file: prod, staging", config.display()),
    );
    account.finish();
}

#[test]
fn no_credentials() {
    let account = Account::open("");
    says(
        account.proxy().arg(HOST).run(),
        77,
        "profile default has no AWS credentials",
        "aws sts get-caller-identity tells what is wrong, aws configure sets keys",
    );
    account.finish();
}

#[test]
fn half_a_key_pair() {
    let account = Account::open("[profile ops]\naws_access_key_id = AKIDEXAMPLE\n");
    says(
        account.proxy().env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").arg(HOST).run(),
        77,
        "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
        "set AWS_SECRET_ACCESS_KEY too, or unset AWS_ACCESS_KEY_ID to use a profile",
    );
    says(
        account.proxy().args(["--profile", "ops", HOST]).run(),
        77,
        "profile ops has aws_access_key_id, but no aws_secret_access_key",
        "set aws_secret_access_key of profile ops too",
    );
    account.finish();
}

/// Where the access token of `[sso-session corp]` is kept.
const SESSION_TOKEN: &str = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
/// Where that of `https://corp.awsapps.com/start` is kept.
const URL_TOKEN: &str = ".aws/sso/cache/a51746d4aa793ae07b25e90c3a5db96fc7832bd7.json";

fn sso(login: &str) -> String {
    format!(
        "[profile people]\n{login}sso_account_id = 111122223333\nsso_role_name = ops\n\
         [profile ops]\nrole_arn = {ROLE}\nsource_profile = people\n\
         [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n"
    )
}

#[test]
fn a_login_of_iam_identity_center_that_is_over_or_never_was() {
    let by_url = "sso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n";
    let missing = "failed to load the cached SSO token";
    let expired = "the SSO token has expired and cannot be refreshed";
    let refused = "UnauthorizedException: Session token not found or invalid";
    for (login, token, missing, expired) in
        [("sso_session = corp\n", SESSION_TOKEN, missing, expired), (by_url, URL_TOKEN, "", refused)]
    {
        let account = Account::open(&sso(login));
        let file = account.bench().user().home().join(token);
        let no_file = format!("failed to read `{}`: No such file or directory (os error 2)", file.display());
        let text = |year| {
            format!(
                r#"{{"accessToken":"old","expiresAt":"{year}-01-01T00:00:00Z","region":"us-east-1",
                "startUrl":"https://corp.awsapps.com/start"}}"#
            )
        };
        for (text, why) in [
            (None, if missing.is_empty() { no_file.as_str() } else { missing }),
            (Some(text(2020)), expired),
            (Some(text(2126)), refused),
        ] {
            if let Some(text) = text {
                account.write(token, &text);
            }
            // The hint names the profile that signs in, whichever of the chain is used.
            for profile in ["people", "ops"] {
                says(
                    account.proxy().args(["--profile", profile, HOST]).run(),
                    77,
                    &format!("profile people: the login at IAM Identity Center is missing or over ({why})"),
                    "aws sso login --profile people",
                );
            }
        }
        account.finish();
    }
}

#[test]
fn a_login_of_the_console_that_never_was() {
    let account = Account::open("[profile ops]\nlogin_session = arn:aws:iam::111122223333:user/me\n");
    let folder = account.bench().user().home().join(".aws/login/cache");
    says(
        account.proxy().args(["--profile", "ops", HOST]).run(),
        77,
        &format!(
            "profile ops gives no AWS credentials: failed to read `{}/\
             6eeec053fe13079aaf7fd81065ec5ecbdb93674f20700e51842d0c769b240c8a.json`: No such file or directory \
             (os error 2)",
            folder.display()
        ),
        "aws login --profile ops",
    );
    account.finish();
}

#[test]
fn mfa_without_a_terminal() {
    let account = Account::open(&role("mfa_serial = arn:aws:iam::111122223333:mfa/me\n"));
    says(
        account.proxy().args(["--profile", "ops", HOST]).run(),
        77,
        "profile ops wants an MFA code (arn:aws:iam::111122223333:mfa/me), and there is no terminal to ask on",
        "aws sts get-caller-identity --profile ops in a terminal first: the credentials that it caches serve here too",
    );
    assert_eq!(account.assumed(), 0);
    account.finish();
}

#[test]
fn an_mfa_code_that_is_refused() {
    let account = Account::open(&role("mfa_serial = arn:aws:iam::111122223333:mfa/me\n"));
    let line = format!("ssm-proxy --profile ops {HOST} </dev/null 2>said; echo ended $?");
    let home = account.bench().user().home().to_owned();
    let line = format!("cd '{}'; {line}", home.display());
    let mut terminal = account.tool("sh").args(["-c", &line]).on_terminal(24, 80);
    terminal.expect("Enter MFA code for arn:aws:iam::111122223333:mfa/me: ");
    terminal.press("000000\n");
    terminal.expect("ended 77");
    let _ = terminal.finish();
    assert_eq!(
        std::fs::read_to_string(home.join("said")).unwrap(),
        format!(
            "ssm-proxy: {HOST}: profile ops: AWS does not accept the MFA code (AccessDenied: MultiFactorAuthentication \
             failed with invalid MFA one time pass code.)\n  hint: wait for the next code, then connect again: each \
             works once\n"
        )
    );
    account.finish();
}

#[test]
fn a_role_that_may_not_be_assumed() {
    let account =
        Account::with(&role(""), IdentityOptions { denied: vec![ROLE.to_owned()], ..IdentityOptions::default() });
    says(
        account.proxy().args(["--profile", "ops", HOST]).run(),
        77,
        "profile ops: AssumeRole of arn:aws:iam::111122223333:role/ops is not permitted (AccessDenied: User: \
         arn:aws:iam::111122223333:user/AKIAI44QH8DHBEXAMPLE is not authorized to perform: sts:AssumeRole on resource: \
         arn:aws:iam::111122223333:role/ops)",
        "IAM must allow sts:AssumeRole on the role, and the role's trust policy must allow you",
    );
    account.finish();
}

#[test]
fn a_role_whose_source_has_the_wrong_keys() {
    let account = Account::open(&format!(
        "[profile ops]\nrole_arn = {ROLE}\nsource_profile = base\n\
         [profile base]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = wrong\n"
    ));
    says(
        account.proxy().args(["--profile", "ops", HOST]).run(),
        77,
        "profile ops gives no AWS credentials: InvalidClientTokenId: The security token included in the request is \
         invalid.",
        "aws sts get-caller-identity --profile ops tells what is wrong, aws configure --profile base sets keys",
    );
    account.finish();
}

#[test]
fn a_role_without_a_source() {
    let account = Account::open(&format!(
        "[profile ops]\nrole_arn = {ROLE}\nsource_profile = empty\n[profile empty]\nregion = us-east-1\n\
         [profile gone]\nrole_arn = {ROLE}\nsource_profile = nowhere\n"
    ));
    says(
        account.proxy().args(["--profile", "ops", HOST]).run(),
        77,
        "profile empty has no AWS credentials to assume a role with",
        "check source_profile and credential_source of the profile",
    );
    says(
        account.proxy().args(["--profile", "gone", HOST]).run(),
        78,
        "profile gone: there is no profile nowhere, its source_profile",
        "add profile nowhere, or correct source_profile of profile gone",
    );
    account.finish();
}

#[test]
fn a_process_that_fails() {
    let account = Account::open("");
    let script = account.write("process", "echo the vault is locked >&2; exit 3\n");
    account.write(".aws/config", &format!("[profile ops]\ncredential_process = sh {}\n", script.display()));
    says(
        account.proxy().args(["--profile", "ops", HOST]).run(),
        77,
        "profile ops: its credential_process gives no credentials: external process exited with code exit status: 3. \
         Stderr: the vault is locked",
        "run the credential_process of profile ops in a terminal",
    );
    account.finish();
}

#[test]
fn whoever_gives_credentials_cannot_be_reached() {
    let (address, _taken) = refused_port();
    let account = Account::open(&role(""));
    says(
        account.proxy().env("AWS_ENDPOINT_URL_STS", format!("http://{address}")).args(["--profile", "ops", HOST]).run(),
        75,
        &unreachable(),
        "check the network; behind a proxy, set HTTPS_PROXY",
    );
    says(
        account
            .proxy()
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}/container"))
            .arg(HOST)
            .run(),
        75,
        &unreachable(),
        "check AWS_CONTAINER_CREDENTIALS_FULL_URI, and whether its server runs",
    );
    says(
        account
            .proxy()
            .env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{address}"))
            .arg(HOST)
            .run(),
        77,
        "profile default has no AWS credentials",
        "aws sts get-caller-identity tells what is wrong, aws configure sets keys",
    );
    account.write(".aws/config", &format!("[default]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n"));
    says(
        account
            .proxy()
            .env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{address}"))
            .arg(HOST)
            .run(),
        75,
        &unreachable(),
        "credential_source = Ec2InstanceMetadata needs an EC2 instance that has its metadata service on",
    );
    account.finish();
}
