//! The signals that end a session end it in order, while nothing flows and in the middle of a download.

use fixtures::standin::SessionState;
use fixtures::{HOST, Signal};
use platforms::Scene;

/// What ends ssm-proxy. SIGHUP is what OpenSSH sends.
const SIGNALS: [Signal; 3] = [Signal::HUP, Signal::TERM, Signal::INT];

#[test]
#[ignore = "contrib/platforms runs it"]
fn while_nothing_flows() {
    in_order(&Scene::quiet());
}

#[test]
#[ignore = "contrib/platforms runs it"]
fn in_the_middle_of_a_download() {
    in_order(&Scene::download());
}

/// Sends each signal at the moment of the scene.
fn in_order(scene: &Scene) {
    for signal in SIGNALS {
        let bench = scene.bench();
        let mut proxy = bench.proxy().args([HOST, "7"]).start();
        proxy.write(scene.first);
        proxy.expect_bytes(scene.arrived);
        proxy.signal(signal);
        let done = proxy.ended().ok();
        assert_eq!(done.stderr, "", "{signal:?}");
        let state = bench.finish().sessions.pop().map(|session| session.state);
        assert_eq!(state, Some(SessionState::EndedByFlag), "{signal:?}");
    }
}
