//! A node with a joiner, and clients that know of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use fixtures::{JoinerPorts, Running, Tool, free_port, until};
use tempfile::TempDir;

use super::{AGGLIGATOR_PORT, Carrier};
use crate::client::{Client, Usage, usage_of_group};
use crate::far::BANNER;
use crate::rig::{Rig, Scene, Subject};

/// How long anything may take to come about.
const LIMIT: Duration = Duration::from_secs(30);
/// How often the stand-in is asked how many sessions there are.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A session that has carried so many bytes one way carries bulk.
const CARRIES: u64 = 16 << 10;

pub(super) struct Node {
    pub(super) rig: Rig,
    joiner: Option<Running>,
    aggligator: Option<Running>,
    folder: TempDir,
}

impl Node {
    /// One with what the carrier needs there, which leads to `far` as a plain session does.
    pub(super) fn new(scene: Scene, far: SocketAddr, subject: &Subject, carrier: Carrier) -> io::Result<Self> {
        let mut scene = scene;
        match (carrier, &subject.aggligator) {
            (Carrier::Aggligator(_) | Carrier::AggligatorGrowing(_), Some(program)) => {
                let near = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
                scene.standin.ports.push((AGGLIGATOR_PORT, near));
                let aggligator = Tool::new(program).args(["far", &near.to_string(), &far.to_string()]).spawn();
                aggligator.listens(near.port());
                let mut node = Self::without_joiner(scene, far)?;
                node.aggligator = Some(aggligator);
                Ok(node)
            }
            _ => {
                let ports = JoinerPorts::open();
                scene.standin.ports.extend(ports.leads());
                let mut node = Self::without_joiner(scene, far)?;
                node.joiner = Some(ports.start(far));
                Ok(node)
            }
        }
    }

    pub(super) fn without_joiner(scene: Scene, far: SocketAddr) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ssm-proxy-bench-").tempdir()?;
        let mut rig = Rig::new(scene, far)?;
        let cache = folder.path().join("cache");
        rig.variables.push(("XDG_CACHE_HOME".to_owned(), cache.display().to_string()));
        Ok(Self { rig, joiner: None, aggligator: None, folder })
    }

    /// A folder for what belongs to it.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a client.
    pub(super) fn start(&self, subject: &Subject, carrier: Carrier) -> io::Result<Client> {
        Client::start(self.rig.command(subject, &carrier.command(subject)))
    }

    /// Lets the clients know of the joiner, by a connection to a far end that says [`BANNER`].
    pub(super) fn introduce(&self, subject: &Subject) -> io::Result<()> {
        if self.joiner.is_none() {
            return Ok(());
        }
        let mut client = self.start(subject, Carrier::Bond(1))?;
        let begun = client.count_stdout().wait_for(BANNER.len() as u64, LIMIT);
        begun.ok_or_else(|| io::Error::other("the joiner brought nothing within 30 s"))?;
        self.is_known()?;
        client.end();
        self.has_ended()
    }

    /// Waits until the joiner is known.
    pub(super) fn is_known(&self) -> io::Result<()> {
        let known = self.folder("cache").join("ssm-proxy/joiners");
        let is_there = || known.read_dir().ok()?.next();
        until(LIMIT, is_there).ok_or_else(|| io::Error::other("the joiner was not found within 30 s"))?.map(drop)
    }

    /// Lets the clients know nothing of the node.
    pub(super) fn forget(&self) {
        // What is not there need not be forgotten.
        let _ = std::fs::remove_dir_all(self.folder("cache"));
    }

    /// Waits until no session is left.
    pub(super) fn has_ended(&self) -> io::Result<()> {
        let none = || self.rig.server.report().open_sessions().next().is_none().then_some(());
        until(LIMIT, none).ok_or_else(|| io::Error::other("a session was left behind"))
    }

    /// Waits until so many sessions carry bulk, and says when that was.
    pub(super) fn grown(&self, sessions: usize) -> io::Result<Instant> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let carrying = self.carrying();
            if carrying >= sessions {
                return Ok(Instant::now());
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("{carrying} sessions after 30 s of bulk, not {sessions}")));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// What the stand-in has to say against the client, behind what was measured.
    pub(super) fn complaints(&self) -> String {
        let complaints = self.rig.complaints();
        if complaints.is_empty() { complaints } else { format!(" ({complaints})") }
    }

    fn carrying(&self) -> usize {
        let report = self.rig.server.report();
        let carries = |bytes: u64| bytes >= CARRIES;
        let open = report.open_sessions().map(|session| session.traffic);
        open.filter(|traffic| carries(traffic.bytes_from_client) || carries(traffic.bytes_to_client)).count()
    }

    /// Bytes of all sessions so far, from the client and to it.
    pub(super) fn carried(&self, up: bool) -> u64 {
        let report = self.rig.server.report();
        let traffic = report.sessions.iter().map(|session| session.traffic);
        traffic.map(|traffic| if up { traffic.bytes_from_client } else { traffic.bytes_to_client }).sum()
    }

    /// What the half on the node has used so far.
    pub(super) fn far_usage(&self) -> Usage {
        let group =
            self.joiner.as_ref().or(self.aggligator.as_ref()).and_then(|joiner| u32::try_from(joiner.id()).ok());
        group.map(usage_of_group).unwrap_or_default()
    }
}
