//! Names with several addresses, IPv6, and AWS's own names in each of its partitions.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::io::copy;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use fixtures::standin::Options;
use fixtures::{Answer, Bench, HOST, Switchboard};

/// Two dials, of which each may lose a second to an address that is dead. A dial gives up after 10 s.
const SOON: Duration = Duration::from_secs(6);

const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

#[test]
fn an_address_of_ipv6_is_an_endpoint() {
    let bench = Bench::encrypted(Options { listen: (V6, 0).into(), ..Options::default() });
    assert!(bench.server().endpoint().starts_with("https://[::1]:"));
    // It is the stream's too, and no proxy is asked for loopback.
    let ssh = bench.ssh().args([HOST, "cat"]).env("HTTPS_PROXY", "http://127.0.0.1:1");
    assert_eq!(ssh.run_with("x").ok().text(), "x");
    let stream = ["--ssmmessages-endpoint-url", &bench.server().endpoint()];
    let _ = bench.proxy().args(stream).arg(HOST).run().ok();
    bench.finish();
}

/// Names with the addresses that a test wants, where the system's resolver can be told so.
#[cfg(target_os = "linux")]
mod names {
    use std::fs;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use fixtures::standin::Options;
    use fixtures::{Bench, Blackhole, HOST, Tool};

    use super::{SOON, V6};

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const SECOND_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

    /// A stand-in at `alive`, under a name whose addresses are these, in this order.
    fn named(alive: IpAddr, addresses: [IpAddr; 2]) -> (Bench, impl Fn(Tool) -> Tool) {
        let port = fixtures::free_port();
        let stream_host = Some(format!("localhost:{port}"));
        let bench = Bench::encrypted(Options { listen: (alive, port).into(), stream_host, ..Options::default() });
        let hosts = bench.folder().join("hosts");
        fs::write(&hosts, addresses.map(|address| format!("{address} localhost\n")).concat()).unwrap();
        let endpoint = format!("https://localhost:{port}");
        let with_name = move |tool: Tool| {
            let tool = tool.env("LD_PRELOAD", "libnss_wrapper.so").env("NSS_WRAPPER_HOSTS", &hosts);
            tool.env("AWS_ENDPOINT_URL_SSM", &endpoint)
        };
        (bench, with_name)
    }

    #[test]
    fn an_address_where_nobody_listens_costs_nothing() {
        for (alive, addresses) in [(V4, [V6, V4]), (V6, [V4, V6]), (V4, [SECOND_V4, V4])] {
            let (bench, with_name) = named(alive, addresses);
            let done = with_name(bench.proxy().arg(HOST)).run().ok();
            assert!(done.took < SOON, "{addresses:?}: {done}");
            assert_eq!(bench.finish().sessions.len(), 1);
        }
    }

    #[test]
    fn an_address_that_swallows_packets_costs_a_second_at_most() {
        for (alive, dead) in [(V4, V6), (V6, V4), (V4, SECOND_V4)] {
            let (bench, with_name) = named(alive, [dead, alive]);
            let _hole = Blackhole::at(SocketAddr::new(dead, bench.server().address().port()));
            let done = with_name(bench.proxy().arg(HOST)).run().ok();
            assert!(done.took < SOON, "{dead} before {alive}: {done}");
            assert_eq!(bench.finish().sessions.len(), 1);
        }
    }
}

/// A way to `to` that holds its first connection up for `slow`, and closes those that come meanwhile. From then on it is as
/// good as any.
fn slow_to_begin(to: SocketAddr, slow: Duration) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut opens = None;
        for stream in listener.incoming().flatten() {
            let now = Instant::now();
            let wait = match opens {
                None => slow,
                Some(opens) if now < opens => continue,
                Some(_) => Duration::ZERO,
            };
            opens.get_or_insert(now + slow);
            thread::spawn(move || {
                thread::sleep(wait);
                let far = TcpStream::connect(to)?;
                let (mut up, mut down) = ((stream.try_clone()?, far.try_clone()?), (far, stream));
                thread::spawn(move || {
                    let _ = copy(&mut up.0, &mut up.1);
                    up.1.shutdown(Shutdown::Write)
                });
                copy(&mut down.0, &mut down.1)
            });
        }
    });
    address
}

