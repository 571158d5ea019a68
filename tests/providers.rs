//! Everywhere that the AWS CLI finds credentials they are found here too, each against a local endpoint.

#![allow(clippy::unwrap_used, reason = "a test ends where a file of its own cannot be read")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fixtures::standin::IdentityOptions;
use fixtures::{Account, HOST, ISSUED, KEYS, Tool};

const ROLE: &str = "arn:aws:iam::111122223333:role/ops";
const START_URL: &str = "https://corp.awsapps.com/start";
/// Where the access token of `[sso-session corp]` is kept: the SHA-1 of that name.
const SESSION_TOKEN: &str = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";
/// Where that of [`START_URL`] is kept: the SHA-1 of the URL.
const URL_TOKEN: &str = ".aws/sso/cache/a51746d4aa793ae07b25e90c3a5db96fc7832bd7.json";
/// Where `aws login` keeps the session of `arn:aws:iam::111122223333:user/me`: the SHA-256 of that.
const LOGIN_TOKEN: &str = ".aws/login/cache/6eeec053fe13079aaf7fd81065ec5ecbdb93674f20700e51842d0c769b240c8a.json";
const FUTURE: &str = "2126-01-01T00:00:00Z";
const PAST: &str = "2020-01-01T00:00:00Z";

/// A profile with a role of IAM Identity Center; `login` is how it names its sign-in.
fn sso(profile: &str, login: &str) -> String {
    format!("[profile {profile}]\n{login}\nsso_account_id = 111122223333\nsso_role_name = ops\n")
}

fn sso_session() -> String {
    format!(
        "{}[sso-session corp]\nsso_region = us-east-1\nsso_start_url = {START_URL}\n\
         sso_registration_scopes = sso:account:access\n",
        sso("ops", "sso_session = corp")
    )
}

fn sso_url() -> String {
    sso("ops", &format!("sso_start_url = {START_URL}\nsso_region = us-east-1"))
}

fn sso_token(token: &str, expires: &str) -> String {
    format!(
        r#"{{"accessToken":"{token}","expiresAt":"{expires}","region":"us-east-1","startUrl":"{START_URL}",
        "clientId":"client","clientSecret":"secret","registrationExpiresAt":"{FUTURE}",
        "refreshToken":"a-refresh-token"}}"#
    )
}

/// Operations that the account was asked for.
fn asked(account: &Account) -> Vec<String> {
    account.identity().calls().into_iter().map(|call| call.operation).collect()
}

/// Who may do what with a file.
fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_of_the_credentials_file() {
    let account = Account::open("[profile ops]\nregion = us-east-1\n");
    account.write(".aws/credentials", &format!("[ops]\n{ISSUED}"));
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    account.finish();
}

#[test]
fn files_elsewhere() {
    let account = Account::open("");
    let config = account.write("elsewhere/config", "[profile ops]\nregion = us-east-1\n");
    let credentials = account.write("elsewhere/credentials", &format!("[ops]\n{ISSUED}"));
    let tool = account.proxy().env("AWS_CONFIG_FILE", config).env("AWS_SHARED_CREDENTIALS_FILE", credentials);
    let _ = tool.env("AWS_PROFILE", "ops").arg(HOST).run().ok();
    account.finish();
}

#[test]
fn a_role_by_the_keys_of_the_environment() {
    let account = Account::open(&format!("[profile ops]\nrole_arn = {ROLE}\ncredential_source = Environment\n"));
    let user = &account.identity().options().user;
    let tool = account
        .proxy()
        .env("AWS_ACCESS_KEY_ID", &user.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &user.secret_access_key);
    let _ = tool.args(["--profile", "ops", HOST]).run().ok();
    assert_eq!(asked(&account), ["AssumeRole"]);
    account.finish();
}

#[test]
fn a_role_by_a_process() {
    let user = IdentityOptions::default().user;
    let answer = format!(
        r#"{{"Version":1,"AccessKeyId":"{}","SecretAccessKey":"{}"}}"#,
        user.access_key_id, user.secret_access_key
    );
    let account = Account::open("");
    let answer = account.write("answer.json", &answer);
    account.write(
        ".aws/config",
        &format!(
            "[profile ops]\nrole_arn = {ROLE}\nsource_profile = process\n\
             [profile process]\ncredential_process = cat {}\n",
            answer.display()
        ),
    );
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    assert_eq!(asked(&account), ["AssumeRole"]);
    account.finish();
}

#[test]
fn a_role_whose_endpoint_is_in_the_profile() {
    for setting in
        ["endpoint_url = ENDPOINT\n", "services = local\n[services local]\nsts =\n  endpoint_url = ENDPOINT\n"]
    {
        let account = Account::open("");
        let setting = setting.replace("ENDPOINT", &account.identity().endpoint());
        account.write(
            ".aws/config",
            &format!("[profile base]\n{KEYS}[profile ops]\nrole_arn = {ROLE}\nsource_profile = base\n{setting}"),
        );
        let tool = account.proxy().without("AWS_ENDPOINT_URL_STS");
        let _ = tool.args(["--profile", "ops", HOST]).run().ok();
        assert_eq!(asked(&account), ["AssumeRole"], "{setting}");
        account.finish();
    }
}

