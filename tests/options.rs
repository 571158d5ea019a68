//! The options of `aws ssm start-session` besides target, document, parameters and reason: what each does here.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io, thread};

use fixtures::standin::{ApiFault, ApiRule, Node, Options};
use fixtures::{Account, Bench, HOST, Setup, noise};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// A line as a user of the AWS CLI may have it, with options of both of its versions.
const LINE: &str = "ssm-proxy --targ %h --cli-input-json file://~/input.json --output text --query SessionId \
    --no-paginate --no-cli-pager --cli-connect-timeout 60 --cli-read-timeout 60 --color off";
/// What `--no-verify-ssl` says.
const WARNING: &str = "ssm-proxy: warning: --no-verify-ssl: TLS certificates are not checked, so whoever is in between \
    can take AWS's place\n";

/// A bench whose service takes unsigned requests.
fn unsigned(api_rules: Vec<ApiRule>) -> Bench {
    let nodes = vec![Node::online(HOST, "web")];
    let standin = Options { accept_unsigned: true, nodes, api_rules, ..Options::default() };
    Bench::with(Setup { standin, ..Setup::default() })
}

/// Takes connections and says nothing.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn a_line_for_the_aws_cli_works_as_it_stands() {
    let bench = Bench::with(Setup { proxy_command: LINE, ..Setup::default() });
    let input = r#"{"Target":"i-0aaa","DocumentName":"AWS-StartSSHSession","Reason":"ticket 42","Parameters":{"portNumber":["22"]}}"#;
    fs::write(bench.user().home().join("input.json"), input).unwrap();
    let done = bench.ssh().args([HOST, "echo in"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""));
    let report = bench.finish();
    let session = report.sessions.first().unwrap();
    assert_eq!((session.target.as_str(), session.reason.as_deref()), (HOST, Some("ticket 42")));
}

#[test]
fn the_skeletons_are_those_of_the_aws_cli() {
    let account = Account::open("");
    for kind in [&["--generate-cli-skeleton"][..], &["--generate-cli-skeleton", "output"]] {
        let ours = account.proxy().args(kind).run().ok();
        let theirs = account.aws().args(["ssm", "start-session", "--target", HOST]).args(kind).run().ok();
        assert_eq!(ours.text(), theirs.text());
        assert_eq!(ours.stderr, "");
    }
    assert!(account.finish().calls.is_empty());
}

