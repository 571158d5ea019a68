//! Networks with something in between: proxies for the API and the WebSocket, private endpoints.

#![allow(clippy::expect_used, reason = "a test ends where its files cannot be written or read")]

use std::fs;
use std::path::PathBuf;

use fixtures::standin::Options;
use fixtures::{Bench, Done, HOST, Running, Signal, free_port, noise};

/// tinyproxy on a port of its own, with a log.
struct Tinyproxy {
    port: u16,
    log: PathBuf,
    process: Running,
}

impl Tinyproxy {
    fn start(bench: &Bench, settings: &str) -> Self {
        let port = free_port();
        let log = bench.folder().join("tinyproxy.log");
        let file = bench.folder().join("tinyproxy.conf");
        let text =
            format!("Port {port}\nListen 127.0.0.1\nLogFile \"{}\"\nLogLevel Connect\n{settings}\n", log.display());
        fs::write(&file, text).expect("the test's folder can be written to");
        let process = bench.user().tool("tinyproxy").args(["-d", "-c"]).arg(&file).spawn();
        process.listens(port);
        Self { port, log, process }
    }

    /// Ends it, and says to where it connected.
    fn connects(self) -> usize {
        self.process.signal(Signal::TERM);
        drop(self.process.ended());
        fs::read_to_string(self.log).expect("the proxy's log").matches("CONNECT 0.0.0.0").count()
    }
}

fn echoes(done: Done, input: &[u8]) {
    let done = done.ok();
    assert!(done.stdout == input, "other bytes came back: {done}");
}

#[test]
fn an_http_proxy_carries_api_and_websocket() {
    // A proxy sees only where to.
    let bench = Bench::proxied(Options::default());
    let proxy = Tinyproxy::start(&bench, "BasicAuth user secret");
    let input = noise(1, 100_000);
    let url = format!("http://user:s%65cret@127.0.0.1:{}", proxy.port);
    let ssh = bench.ssh().args([HOST, "cat"]).env("HTTPS_PROXY", url);
    echoes(ssh.run_with(input.clone()), &input);
    assert_eq!(proxy.connects(), 2, "StartSession and the WebSocket");
    bench.finish();
}

#[test]
fn a_proxy_that_wants_a_password_is_named_and_the_password_is_not_shown() {
    let bench = Bench::proxied(Options::default());
    let proxy = Tinyproxy::start(&bench, "BasicAuth user secret");
    let at = format!("127.0.0.1:{}", proxy.port);
    let done = bench.proxy().arg(HOST).env("HTTPS_PROXY", format!("http://{at}")).run().code(77);
    let expected = format!(
        "ssm-proxy: {HOST}: the proxy {at} wants a name and a password\n  \
           hint: write name and password into HTTPS_PROXY: http://NAME:PASSWORD@{at}\n"
    );
    assert_eq!(done.stderr, expected);
    // tinyproxy answers a wrong password with 401.
    let done = bench.proxy().arg(HOST).env("HTTPS_PROXY", format!("http://user:wr0ng@{at}")).run().code(77);
    let expected = format!(
        "ssm-proxy: {HOST}: the proxy {at} does not accept the name and password\n  \
           hint: correct name and password in HTTPS_PROXY; write @ as %40, : as %3A, / as %2F and % as %25 there\n"
    );
    assert_eq!(done.stderr, expected);
    proxy.connects();
    assert!(bench.finish().sessions.is_empty());
}

#[test]
fn no_proxy_goes_around_it() {
    let bench = Bench::proxied(Options::default());
    let dead = format!("http://127.0.0.1:{}", free_port());
    for rule in ["0.0.0.0/8", "0.0.0.0", "*"] {
        let ssh = bench.ssh().args([HOST, "cat"]).env("HTTPS_PROXY", &dead).env("NO_PROXY", rule);
        echoes(ssh.run_with("x"), b"x");
    }
    bench.finish();
}

#[test]
fn a_socks_proxy_carries_api_and_websocket() {
    let bench = Bench::proxied(Options::default());
    let port = free_port();
    let socks = bench.ssh().args(["-v", "-N", "-D", &format!("127.0.0.1:{port}"), "inner"]).spawn();
    socks.listens(port);
    let input = noise(2, 100_000);
    let ssh = bench.ssh().args([HOST, "cat"]).env("ALL_PROXY", format!("socks5h://127.0.0.1:{port}"));
    echoes(ssh.run_with(input.clone()), &input);
    socks.signal(Signal::TERM);
    let done = socks.ended();
    let through = done.stderr.matches("new dynamic-tcpip").count();
    assert!(through >= 2, "StartSession and the WebSocket go through it: {done}");
    bench.finish();
}

#[test]
fn a_private_endpoint_takes_the_place_of_the_streams_host() {
    let standin = Options { stream_host: Some("stream.invalid:1".to_owned()), ..Options::default() };
    let bench = Bench::encrypted(standin);
    let endpoint = bench.server().endpoint();
    let ssh = bench.ssh().args([HOST, "cat"]).env("AWS_ENDPOINT_URL_SSMMESSAGES", &endpoint);
    echoes(ssh.run_with("x"), b"x");
    let flag = ["--ssmmessages-endpoint-url", endpoint.as_str()];
    let proxy_command = format!("ProxyCommand=ssm-proxy {} %h %p", flag.join(" "));
    echoes(bench.ssh().args(["-o", &proxy_command, HOST, "cat"]).run_with("x"), b"x");
    bench.finish();
}