#[test]
fn a_process() {
    let issued = IdentityOptions::default().issued;
    let answer = format!(
        r#"{{"Version":1,"AccessKeyId":"{}","SecretAccessKey":"{}","SessionToken":"{}","Expiration":"{FUTURE}"}}"#,
        issued.access_key_id,
        issued.secret_access_key,
        issued.session_token.unwrap()
    );
    let account = Account::open("");
    let answer = account.write("answer.json", &answer);
    account.write(".aws/config", &format!("[default]\ncredential_process = cat \"{}\"\n", answer.display()));
    let _ = account.proxy().arg(HOST).run().ok();
    assert!(!account.cache().exists(), "a process keeps its own");
    account.finish();
}

#[test]
fn a_web_identity_of_the_profile_or_of_the_environment() {
    let account = Account::open("");
    let token = account.write("token", "a-web-identity-token");
    let settings = format!("role_arn = {ROLE}\nweb_identity_token_file = {}\n", token.display());
    account.write(".aws/config", &format!("[profile ops]\n{settings}\n[default]\n{KEYS}"));
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    // In the environment it wins over the keys of a profile that nobody has named.
    let tool = account.proxy().env("AWS_WEB_IDENTITY_TOKEN_FILE", token).env("AWS_ROLE_ARN", ROLE);
    let _ = tool.arg(HOST).run().ok();
    assert_eq!(asked(&account), ["AssumeRoleWithWebIdentity"; 2]);
    account.finish();
}

#[test]
fn a_container() {
    let account = Account::open("");
    let uri = format!("{}/container", account.identity().endpoint());
    let container = |tool: Tool| tool.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri);
    // As ECS names its token, and as EKS Pod Identity does.
    let tool = container(account.proxy()).env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-container-token");
    let _ = tool.arg(HOST).run().ok();
    let file = account.write("token", "a-container-token");
    let tool = container(account.proxy()).env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file);
    let _ = tool.arg(HOST).run().ok();
    assert_eq!(asked(&account), ["/container"; 2]);

    account.write(".aws/config", &format!("[profile ops]\nrole_arn = {ROLE}\ncredential_source = EcsContainer\n"));
    let tool = container(account.proxy()).env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-container-token");
    let _ = tool.args(["--profile", "ops", HOST]).run().ok();
    assert_eq!(account.assumed(), 1);
    account.finish();
}

#[test]
fn an_instance() {
    let account = Account::open("");
    let instance = |tool: Tool| {
        tool.env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", account.identity().endpoint())
    };
    let _ = instance(account.proxy()).arg(HOST).run().ok();
    let calls = asked(&account);
    assert!(calls.contains(&"/latest/api/token".to_owned()), "{calls:?}");

    account
        .write(".aws/config", &format!("[profile ops]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n"));
    for _ in 0..2 {
        let _ = instance(account.proxy()).args(["--profile", "ops", HOST]).run().ok();
    }
    assert_eq!(account.assumed(), 1);
    account.finish();
}

