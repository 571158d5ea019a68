//! What all connections share: who has not proved itself yet, which bonds there are, and when nobody needs the program.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use crate::bond::Link;
use crate::log::line;

/// How long a connection may take to prove itself.
const PROOF_LIMIT: Duration = Duration::from_secs(10);
/// Connections that have not proved themselves: beyond, the oldest is closed.
const MAX_UNPROVEN: usize = 64;
/// Those of them that have dialled.
const MAX_DIALLED: usize = 8;
/// Bonds at a time. Each may hold its windows both ways.
const MAX_BONDS: usize = 64;
/// How long accepting pauses where the kernel gives no descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Names a bond: 16 random bytes of the client's.
pub(crate) type BondId = [u8; 16];

/// A bond that others may join.
pub(crate) struct Entry<Key> {
    pub(crate) key: Key,
    pub(crate) links: mpsc::Sender<(Link, Vec<u8>)>,
}

/// What all connections share.
pub(crate) struct Joiner<Key> {
    bonds: RefCell<HashMap<BondId, Entry<Key>>>,
    unproven: RefCell<VecDeque<(u64, AbortHandle)>>,
    dialled: RefCell<usize>,
    used: RefCell<Instant>,
}

impl<Key> Joiner<Key> {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            bonds: RefCell::default(),
            unproven: RefCell::default(),
            dialled: RefCell::default(),
            used: RefCell::new(now),
        }
    }

    /// Enters a bond, unless its id is taken or there are too many.
    pub(crate) fn enter(&self, id: BondId, entry: Entry<Key>) -> bool {
        let mut bonds = self.bonds.borrow_mut();
        let is_free = bonds.len() < MAX_BONDS && !bonds.contains_key(&id);
        if is_free {
            bonds.insert(id, entry);
        }
        is_free
    }

    /// Forgets a bond that is over.
    pub(crate) fn leave(&self, id: &BondId, now: Instant) {
        self.bonds.borrow_mut().remove(id);
        *self.used.borrow_mut() = now;
    }

    /// Looks at a bond that others may join.
    pub(crate) fn with<T>(&self, id: &BondId, look: impl FnOnce(&Entry<Key>) -> T) -> Option<T> {
        self.bonds.borrow().get(id).map(look)
    }

    /// When nobody has needed the program for `idle`, unless that changes; `None` while there is a bond.
    pub(crate) fn ends_at(&self, idle: Duration) -> Option<Instant> {
        self.bonds.borrow().is_empty().then(|| *self.used.borrow() + idle)
    }

    /// Takes one of the few places of those that dial before they have proved anything.
    pub(crate) fn dial_early(self: &Rc<Self>) -> Option<Dialled<Key>> {
        let mut dialled = self.dialled.borrow_mut();
        let is_free = *dialled < MAX_DIALLED;
        *dialled += usize::from(is_free);
        is_free.then(|| Dialled(Rc::clone(self)))
    }

    fn admit(&self, serial: u64, task: &JoinHandle<()>) {
        let mut unproven = self.unproven.borrow_mut();
        if unproven.len() >= MAX_UNPROVEN
            && let Some((_, oldest)) = unproven.pop_front()
        {
            oldest.abort();
            line(format_args!("too many connections that prove nothing: the oldest is closed"));
        }
        unproven.push_back((serial, task.abort_handle()));
    }

    /// A connection has proved itself, or is gone.
    pub(crate) fn settled(&self, serial: u64) {
        self.unproven.borrow_mut().retain(|(other, _)| *other != serial);
    }
}

/// A place among those that have dialled early, until it is dropped.
pub(crate) struct Dialled<Key>(Rc<Joiner<Key>>);

impl<Key> Drop for Dialled<Key> {
    fn drop(&mut self) {
        *self.0.dialled.borrow_mut() -= 1;
    }
}

/// Accepts connections for ever. `serve` takes each until it has proved itself, and gives back what goes on from there.
pub(crate) async fn accept<Key, Opening, Rest>(
    joiner: Rc<Joiner<Key>>,
    listener: TcpListener,
    serials: Rc<RefCell<u64>>,
    serve: impl Fn(tokio::net::TcpStream) -> Opening,
) where
    Key: 'static,
    Opening: Future<Output = Option<Rest>> + 'static,
    Rest: Future<Output = ()> + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        // A key stroke is not to wait for another.
        drop(stream.set_nodelay(true));
        let serial = {
            let mut next = serials.borrow_mut();
            *next += 1;
            *next
        };
        let (opening, shared) = (serve(stream), Rc::clone(&joiner));
        let task = spawn_local(async move {
            let proved = timeout(PROOF_LIMIT, opening).await;
            shared.settled(serial);
            match proved {
                Ok(Some(rest)) => drop(spawn_local(rest)),
                Ok(None) => {}
                Err(_) => line(format_args!("a connection has proved nothing in time and is closed")),
            }
        });
        joiner.admit(serial, &task);
    }
}
