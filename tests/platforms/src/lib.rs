//! The scenes of these tests: a peer of the test's own on port 7 of the target, and the moment at which a session ends.

use fixtures::standin::Options;
use fixtures::{Bench, Peer, Setup, noise};

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
