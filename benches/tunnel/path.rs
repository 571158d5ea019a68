//! A network path on this machine: what TCP connections through it look like from far away, and when it is cut.
//!
//! It forwards bytes and looks at none of them. Every byte takes the path's delay one way. The first bytes of a
//! connection take one round trip more, which is what TCP's own handshake takes on such a path (here the kernel shakes
//! hands at once, and the client goes on at once). Its capacity has no limit. This works everywhere and without privileges; a real network would add
//! loss below TCP, which this does not.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes forwarded at once.
const CHUNK: usize = 64 << 10;
/// Chunks under way one way, at most: far more than any window here fills.
const UNDER_WAY: usize = 4096;

/// A direction of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// From the client.
    Up,
    /// To the client.
    Down,
}

/// Told of every chunk as it arrives at the path.
pub(crate) type Tap = Arc<dyn Fn(Way, Instant, &[u8]) + Send + Sync>;

/// What a cut looks like to those who are cut off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cut {
    /// Connections end, and new ones are broken off at once.
    Broken,
    /// Nothing is carried, and nothing says so; what was sent arrives when the path is back.
    Silent,
}

struct Shared {
    cut: Mutex<Option<Cut>>,
    changed: Condvar,
    open: Mutex<Vec<TcpStream>>,
    round_trip: Duration,
    tap: Option<Tap>,
}

impl Shared {
    fn cut(&self) -> MutexGuard<'_, Option<Cut>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while_silent(&self) {
        let cut = self.changed.wait_while(self.cut(), |cut| *cut == Some(Cut::Silent));
        drop(cut.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A path whose near end listens on a port of its own. Its threads end with the program.
pub(crate) struct Path {
    address: SocketAddr,
    listener: Option<TcpListener>,
    shared: Arc<Shared>,
}

impl Path {
    /// A path of this round trip that leads nowhere yet. Without a delay it is only a tap, if there is one.
    pub(crate) fn new(round_trip: Duration, tap: Option<Tap>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared =
            Shared { cut: Mutex::new(None), changed: Condvar::new(), open: Mutex::new(Vec::new()), round_trip, tap };
        Ok(Self { address, listener: Some(listener), shared: Arc::new(shared) })
    }

    /// Its near end.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it leads there.
    pub(crate) fn lead_to(&mut self, target: SocketAddr) {
        let Some(listener) = self.listener.take() else { return };
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let broken = *shared.cut() == Some(Cut::Broken);
                // A connection that cannot be made on this machine is as good as one that broke.
                if !broken {
                    let _ = join(&shared, near, target);
                }
            }
        });
    }

    /// Cuts it.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.shared.cut() = Some(cut);
        if cut == Cut::Broken {
            for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Mends it.
    pub(crate) fn mend(&self) {
        *self.shared.cut() = None;
        self.shared.changed.notify_all();
    }
}

/// Joins a new connection to one of its own to `target`.
fn join(shared: &Arc<Shared>, near: TcpStream, target: SocketAddr) -> io::Result<()> {
    let accepted = Instant::now();
    let far = TcpStream::connect(target)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(stream.try_clone()?);
    }
    forward(shared, Way::Up, near.try_clone()?, far.try_clone()?, Schedule::new(Some(accepted), shared.round_trip));
    forward(shared, Way::Down, far, near, Schedule::new(None, shared.round_trip));
    Ok(())
}

/// When bytes arrive.
struct Schedule {
    /// When the connection was made, until its first bytes come.
    accepted: Option<Instant>,
    /// Nothing leaves before.
    earliest: Instant,
    round_trip: Duration,
}

impl Schedule {
    fn new(accepted: Option<Instant>, round_trip: Duration) -> Self {
        Self { accepted, earliest: Instant::now(), round_trip }
    }

    /// When what was sent at `sent` arrives.
    fn due(&mut self, sent: Instant) -> Instant {
        if let Some(accepted) = self.accepted.take() {
            // A client that sends at once could not have begun before the handshake was over, so it sends as much
            // later; one that has its connection in reserve finds it ready.
            let in_reserve = sent - accepted > self.round_trip / 2;
            self.earliest = if in_reserve { accepted + self.round_trip } else { sent + self.round_trip };
        }
        sent.max(self.earliest) + self.round_trip / 2
    }
}

/// Forwards one direction.
fn forward(shared: &Arc<Shared>, way: Way, from: TcpStream, to: TcpStream, schedule: Schedule) {
    let (sender, receiver) = sync_channel(UNDER_WAY);
    let (tap, silence) = (shared.tap.clone(), Arc::clone(shared));
    thread::spawn(move || take(way, from, &sender, schedule, tap.as_ref()));
    thread::spawn(move || hand_over(to, &receiver, || silence.wait_while_silent()));
}

fn take(
    way: Way,
    mut from: TcpStream,
    sender: &SyncSender<(Instant, Vec<u8>)>,
    mut schedule: Schedule,
    tap: Option<&Tap>,
) {
    let mut chunk = vec![0; CHUNK];
    // The end of the stream, and its failure, are passed on by dropping the sender.
    while let Ok(length @ 1..) = from.read(&mut chunk) {
        let now = Instant::now();
        let bytes = chunk.get(..length).unwrap_or_default();
        if let Some(tap) = tap {
            tap(way, now, bytes);
        }
        if sender.send((schedule.due(now), bytes.to_vec())).is_err() {
            return;
        }
    }
}

fn hand_over(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>, wait_while_silent: impl Fn()) {
    for (due, bytes) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        wait_while_silent();
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use fixtures::Peer;

    const ROUND_TRIP: Duration = Duration::from_millis(40);

    fn through(cut: Option<Cut>) -> (Path, TcpStream) {
        let mut path = Path::new(ROUND_TRIP, None).unwrap();
        path.lead_to(Peer::echo().address());
        if let Some(cut) = cut {
            path.cut(cut);
        }
        let stream = TcpStream::connect(path.address()).unwrap();
        (path, stream)
    }

    fn echo(stream: &mut TcpStream) -> Duration {
        let begun = Instant::now();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        begun.elapsed()
    }

    #[test]
    fn a_connection_takes_a_round_trip_more_than_what_follows() {
        let (_path, mut stream) = through(None);
        assert!(echo(&mut stream) >= ROUND_TRIP * 2);
        // The best of some, on a machine that has other things to do.
        let next = (0..20).map(|_| echo(&mut stream)).min().unwrap();
        assert!(next >= ROUND_TRIP && next < ROUND_TRIP * 2, "{next:?}");
    }

    #[test]
    fn a_broken_path_breaks_and_a_silent_one_delivers_later() {
        let (path, mut stream) = through(None);
        echo(&mut stream);
        path.cut(Cut::Broken);
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        let (path, mut stream) = through(Some(Cut::Silent));
        let mended = thread::spawn(move || {
            thread::sleep(ROUND_TRIP * 5);
            path.mend();
        });
        assert!(echo(&mut stream) >= ROUND_TRIP * 5);
        mended.join().unwrap();
    }
}
