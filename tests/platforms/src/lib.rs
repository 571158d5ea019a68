//! The scenes of these tests: a peer of the test's own on port 7 of the target, the moment at which a session ends, and
//! files that are copied.

#![allow(clippy::expect_used, reason = "a test ends where its files cannot be read or written")]

use std::fs;

use fixtures::standin::Options;
use fixtures::{Bench, HOST, Peer, Setup, noise};

/// What goes each way, in bytes: four seconds at the service's pace.
pub const LENGTH: usize = 4 << 20;

/// A download that the end comes into, and how much of it has arrived by then, in bytes.
const DOWNLOAD: usize = 16 << 20;
const UNDER_WAY: usize = 1 << 20;

/// A session with a peer, up to the moment at which it is ended.
pub struct Scene {
    peer: Peer,
    /// Said to the peer at the start.
    pub first: &'static [u8],
    /// How many bytes have come from the peer when the end comes.
    pub arrived: usize,
}

impl Scene {
    /// The end comes while nothing flows.
    #[must_use]
    pub fn quiet() -> Self {
        Self { peer: Peer::echo(), first: b"up\n", arrived: 3 }
    }

    /// The end comes in the middle of a download.
    #[must_use]
    pub fn download() -> Self {
        Self { peer: Peer::source(noise(1, DOWNLOAD)), first: b"", arrived: UNDER_WAY }
    }

    /// A bench on which the peer is there.
    #[must_use]
    pub fn bench(&self) -> Bench {
        Bench::with(Setup { standin: facing(&self.peer), ..Setup::default() })
    }
}

/// A stand-in whose target has `peer` on port 7.
#[must_use]
pub fn facing(peer: &Peer) -> Options {
    Options { ports: vec![(7, peer.address())], ..Options::default() }
}

/// Lets an ssh in, then copies a file there and back, and compares it.
pub fn ssh_and_scp(bench: &Bench) {
    assert_eq!(bench.ssh().args([HOST, "echo in"]).run().ok().text(), "in\n");
    let [here, there, back] = ["here", "there", "back"].map(|name| bench.folder().join(name));
    let sent = noise(2, LENGTH);
    fs::write(&here, &sent).expect("room for the file");
    let far = format!("{HOST}:{}", there.display());
    for (from, to) in [(here.display().to_string(), far.clone()), (far, back.display().to_string())] {
        let _ = bench.user().openssh("scp").arg("-q").args([from, to]).run().ok();
    }
    assert!(fs::read(&there).expect("the file that went up") == sent, "other bytes went up");
    assert!(fs::read(&back).expect("the file that came down") == sent, "other bytes came down");
}
