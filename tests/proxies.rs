//! Proxies that are real, and which of them the variables of the environment choose.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::fs;

use fixtures::standin::{Options, tls};
use fixtures::{Account, Answer, Bench, HOST, Signal, Switchboard, Tool, free_port};

#[test]
fn an_https_proxy_carries_api_and_websocket() {
    // A proxy sees only where to.
    let bench = Bench::proxied(Options::default());
    let inner = Switchboard::open([(bench.server().authority(), Answer::To(bench.server().address()))]);
    let (issued, port) = (tls::issue(&[]).unwrap(), free_port());
    let file = |name: &str, text: &str| {
        let path = bench.folder().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (file("proxy.pem", &issued.certificate_pem), file("proxy.key", &issued.key_pem));
    let configuration = format!(
        "foreground = yes\npid =\n[proxy]\naccept = 127.0.0.1:{port}\nconnect = {}\ncert = {cert}\nkey = {key}\n",
        inner.address()
    );
    let stunnel = bench.user().tool("stunnel").arg(file("stunnel.conf", &configuration)).spawn();
    stunnel.listens(port);
    let url = format!("https://127.0.0.1:{port}");
    let of_aws = fs::read_to_string(bench.server().ca_pem_path().unwrap()).unwrap();
    let both = file("both.pem", &(of_aws + &issued.authority_pem));
    let done = bench.ssh().args([HOST, "cat"]).env("HTTPS_PROXY", &url).env("AWS_CA_BUNDLE", both).run_with("x").ok();
    assert_eq!(done.text(), "x");
    assert_eq!(inner.asked(), vec![bench.server().authority(); 2], "StartSession and the WebSocket");
    // The stand-in's authority has not signed the proxy's certificate.
    let done = bench.proxy().arg(HOST).env("HTTPS_PROXY", &url).run().code(75);
    assert_eq!(
        done.stderr,
        format!(
            "ssm-proxy: {HOST}: the TLS certificate of the proxy 127.0.0.1:{port} is not trusted (BadSignature)\n  \
             hint: if your network inspects TLS, name a PEM file with its CA certificate by --ca-bundle or AWS_CA_BUNDLE\n"
        )
    );
    bench.finish();
}

#[test]
fn a_socks_proxy_with_a_password_carries_api_and_websocket() {
    let bench = Bench::proxied(Options::default());
    let port = free_port();
    let user = ["-u", "me", "-P", "s3cret", "-i", "127.0.0.1", "-p"];
    let microsocks = bench.user().tool("microsocks").args(user).arg(port.to_string()).spawn();
    microsocks.listens(port);
    for scheme in ["socks5", "socks5h"] {
        let url = format!("{scheme}://me:s%33cret@127.0.0.1:{port}");
        let done = bench.ssh().args([HOST, "cat"]).env("ALL_PROXY", url).run_with("x").ok();
        assert_eq!(done.text(), "x");
    }
    let wrong = bench.proxy().arg(HOST).env("ALL_PROXY", format!("socks5h://me:wr0ng@127.0.0.1:{port}")).run().code(77);
    assert_eq!(
        wrong.stderr,
        format!(
            "ssm-proxy: {HOST}: the proxy 127.0.0.1:{port} does not accept the name and password\n  hint: correct name \
             and password in ALL_PROXY; write @ as %40, : as %3A, / as %2F and % as %25 there\n"
        )
    );
    let none = bench.proxy().arg(HOST).env("ALL_PROXY", format!("socks5h://127.0.0.1:{port}")).run().code(77);
    assert_eq!(
        none.stderr,
        format!(
            "ssm-proxy: {HOST}: the proxy 127.0.0.1:{port} wants a name and a password\n  hint: write name and password \
             into ALL_PROXY: socks5h://NAME:PASSWORD@127.0.0.1:{port}\n"
        )
    );
    microsocks.signal(Signal::TERM);
    let log = microsocks.ended();
    let through = log.stderr.matches(&format!("connected to {}", bench.server().authority())).count();
    assert_eq!(through, 4, "StartSession and the WebSocket, twice: {log}");
    bench.finish();
}

#[test]
fn the_variable_that_says_most_is_taken() {
    let bench = Bench::proxied(Options::default());
    let server = bench.server();
    let lines = || Switchboard::open([(server.authority(), Answer::To(server.address()))]);
    for (taken, other) in [
        ("HTTPS_PROXY", Some("ALL_PROXY")),
        ("https_proxy", Some("all_proxy")),
        ("https_proxy", Some("ALL_PROXY")),
        ("HTTPS_PROXY", Some("https_proxy")),
        ("HTTPS_PROXY", Some("HTTP_PROXY")),
        ("ALL_PROXY", Some("HTTP_PROXY")),
        ("all_proxy", None),
    ] {
        let (right, wrong) = (lines(), lines());
        let mut tool = bench.proxy().arg(HOST).env(taken, right.url());
        if let Some(other) = other {
            tool = tool.env(other, wrong.url());
        }
        let _ = tool.run().ok();
        assert_eq!((right.asked().len(), wrong.asked().len()), (2, 0), "{taken} and {other:?}");
    }
    bench.finish();
}

/// No host name begins with a hyphen: what goes around the proxy ends at once, without a name server.
#[test]
fn no_proxy_takes_names_suffixes_and_networks() {
    let bench = Bench::proxied(Options::default());
    let lines = Switchboard::always(Answer::Says("HTTP/1.1 403 Forbidden\r\n\r\n"));
    for (host, rules, around) in [
        ("-ssm.private.invalid", "private.invalid", true),
        ("-ssm.private.invalid", "example.com, .private.invalid", true),
        ("-ssm.private.invalid", "-SSM.private.invalid", true),
        ("-ssm.private.invalid", "*", true),
        ("-ssm.private.invalid", "vate.invalid", false),
        ("-ssm.private.invalid", "other.private.invalid", false),
        ("0.0.0.0:1", "0.0.0.0", true),
        ("0.0.0.0:1", "10.0.0.0/8,0.0.0.0/8", true),
        ("0.0.0.0:1", "10.0.0.0/8", false),
        ("[::]:1", "::", true),
        ("[::]:1", "fd00::/8,::/64", true),
        ("[::]:1", "fd00::/8", false),
        // For this machine no proxy is asked, whatever the rules are.
        ("127.0.0.1:1", "10.0.0.0/8", true),
        ("[::1]:1", "fd00::/8", true),
        ("localhost:1", "", true),
    ] {
        for name in ["NO_PROXY", "no_proxy"] {
            let before = lines.asked().len();
            let tool = bench.proxy().args([HOST, "--endpoint-url", &format!("https://{host}")]);
            let done = tool.env("HTTPS_PROXY", lines.url()).env(name, rules).run().code(75);
            assert_eq!(lines.asked().len() == before, around, "{host} with {name}={rules}: {done}");
        }
    }
    bench.finish();
}

#[test]
fn an_empty_variable_names_no_proxy() {
    let bench = Bench::proxied(Options::default());
    let mut tool = bench.proxy().arg(HOST);
    for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"] {
        tool = tool.env(name, "");
    }
    let _ = tool.run().ok();
    assert_eq!(bench.finish().sessions.len(), 1);
}

