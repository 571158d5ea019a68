//! What goes wrong on the way to AWS.

use std::net::{Ipv4Addr, SocketAddr};

use fixtures::standin::Options;
use fixtures::{Bench, Blackhole, HOST, Peer, Switchboard, refused_port};

use super::{bench, says};

const NETWORK: &str = "check the network and the region; behind a proxy, set HTTPS_PROXY";

/// Loopback, a port for the system to choose.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[test]
fn nobody_listens() {
    let (address, _taken) = refused_port();
    let bench = bench(Options::default());
    says(
        bench.proxy().args([HOST, "--endpoint-url", &format!("http://{address}")]).run(),
        75,
        &format!("127.0.0.1 cannot be reached: {}", std::io::Error::from(rustix::io::Errno::CONNREFUSED)),
        NETWORK,
    );
    bench.finish();
}

/// No host name begins with a hyphen, so no name server is asked.
#[test]
fn a_name_that_does_not_exist() {
    let bench = bench(Options::default());
    says(
        bench.proxy().args([HOST, "--endpoint-url", "https://-nowhere.invalid"]).run(),
        75,
        "-nowhere.invalid cannot be found: failed to lookup address information: Name or service not known",
        "check the region and the network's DNS; behind a proxy, set HTTPS_PROXY",
    );
    bench.finish();
}

#[test]
fn packets_that_vanish() {
    let hole = Blackhole::at(ANY);
    let bench = bench(Options::default());
    says(
        bench.proxy().args([HOST, "--endpoint-url", &format!("http://{}", hole.address())]).run(),
        75,
        "127.0.0.1 cannot be reached: timed out",
        NETWORK,
    );
    bench.finish();
}

#[test]
fn a_server_that_takes_the_connection_and_says_nothing() {
    let mute = Peer::mute();
    let bench = bench(Options::default());
    let at = |scheme: &str| format!("{scheme}://{}", mute.address());
    let hasty = bench.proxy().args([HOST, "--connect-timeout", "1", "--endpoint-url", &at("http")]).start();
    let tls = bench.proxy().args([HOST, "--endpoint-url", &at("https")]).start();
    let http = bench.proxy().args([HOST, "--endpoint-url", &at("http")]).start();
    says(
        hasty.ended(),
        75,
        "StartSession was not answered in time",
        "check the network; behind a proxy, set HTTPS_PROXY; --connect-timeout allows more time",
    );
    says(tls.ended(), 75, "127.0.0.1 cannot be reached: timed out", NETWORK);
    says(http.ended(), 75, "127.0.0.1 does not answer", "try again; behind a proxy, set HTTPS_PROXY");
    bench.finish();
}

#[test]
fn a_server_that_hangs_up() {
    let closing = Peer::source(Vec::new());
    let bench = bench(Options::default());
    says(
        bench.proxy().args([HOST, "--endpoint-url", &format!("https://{}", closing.address())]).run(),
        75,
        "127.0.0.1 cannot be reached: tls handshake eof",
        NETWORK,
    );
    bench.finish();
}

#[test]
fn a_server_without_tls() {
    let bench = bench(Options::default());
    let address = bench.server().address();
    says(
        bench.proxy().args([HOST, "--endpoint-url", &format!("https://{address}")]).run(),
        75,
        &format!("{address} does not speak TLS"),
        "check --endpoint-url, its port, and whether it should begin with http://",
    );
    bench.finish();
}

#[test]
fn a_server_with_tls_that_is_not_asked_for() {
    let bench = Bench::encrypted(Options::default());
    let address = bench.server().address();
    says(
        bench.proxy().args([HOST, "--endpoint-url", &format!("http://{address}")]).run(),
        75,
        "127.0.0.1 cannot be reached: invalid HTTP version parsed",
        "try again in a moment; check --endpoint-url if there is one: http:// or https://, host and port",
    );
    bench.finish();
}

#[test]
fn a_certificate_of_somebody_else() {
    let bench = Bench::encrypted(Options::default());
    says(
        bench.proxy().arg(HOST).without("AWS_CA_BUNDLE").run(),
        75,
        "the TLS certificate of 127.0.0.1 is not trusted (UnknownIssuer)",
        "if your network inspects TLS, name a PEM file with its CA certificate by --ca-bundle or AWS_CA_BUNDLE",
    );
    // The right authority, and another host's name.
    let address = bench.server().address();
    let names = Switchboard::open([("elsewhere.test:443".to_owned(), fixtures::Answer::To(address))]);
    let proxy = bench.proxy().args([HOST, "--endpoint-url", "https://elsewhere.test"]);
    says(
        proxy.env("HTTPS_PROXY", names.url()).run(),
        75,
        "the TLS certificate of elsewhere.test is not its own (certificate not valid for name \"elsewhere.test\"; \
         certificate is only valid for DnsName(\"localhost\"), IpAddress(127.0.0.1) or IpAddress(0::1))",
        "check --endpoint-url and the network's DNS: whoever answers there is not the host that was asked for",
    );
    bench.finish();
}

#[test]
fn no_region() {
    let bench = bench(Options::default());
    let config = bench.user().home().join(".aws/config");
    says(
        bench.proxy().arg(HOST).without("AWS_REGION").run(),
        78,
        "no AWS region is set",
        &format!("give --region, set AWS_REGION, or write region = … under [default] in {}", config.display()),
    );
    says(
        bench.proxy().args([HOST, "--region", "us east 1"]).run(),
        78,
        "\"us east 1\" is not a region",
        "give a region such as --region eu-west-1",
    );
    bench.finish();
}
