//! What proxies refuse. Those that are real are in `tests/proxies.rs`; these say what is hard to make a real one say.

use fixtures::standin::Options;
use fixtures::{Answer, Bench, Done, HOST, Peer, Switchboard, refused_port};

use super::says;

const AROUND: &str = "check HTTPS_PROXY, which names this proxy; hosts in NO_PROXY are reached without it";

/// Runs by way of a proxy that gives this answer; `PROXY` and `API` stand for their addresses.
#[track_caller]
fn answered(answer: &'static str, user: &str, code: i32, failed: &str, hint: &str) {
    let proxy = Switchboard::always(Answer::Says(answer));
    let bench = Bench::proxied(Options::default());
    let url = format!("http://{user}{}", proxy.address());
    let done = bench.proxy().arg(HOST).env("HTTPS_PROXY", url).run();
    let real = |text: &str| {
        text.replace("PROXY_AT", &proxy.address().to_string()).replace("API_AT", &bench.server().authority())
    };
    says(done, code, &real(failed), &real(hint));
    assert!(bench.finish().calls.is_empty());
}

#[test]
fn a_proxy_that_allows_nothing() {
    answered(
        "HTTP/1.1 403 Filtered\r\nServer: tinyproxy\r\n\r\n",
        "",
        75,
        "the proxy PROXY_AT does not connect to API_AT: it answers 403 Filtered",
        "have the proxy allow API_AT, or name the host in NO_PROXY to go around it",
    );
}

#[test]
fn a_proxy_that_cannot_connect() {
    answered(
        "HTTP/1.0 503 Service Unavailable\r\n\r\n<html>The name cannot be resolved</html>",
        "",
        75,
        "the proxy PROXY_AT does not connect to API_AT: it answers 503 Service Unavailable",
        "have the proxy allow API_AT, or name the host in NO_PROXY to go around it",
    );
}

#[test]
fn a_proxy_that_wants_a_password() {
    answered(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
        "",
        77,
        "the proxy PROXY_AT wants a name and a password",
        "write name and password into HTTPS_PROXY: http://NAME:PASSWORD@PROXY_AT",
    );
}

#[test]
fn a_proxy_that_wants_another_password() {
    answered(
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "me:s3cret@",
        77,
        "the proxy PROXY_AT does not accept the name and password",
        "correct name and password in HTTPS_PROXY; write @ as %40, : as %3A, / as %2F and % as %25 there",
    );
}

#[test]
fn what_is_no_proxy() {
    answered(
        "SSH-2.0-OpenSSH_9.2\r\n",
        "",
        75,
        "the proxy PROXY_AT does not connect to API_AT: it does not answer as an HTTP proxy does",
        "have the proxy allow API_AT, or name the host in NO_PROXY to go around it",
    );
}

#[test]
fn a_proxy_that_hangs_up() {
    answered(
        "",
        "",
        75,
        "the proxy PROXY_AT does not connect to API_AT: it closes the connection",
        "have the proxy allow API_AT, or name the host in NO_PROXY to go around it",
    );
}

/// Runs with this proxy for everything.
fn through(bench: &Bench, url: &str) -> Done {
    bench.proxy().arg(HOST).env("ALL_PROXY", url).run()
}

#[test]
fn a_proxy_that_is_not_there() {
    let (address, _taken) = refused_port();
    let refused = std::io::Error::from(rustix::io::Errno::CONNREFUSED);
    let bench = Bench::proxied(Options::default());
    let done = bench.proxy().arg(HOST).env("https_proxy", format!("http://{address}")).run();
    says(
        done,
        75,
        &format!("the proxy {address} cannot be reached: {refused}"),
        &AROUND.replace("HTTPS_PROXY", "https_proxy"),
    );
    says(
        through(&bench, "http://-proxy.invalid:3128"),
        75,
        "the proxy -proxy.invalid:3128 cannot be found: failed to lookup address information: Name or service not known",
        &AROUND.replace("HTTPS_PROXY", "ALL_PROXY"),
    );
    bench.finish();
}

#[test]
fn a_proxy_that_never_answers() {
    let mute = Peer::mute();
    let bench = Bench::proxied(Options::default());
    let api = bench.server().authority();
    let http = bench.proxy().arg(HOST).env("HTTPS_PROXY", format!("http://{}", mute.address())).start();
    let socks = bench.proxy().arg(HOST).env("HTTPS_PROXY", format!("socks5://{}", mute.address())).start();
    for done in [http, socks] {
        let failed = format!("the proxy {} does not connect to {api}: timed out", mute.address());
        says(done.ended(), 75, &failed, AROUND);
    }
    bench.finish();
}

#[test]
fn an_https_proxy_that_speaks_no_tls() {
    let proxy = Peer::source(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let bench = Bench::proxied(Options::default());
    let done = bench.proxy().arg(HOST).env("HTTPS_PROXY", format!("https://{}", proxy.address())).run();
    says(
        done,
        75,
        &format!("the proxy {} does not speak TLS", proxy.address()),
        "check HTTPS_PROXY: perhaps it should begin with http://",
    );
    bench.finish();
}

#[test]
fn a_socks_proxy_that_refuses() {
    let bench = Bench::proxied(Options::default());
    let api = bench.server().authority();
    for (answer, failed, hint) in [
        // RFC 1928: no acceptable method; then: not allowed, of a connection.
        (
            &b"\x05\xff"[..],
            "the proxy PROXY_AT wants a name and a password",
            "write name and password into ALL_PROXY: socks5h://NAME:PASSWORD@PROXY_AT",
        ),
        (
            b"\x05\x00\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00",
            "the proxy PROXY_AT does not connect to API_AT: it says \"connection not allowed\"",
            "have the proxy allow API_AT, or name the host in NO_PROXY to go around it",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "the proxy PROXY_AT does not connect to API_AT: it does not answer as a SOCKS proxy does",
            "have the proxy allow API_AT, or name the host in NO_PROXY to go around it",
        ),
        (
            b"",
            "the proxy PROXY_AT does not connect to API_AT: it closes the connection",
            "have the proxy allow API_AT, or name the host in NO_PROXY to go around it",
        ),
    ] {
        let proxy = Peer::source(answer.to_vec());
        let real = |text: &str| text.replace("PROXY_AT", &proxy.address().to_string()).replace("API_AT", &api);
        let code = if failed.contains("password") { 77 } else { 75 };
        says(through(&bench, &format!("socks5h://{}", proxy.address())), code, &real(failed), &real(hint));
    }
    bench.finish();
}