#[test]
fn a_session_is_resumed_through_the_proxy() {
    use fixtures::Peer;
    use fixtures::standin::Fault;
    let echo = Peer::echo();
    let standin = Options { ports: vec![(7, echo.address())], ..Options::default() };
    let bench = Bench::proxied(standin);
    let lines = Switchboard::open([(bench.server().authority(), Answer::To(bench.server().address()))]);
    let mut proxy = bench.proxy().args([HOST, "7"]).env("HTTPS_PROXY", lines.url()).start();
    proxy.write(b"one\n");
    proxy.expect_stdout("one");
    bench.fault(Fault::bye());
    proxy.write(b"two\n");
    proxy.expect_stdout("two");
    let _ = proxy.hang_up().ok();
    // The API's connection may still be open for ResumeSession.
    assert!(lines.asked().len() >= 3, "{:?}", lines.asked());
    bench.finish();
}

/// The proxy stands for all hosts; whoever it leads there has been asked for nothing that is not theirs.
#[test]
fn whoever_gives_credentials_is_asked_without_a_proxy() {
    let lines = Switchboard::always(Answer::Says("HTTP/1.1 403 Forbidden\r\n\r\n"));
    let account = Account::open("");
    let proxied = |tool: Tool| {
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].into_iter().fold(tool, |tool, name| tool.env(name, lines.url()))
    };
    let container = |uri: &str| {
        let tool = account.proxy().env("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
        proxied(tool.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a-container-token")).arg(HOST)
    };
    let endpoint = account.identity().endpoint();
    let _ = container(&format!("{endpoint}/container")).run().ok();
    assert_eq!(account.identity().count("/container"), 1);
    let instance = |endpoint: &str| {
        let tool = account.proxy().env("AWS_EC2_METADATA_DISABLED", "false");
        proxied(tool.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)).arg(HOST)
    };
    let _ = instance(&endpoint).run().ok();
    // Wherever they are: no host name begins with a hyphen, so these end at once, without a name server.
    let _ = container("https://-pods.example.com/container").run().code(75);
    let _ = instance("http://-metadata.example.com").run().code(77);
    assert_eq!(lines.asked(), [""; 0]);
    account.finish();
}
