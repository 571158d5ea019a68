//! The signals that end a session end it in order, while nothing flows and in the middle of a download.

use fixtures::standin::{Options, SessionState};
use fixtures::{Bench, HOST, Peer, Setup, Signal, noise};

/// What ends ssm-proxy. SIGHUP is what OpenSSH sends.
const SIGNALS: [Signal; 3] = [Signal::HUP, Signal::TERM, Signal::INT];

/// A download that the signal comes into, and how much of it has arrived by then, in bytes.
const DOWNLOAD: usize = 16 << 20;
const UNDER_WAY: usize = 1 << 20;

#[test]
#[ignore = "contrib/platforms runs it"]
fn while_nothing_flows() {
    in_order(&Peer::echo(), b"up\n", 3);
}

#[test]
#[ignore = "contrib/platforms runs it"]
fn in_the_middle_of_a_download() {
    in_order(&Peer::source(noise(1, DOWNLOAD)), b"", UNDER_WAY);
}

/// Says `first` to the peer, and sends each signal once `arrived` bytes have come from it.
fn in_order(peer: &Peer, first: &[u8], arrived: usize) {
    for signal in SIGNALS {
        let mut standin = Options::default();
        standin.ports.push((7, peer.address()));
        let bench = Bench::with(Setup { standin, ..Setup::default() });
        let mut proxy = bench.proxy().args([HOST, "7"]).start();
        proxy.write(first);
        proxy.expect_bytes(arrived);
        proxy.signal(signal);
        let done = proxy.ended().ok();
        assert_eq!(done.stderr, "", "{signal:?}");
        let state = bench.finish().sessions.pop().map(|session| session.state);
        assert_eq!(state, Some(SessionState::EndedByFlag), "{signal:?}");
    }
}