#[test]
fn an_instance_names_its_region_as_anybody_else_has_to() {
    let in_region = |machine_region: &str| {
        let options = IdentityOptions { machine_region: machine_region.to_owned(), ..IdentityOptions::default() };
        let account = Account::with(&format!("[default]\n{ISSUED}"), options);
        let tool = account
            .proxy()
            .without("AWS_REGION")
            .env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", account.identity().endpoint());
        let done = tool.arg(HOST).run();
        (done, account.finish())
    };
    let (done, report) = in_region("us-east-1");
    let _ = done.ok();
    assert_eq!(report.sessions.len(), 1);
    for (region, shown) in
        [("evil.example.com/#", r#""evil.example.com/#""#), (" ", r#"" ""#), ("us-east-1\nx", r#""us-east-1\nx""#)]
    {
        let (done, report) = in_region(region);
        let expected =
            format!("ssm-proxy: {HOST}: {shown} is not a region\n  hint: give a region such as --region eu-west-1\n");
        assert_eq!(done.code(78).stderr, expected);
        assert!(report.calls.is_empty());
    }
}

#[test]
fn iam_identity_center_with_a_session_or_a_start_url() {
    // Many repeat in the profile what the session says, for older programs.
    let repeated = format!("sso_session = corp\nsso_start_url = {START_URL}\nsso_region = us-east-1\n");
    let both = sso_session().replace("sso_session = corp\n", &repeated);
    for (config, token) in [(sso_session(), SESSION_TOKEN), (sso_url(), URL_TOKEN), (both, SESSION_TOKEN)] {
        let account = Account::open(&config);
        account.write(token, &sso_token("an-access-token", FUTURE));
        for _ in 0..2 {
            let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
        }
        assert_eq!(asked(&account), ["GetRoleCredentials"], "{config}");
        let _ = account.proxy().args(["--profile", "ops", "--no-credential-cache", HOST]).run().ok();
        assert_eq!(asked(&account), ["GetRoleCredentials"; 2], "{config}");
        account.finish();
    }
}

#[test]
fn iam_identity_center_renews_its_token() {
    let account = Account::open(&sso_session());
    let token = account.write(SESSION_TOKEN, &sso_token("an-old-token", PAST));
    let _ = account.proxy().args(["--profile", "ops", HOST]).run().ok();
    assert_eq!(asked(&account), ["CreateToken", "GetRoleCredentials"]);
    assert!(std::fs::read_to_string(&token).unwrap().contains("an-access-token"));
    assert_eq!(mode(&token), 0o600, "a renewed token is its owner's alone, whatever it was before");
    account.finish();
}

#[test]
fn a_role_by_iam_identity_center() {
    let account = Account::open(&format!("{}[profile next]\nrole_arn = {ROLE}\nsource_profile = ops\n", sso_session()));
    account.write(SESSION_TOKEN, &sso_token("an-access-token", FUTURE));
    for _ in 0..2 {
        let _ = account.proxy().args(["--profile", "next", HOST]).run().ok();
    }
    assert_eq!(asked(&account), ["GetRoleCredentials", "AssumeRole"]);
    account.finish();
}

/// What version 2 of the AWS CLI has built in, for the version 1 that PyPI has: credentials of IAM Identity Center go
/// into the same cache.
const PLUGIN: &str = "\
import os
from botocore.credentials import JSONFileCache

def share(session, **kwargs):
    provider = session.get_component('credential_provider').get_provider('sso')
    provider.cache = JSONFileCache(os.path.expanduser('~/.aws/cli/cache'))

def awscli_initialize(events):
    events.register('session-initialized', share)
";

#[test]
fn credentials_of_iam_identity_center_are_shared_with_the_aws_cli() {
    for (config, token) in [(sso_session(), SESSION_TOKEN), (sso_url(), URL_TOKEN)] {
        for aws_first in [true, false] {
            let account = Account::open(&format!("{config}[plugins]\nsharing = sharing\n"));
            account.write(token, &sso_token("an-access-token", FUTURE));
            let plugin = account.write("plugins/sharing.py", PLUGIN);
            let aws = account.aws().args(["sts", "get-caller-identity", "--profile", "ops"]);
            let aws = aws.env("PYTHONPATH", plugin.parent().unwrap());
            let proxy = account.proxy().args(["--profile", "ops", HOST]);
            for tool in if aws_first { [aws, proxy] } else { [proxy, aws] } {
                let _ = tool.run().ok();
            }
            assert_eq!(account.identity().count("GetRoleCredentials"), 1, "{config}");
            account.finish();
        }
    }
}

#[test]
fn a_session_of_aws_login() {
    let issued = IdentityOptions::default().issued;
    let token = |key: &str, expires: &str| {
        format!(
            r#"{{"accessToken":{{"accessKeyId":"{key}","secretAccessKey":"{}","sessionToken":"{}",
            "accountId":"111122223333","expiresAt":"{expires}"}},"tokenType":"aws_sigv4",
            "refreshToken":"a-refresh-token","clientId":"arn:aws:signin:::devtools/same-device","dpopKey":"{DPOP_KEY}"}}"#,
            issued.secret_access_key,
            issued.session_token.as_deref().unwrap()
        )
    };
    let account = Account::open("[default]\nlogin_session = arn:aws:iam::111122223333:user/me\n");
    account.write(LOGIN_TOKEN, &token(&issued.access_key_id, FUTURE));
    let _ = account.proxy().arg(HOST).run().ok();
    assert_eq!(asked(&account), [""; 0]);
    let renewed = account.write(LOGIN_TOKEN, &token("ASIAOLD", PAST));
    let _ = account.proxy().arg(HOST).run().ok();
    assert_eq!(asked(&account), ["CreateOAuth2Token"]);
    assert_eq!(mode(&renewed), 0o600, "a renewed token is its owner's alone, whatever it was before");
    account.finish();
}

/// A key made for this test; it opens nothing.
const DPOP_KEY: &str = "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIAaUqbGPvJZqQRemDsutEzopzkZxJFXxJUPYbUxYhllDoAoGCCqGSM49\\nAwEHoUQDQgAEOfxJG9bQ/MAHcJvp3PWJsNiziLmcKKEkhkf1IgHCvvtsedE6ODdH\\ngE53Dx7UFTgP61l8t+rgaf7v2qEcwcF85A==\\n-----END EC PRIVATE KEY-----\\n";

#[test]
fn keys_of_the_environment_come_first_unless_a_profile_is_named() {
    let account = Account::open(&format!("[default]\n{KEYS}[profile ops]\n{ISSUED}"));
    let issued = &account.identity().options().issued;
    let tool = account
        .proxy()
        .env("AWS_ACCESS_KEY_ID", &issued.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &issued.secret_access_key)
        .env("AWS_SESSION_TOKEN", issued.session_token.as_deref().unwrap());
    let _ = tool.arg(HOST).run().ok();
    let user = &account.identity().options().user;
    let tool = account
        .proxy()
        .env("AWS_ACCESS_KEY_ID", &user.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &user.secret_access_key);
    let _ = tool.args(["--profile", "ops", HOST]).run().ok();
    account.finish();
}
