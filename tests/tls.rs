//! The same over https and wss: the certificates that are trusted are those of the system and of AWS's variable.

use fixtures::{Bench, HOST, Setup, noise};

#[test]
fn aws_ca_bundle_is_trusted() {
    trusted_by("AWS_CA_BUNDLE");
}

#[test]
fn ssl_cert_file_is_trusted() {
    trusted_by("SSL_CERT_FILE");
}

fn trusted_by(variable: &'static str) {
    let bench = Bench::with(Setup { ca_variable: Some(variable), ..Setup::default() });
    assert!(bench.server().endpoint().starts_with("https://"), "{} is not TLS", bench.server().endpoint());
    let input = noise(9, 200_000);
    let done = bench.ssh().args([HOST, "cat"]).run_with(input.clone()).ok();
    assert!(done.stdout == input, "other bytes came back: {done}");
    bench.finish();
}

#[test]
fn a_stranger_is_not_trusted() {
    let bench = Bench::with(Setup { ca_variable: Some("AWS_CA_BUNDLE"), ..Setup::default() });
    let done = bench.proxy().arg(HOST).without("AWS_CA_BUNDLE").run();
    assert_ne!(done.status.code(), Some(0), "an unknown certificate was accepted: {done}");
    assert!(done.stderr.contains("certificate"), "the message does not say what is wrong: {done}");
    let report = bench.finish();
    assert!(report.sessions.is_empty());
}