#[test]
fn a_skeleton_needs_no_configuration_and_is_taken_when_filled_in() {
    let standin = Options { documents: vec!["Port-And-More".to_owned()], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let skeleton = bench.proxy().arg("--generate-cli-skeleton").without("AWS_REGION").without("AWS_ACCESS_KEY_ID");
    let mut request: Value = serde_json::from_str(&skeleton.run().ok().text()).unwrap();
    request["Target"] = "i-0bbb".into();
    let _ = bench.proxy().args(["--cli-input-json", &request.to_string()]).run().ok();
    request["DocumentName"] = "Port-And-More".into();
    request["Reason"] = "why".into();
    request["Parameters"] = json!({ "portNumber": ["22"], "localPortNumber": ["0"] });
    let _ = bench.proxy().args(["--cli-input-json", &request.to_string()]).run().ok();
    let report = bench.finish();
    let asked: Vec<_> = report
        .sessions
        .iter()
        .map(|session| (&*session.target, session.document.as_deref(), session.reason.as_deref(), &session.parameters))
        .collect();
    let list = |value: &str| vec![value.to_owned()];
    let plain = BTreeMap::from([("portNumber".to_owned(), list("22"))]);
    let both = BTreeMap::from([("portNumber".to_owned(), list("22")), ("localPortNumber".to_owned(), list("0"))]);
    assert_eq!(
        asked,
        [("i-0bbb", Some("AWS-StartSSHSession"), None, &plain), ("i-0bbb", Some("Port-And-More"), Some("why"), &both),]
    );
}

#[test]
fn json_that_cannot_be_used_is_a_usage_error_that_names_the_key() {
    let bench = Bench::open();
    for (json, named) in [
        (r#"{"Target":"i-0","Port":22}"#, "unknown key \"Port\""),
        (r#"{"Target":["i-0"]}"#, "Target must be a string"),
        (r#"{"Target":"i-0","Parameters":{"portNumber":22}}"#, "Parameters.portNumber must be a list of strings"),
        ("{", "--cli-input-json: not JSON"),
    ] {
        let done = bench.proxy().args(["--cli-input-json", json]).run().code(2);
        assert!(done.stdout.is_empty() && done.stderr.contains(named), "{done}");
    }
    let done = bench.proxy().args(["--cli-input-json", "file://~/nowhere.json"]).run().code(78);
    assert_eq!(
        done.stderr,
        "ssm-proxy: --cli-input-json: ~/nowhere.json cannot be read: No such file or directory (os error 2)\n  \
           hint: name a file that can be read, as file://PATH, or give its content itself\n"
    );
    assert!(bench.finish().calls.is_empty(), "nothing was asked of the service");
}

#[test]
fn no_verify_ssl_takes_any_certificate_and_says_so() {
    let bench = Bench::encrypted(Options::default());
    let input = noise(1, 100_000);
    let ssh = bench.ssh().args(["-o", "ProxyCommand=ssm-proxy --no-verify-ssl %h %p", HOST, "cat"]);
    let done = ssh.without("AWS_CA_BUNDLE").run_with(input.clone()).ok();
    assert!(done.stdout == input, "other bytes came back: {done}");
    assert_eq!(done.stderr, WARNING);
    // It wins over a file, as with the AWS CLI, which is then not even read.
    let proxy = bench.proxy().args(["--no-verify-ssl", "--ca-bundle", "/nowhere.pem", HOST]);
    assert_eq!(proxy.run().ok().stderr, WARNING);
    bench.finish();
}

#[test]
fn no_verify_ssl_takes_the_certificate_of_a_proxy_too() {
    let bench = Bench::proxied(Options::default());
    let proxy = || bench.proxy().env("HTTPS_PROXY", format!("https://localhost:{}", tls_proxy()));
    let done = proxy().arg(HOST).run().code(75);
    assert!(done.stderr.contains("the TLS certificate of the proxy localhost:"), "{done}");
    assert_eq!(proxy().args(["--no-verify-ssl", HOST]).run().ok().stderr, WARNING);
    bench.finish();
}

#[test]
fn the_early_connection_trusts_whom_the_others_trust() {
    let bench = Bench::encrypted(Options::default());
    let ca = bench.server().ca_pem_path().unwrap().display().to_string();
    for trust in [&["--no-verify-ssl"][..], &["--ca-bundle", &ca]] {
        let proxy = bench.proxy().args(trust).args(["-vv", HOST]).without("AWS_CA_BUNDLE");
        let done = proxy.env("AWS_ENDPOINT_URL_SSMMESSAGES", bench.server().endpoint()).run().ok();
        assert!(done.stderr.contains("data channel open"), "{done}");
        assert!(!done.stderr.contains("no early connection"), "{done}");
    }
    bench.finish();
}

#[test]
fn without_these_options_a_stranger_is_not_trusted() {
    let bench = Bench::encrypted(Options::default());
    let done = bench.proxy().arg(HOST).without("AWS_CA_BUNDLE").run().code(75);
    assert!(done.stderr.contains("the TLS certificate of 127.0.0.1 is not trusted"), "{done}");
    assert!(done.stderr.contains("name a PEM file with its CA certificate by --ca-bundle or AWS_CA_BUNDLE"), "{done}");
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn ca_bundle_wins_over_the_variable() {
    let bench = Bench::encrypted(Options::default());
    let ca = bench.server().ca_pem_path().unwrap();
    fs::copy(ca, bench.user().home().join("ca.pem")).unwrap();
    let ssh = bench.ssh().args(["-o", "ProxyCommand=ssm-proxy --ca-bundle='~/ca.pem' %h %p", HOST, "cat"]);
    let done = ssh.env("AWS_CA_BUNDLE", "/nowhere.pem").run_with("x").ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("x", ""));
    let done = bench.proxy().args(["--ca-bundle", "/nowhere.pem", HOST]).run().code(78);
    assert_eq!(
        done.stderr,
        format!(
            "ssm-proxy: {HOST}: the CA file /nowhere.pem cannot be used: No such file or directory (os error 2)\n  \
               hint: name a PEM file with the certificates to trust by --ca-bundle, or leave that out\n"
        )
    );
    bench.finish();
}

#[test]
fn unsigned_requests_are_refused_by_aws() {
    let bench = Bench::open();
    let done = bench.proxy().args(["--no-sign-request", HOST]).run().code(77);
    let expected = format!(
        "ssm-proxy: {HOST}: 127.0.0.1 wants requests to be signed (MissingAuthenticationTokenException: Missing \
         Authentication Token)\n  hint: leave --no-sign-request out: AWS takes signed requests alone\n"
    );
    assert_eq!(done.stderr, expected);
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn unsigned_requests_reach_whom_does_not_mind() {
    let bench = unsigned(Vec::new());
    let aws = bench.user().home().join(".aws");
    fs::create_dir(&aws).unwrap();
    let mark = bench.folder().join("mark");
    let config = format!("[default]\ncredential_process = sh -c 'echo > {}; exit 1'\n", mark.display());
    fs::write(aws.join("config"), config).unwrap();
    let proxy = || bench.proxy().without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
    let _ = proxy().args(["--no-sign-request", HOST]).run().ok();
    assert!(!mark.exists(), "credentials were looked for");
    let _ = proxy().arg(HOST).run().code(77);
    assert!(mark.exists(), "without the option they are");
    // The service knows no such key: a signature with it would be refused.
    let ssh = bench.ssh().args(["-o", "ProxyCommand=ssm-proxy --no-sign-request %h %p", HOST, "cat"]);
    assert_eq!(ssh.env("AWS_ACCESS_KEY_ID", "AKIDOTHER").run_with("x").ok().text(), "x");
    let checked = proxy().args(["--check", "--no-sign-request", HOST]).run().ok();
    assert!(checked.text().contains("connected, the unsigned upgrade is accepted"), "{checked}");
    assert!(checked.text().contains("- credentials    not looked for: requests are not signed\n"), "{checked}");
    let key = bench.folder().join("key");
    let made = bench.user().tool("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).run();
    drop(made.ok());
    let pushed = proxy().args(["--no-sign-request", "--user", "me", HOST, "--push-key"]).arg(key.with_extension("pub"));
    drop(pushed.run().ok());
    let listed = proxy().args(["--no-sign-request", "--list"]).run().ok();
    assert!(listed.text().contains(HOST), "{listed}");
    assert_eq!(bench.finish().pushed_keys.len(), 1);
}

#[test]
fn an_unsigned_upgrade_that_is_refused_is_explained() {
    let rule =
        ApiRule { operation: "OpenDataChannel".to_owned(), fault: ApiFault::Forbidden, skip: 0, times: u32::MAX };
    let bench = unsigned(vec![rule]);
    let done = bench.proxy().args(["--no-sign-request", HOST]).run().code(77);
    assert!(done.stderr.contains("127.0.0.1 refused the session's WebSocket: 403 Forbidden\n"), "{done}");
    assert!(done.stderr.contains("  hint: leave --no-sign-request out"), "{done}");
    bench.finish();
}

#[test]
fn a_silent_service_is_given_the_time_that_the_user_says() {
    let bench = Bench::open();
    let (_listener, address) = silent();
    let https = format!("https://{address}");
    // Each in far less than the limit that would hold otherwise: 20, 10 and 15 s.
    for (args, variable, said) in [
        (
            &["--cli-read-timeout", "1", "--endpoint-url", &format!("http://{address}")][..],
            "-",
            "127.0.0.1 does not answer",
        ),
        (&["--cli-connect-timeout", "1", "--endpoint-url", &https], "-", "127.0.0.1 cannot be reached: timed out"),
        (
            &["--cli-connect-timeout", "1", "--connect-timeout", "3"],
            "AWS_ENDPOINT_URL_SSMMESSAGES",
            "the data channel could not be opened within 3 s: 127.0.0.1 cannot be reached: timed out",
        ),
    ] {
        let done = bench.proxy().args(args).arg(HOST).env(variable, &https).run().code(75);
        // On a slow machine a line that it is tried again may come first.
        let error = format!("ssm-proxy: {HOST}: {said}");
        assert!(done.stderr.lines().any(|line| line == error), "{done}");
        assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&done.took), "{done}");
    }
    bench.finish();
}

#[test]
fn a_limit_of_0_is_none() {
    let bench = Bench::open();
    let (_listener, address) = silent();
    let endpoint = format!("https://{address}");
    // The limit that holds all the same ends it, and no sooner. That none is longer than the 10 s that a connection has
    // otherwise is shown where limits are plain values: src/cli/tests.rs, crates/aws/src/overrides.rs.
    let proxy = bench.proxy().args(["--cli-connect-timeout", "0", "--connect-timeout", "2"]);
    let done = proxy.args(["--endpoint-url", &endpoint, HOST]).run().code(75);
    assert!(done.stderr.contains("StartSession was not answered"), "{done}");
    assert!(done.took >= Duration::from_secs(2), "{done}");
    bench.finish();
}

/// The port of an HTTP proxy that speaks TLS, with a certificate that nobody trusts.
fn tls_proxy() -> u16 {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(lead_through(acceptor.clone(), client));
            }
        });
    });
    port
}

/// Serves one CONNECT.
async fn lead_through(acceptor: TlsAcceptor, client: TcpStream) -> io::Result<()> {
    let mut client = BufReader::new(acceptor.accept(client).await?);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if client.read_line(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let target = request.split(' ').nth(1).unwrap_or_default();
    let mut server = TcpStream::connect(target).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