#[test]
fn an_attempt_that_fails_does_not_end_one_that_is_only_slow() {
    let bench = Bench::encrypted(Options::default());
    let way = slow_to_begin(bench.server().address(), Duration::from_millis(2500));
    // TLS takes so long that others begin beside it, which fail.
    let done = bench.proxy().args(["--endpoint-url", &format!("https://{way}"), HOST]).run().ok();
    assert!(done.took < SOON, "{done}");
    bench.finish();
}

/// Runs in `region` with AWS's own names, which lead to a stand-in of that region.
fn in_region(region: &str, variables: &[&str], api: &str, stream: &str) {
    let bench = Bench::encrypted(Options {
        region: region.to_owned(),
        host_names: [api, stream].map(str::to_owned).into(),
        stream_host: Some(format!("{stream}:443")),
        ..Options::default()
    });
    let at = bench.server().address();
    let lines = Switchboard::open([api, stream].map(|host| (format!("{host}:443"), Answer::To(at))));
    let mut tool = bench.proxy().arg(HOST).without("AWS_ENDPOINT_URL_SSM").env("HTTPS_PROXY", lines.url());
    for name in variables {
        tool = tool.env(name, "true");
    }
    let _ = tool.run().ok();
    let mut asked = lines.asked();
    asked.sort();
    // Each once: the stream's connection, made early, is the one that is used.
    assert_eq!(asked, [format!("{api}:443"), format!("{stream}:443")], "{region} {variables:?}");
    bench.finish();
}

#[test]
fn each_partition_has_its_own_names() {
    for (region, suffix) in [
        ("us-east-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-gov-west-1", "amazonaws.com"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
        ("eu-isoe-west-1", "cloud.adc-e.uk"),
        ("us-isof-south-1", "csp.hci.ic.gov"),
    ] {
        in_region(region, &[], &format!("ssm.{region}.{suffix}"), &format!("ssmmessages.{region}.{suffix}"));
    }
}

#[test]
fn fips_and_dual_stack_have_names_of_their_own() {
    const FIPS: &str = "AWS_USE_FIPS_ENDPOINT";
    const DUAL: &str = "AWS_USE_DUALSTACK_ENDPOINT";
    for (variables, api, stream) in [
        (&[FIPS][..], "ssm-fips.us-east-1.amazonaws.com", "ssmmessages-fips.us-east-1.amazonaws.com"),
        (&[DUAL], "ssm.us-east-1.api.aws", "ssmmessages.us-east-1.api.aws"),
        (&[FIPS, DUAL], "ssm-fips.us-east-1.api.aws", "ssmmessages-fips.us-east-1.api.aws"),
    ] {
        in_region("us-east-1", variables, api, stream);
    }
}

/// What is dialled before the service says where its stream is, is a guess.
#[test]
fn a_guess_that_is_wrong_costs_nothing() {
    let (api, guess, stream) = (
        "ssm.us-east-1.amazonaws.com",
        "ssmmessages.us-east-1.amazonaws.com:443",
        "vpce-0a1b-2c3d.ssmmessages.us-east-1.vpce.amazonaws.com",
    );
    for wrong in [Answer::Silence, Answer::Says(""), Answer::Says("HTTP/1.1 502 Bad Gateway\r\n\r\n")] {
        let bench = Bench::encrypted(Options {
            host_names: [api, stream].map(str::to_owned).into(),
            stream_host: Some(format!("{stream}:443")),
            ..Options::default()
        });
        let to = || Answer::To(bench.server().address());
        let lines = Switchboard::open([
            (format!("{api}:443"), to()),
            (format!("{stream}:443"), to()),
            (guess.to_owned(), wrong.clone()),
        ]);
        let tool = bench.proxy().arg(HOST).without("AWS_ENDPOINT_URL_SSM").env("HTTPS_PROXY", lines.url());
        let done = tool.run().ok();
        assert_eq!(done.stderr, "");
        assert!(done.took < SOON, "{wrong:?}: {done}");
        assert!(lines.asked().contains(&guess.to_owned()), "{:?}", lines.asked());
        assert_eq!(bench.finish().sessions.len(), 1);
    }
}
