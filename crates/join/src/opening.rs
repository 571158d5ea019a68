//! How a connection becomes a link: it is greeted, and proves that it may be one.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use ssm_bond::opening::{AnswerReader, BondKey, Greeting, Port, Proven, Refusal, Secret};
use ssm_bond::{Bond, Config, LinkId, accept, refuse};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::bond::{Link, PIECE, Work};
use crate::destination::dial;
use crate::joiner::{Dialled, Entry, Joiner};
use crate::log::line;

/// Bytes of the destination that go out before the proof: a banner, and no more.
const MOST_EARLY: usize = 4096;
/// Links that wait to be taken up by their bond.
const WAITING_LINKS: usize = 4;

/// What all openings share.
pub(crate) struct Opener {
    pub(crate) joiner: Rc<Joiner<BondKey>>,
    pub(crate) secret: Option<Secret>,
    /// Where bonds go that name no destination.
    pub(crate) to: String,
    pub(crate) join_port: u16,
}

/// A destination that is connected to before the proof.
struct Early {
    dialling: Option<Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>>,
    destination: Option<TcpStream>,
    bond: Bond,
    read: usize,
    _place: Option<Dialled<BondKey>>,
}

/// What happens while a connection proves itself.
enum Turn {
    Writable(io::Result<()>),
    Readable(io::Result<()>),
    Dialled(io::Result<TcpStream>),
    Destination(io::Result<()>),
}

impl Opener {
    fn greeting(&self, port: Port) -> Option<Greeting> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).ok()?;
        let needs_secret = self.secret.is_some();
        Some(Greeting { needs_secret, any_destination: needs_secret, port, join_port: self.join_port, nonce })
    }

    /// A connection to the first port: begins a bond. Gives the bond at work, or nothing for a connection that is refused.
    pub(crate) async fn first(self: Rc<Self>, stream: TcpStream) -> Option<impl Future<Output = ()> + 'static> {
        let now = Instant::now();
        let mut bond = Bond::new(Config::joiner(), now);
        bond.add_link(now, LinkId(0));
        let place = self.joiner.dial_early();
        let to = self.to.clone();
        let dialling =
            place.is_some().then(|| Box::pin(async move { dial(&to).await }) as Pin<Box<dyn Future<Output = _>>>);
        let mut early = Early { dialling, destination: None, bond, read: 0, _place: place };
        let greeting = self.greeting(Port::First)?;
        let mut link = Link::new(LinkId(0), stream);
        let (reader, behind) = answer(&mut link, greeting, Some(&mut early)).await?;
        let proven = match reader.prove_first(self.secret.as_ref()) {
            Ok(proven) => proven,
            Err(error) => return refused(&mut link, error.refusal(), error),
        };
        let (destination, bond) = match self.destination(&reader, early).await {
            Ok(connected) => connected,
            Err(error) => return refused(&mut link, Some(Refusal::Destination), error),
        };
        let (links, waiting) = mpsc::channel(WAITING_LINKS);
        let id = reader.bond_id()?;
        let Proven { key, accept_tag } = proven;
        if !self.joiner.enter(id, Entry { key, links }) {
            return refused(&mut link, Some(Refusal::Limit), "there are too many bonds, or two of one id");
        }
        accept(accept_tag, &mut link.out);
        let mut work = Work::new(bond, destination);
        if work.begin(Instant::now(), link, &behind).is_err() {
            self.joiner.leave(&id, Instant::now());
            return None;
        }
        Some(async move {
            work.run(waiting).await;
            self.joiner.leave(&id, Instant::now());
        })
    }

    /// The connection to the destination, and the bond that has read from it. One that the client names has a bond of its
    /// own: nothing of another destination is in its stream, and the client passes over what came before it was accepted.
    async fn destination(&self, reader: &AnswerReader, early: Early) -> io::Result<(TcpStream, Bond)> {
        if let Some(named) = reader.destination() {
            let now = Instant::now();
            let mut bond = Bond::new(Config::joiner(), now);
            bond.add_link(now, LinkId(0));
            return Ok((dial(named).await?, bond));
        }
        let destination = match (early.destination, early.dialling) {
            (Some(destination), _) => destination,
            (None, Some(dialling)) => dialling.await?,
            (None, None) => dial(&self.to).await?,
        };
        Ok((destination, early.bond))
    }

    /// A connection to the join port: adds a link to a bond.
    pub(crate) async fn join(self: Rc<Self>, stream: TcpStream) -> Option<std::future::Ready<()>> {
        let greeting = self.greeting(Port::Join)?;
        let mut link = Link::new(LinkId(0), stream);
        let (reader, behind) = answer(&mut link, greeting, None).await?;
        let (bond, number) = (reader.bond_id()?, reader.link()?);
        let found = self.joiner.with(&bond, |entry| (reader.prove_join(&entry.key), entry.links.clone()));
        let (proven, links) = match found {
            Some((Ok(proven), links)) => (proven, links),
            Some((Err(error), _)) => return refused(&mut link, error.refusal(), error),
            None => return refused(&mut link, Some(Refusal::NoSuchBond), "there is no such bond"),
        };
        accept(proven.accept_tag, &mut link.out);
        link.id = LinkId(number);
        // A bond that is just over takes no more links.
        links.send((link, behind)).await.ok()?;
        Some(std::future::ready(()))
    }
}

/// Says why, once, to a client that may read it, and closes the connection.
fn refused<T>(link: &mut Link, refusal: Option<Refusal>, why: impl std::fmt::Display) -> Option<T> {
    line(format_args!("a connection is refused: {why}"));
    if let Some(refusal) = refusal {
        refuse(refusal.to_wire(), &mut link.out);
        let waiting = link.out.get(link.at..).unwrap_or_default();
        // It fits into the kernel's buffer, or the client does not read.
        let _ = link.stream.try_write(waiting);
    }
    None
}

/// Greets, and waits for the answer. Gives that, and the bytes that have come behind it.
async fn answer(link: &mut Link, greeting: Greeting, mut early: Option<&mut Early>) -> Option<(AnswerReader, Vec<u8>)> {
    link.out.extend_from_slice(&greeting.encode());
    let mut reader = AnswerReader::new(greeting);
    let mut piece = vec![0; PIECE];
    loop {
        match turn(link, early.as_deref_mut()).await {
            Turn::Writable(ready) => {
                ready.ok()?;
                link.write_now().ok()?;
            }
            Turn::Readable(ready) => {
                ready.ok()?;
                let count = match link.stream.try_read(&mut piece) {
                    Ok(0) => return None,
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(_) => return None,
                };
                let bytes = piece.get(..count).unwrap_or_default();
                let used = match reader.take(bytes) {
                    Ok(used) => used,
                    Err(error) => return refused(link, error.refusal(), error),
                };
                if reader.is_whole() {
                    return Some((reader, bytes.get(used..).unwrap_or_default().to_vec()));
                }
            }
            Turn::Dialled(dialled) => {
                if let Some(early) = early.as_deref_mut() {
                    early.dialling = None;
                    early.destination = dialled.ok();
                }
            }
            Turn::Destination(ready) => {
                ready.ok()?;
                early.as_deref_mut()?.read(link, &mut piece);
            }
        }
    }
}

/// Waits for the next thing to happen.
async fn turn(link: &Link, early: Option<&mut Early>) -> Turn {
    let (dialling, destination) = match early {
        Some(Early { dialling, destination, read, .. }) => {
            (dialling.as_mut(), destination.as_ref().filter(|_| *read < MOST_EARLY))
        }
        None => (None, None),
    };
    let dialled = async {
        match dialling {
            Some(dialling) => dialling.await,
            None => std::future::pending().await,
        }
    };
    let said = async {
        match destination {
            Some(destination) => destination.readable().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ready = link.stream.writable(), if link.has_to_write() => Turn::Writable(ready),
        ready = link.stream.readable() => Turn::Readable(ready),
        dialled = dialled => Turn::Dialled(dialled),
        ready = said => Turn::Destination(ready),
    }
}

impl Early {
    /// Takes what the destination has said into the bond, and out of it into the link.
    fn read(&mut self, link: &mut Link, piece: &mut [u8]) {
        let room = (MOST_EARLY - self.read).min(self.bond.send_capacity());
        let Some(destination) = &self.destination else { return };
        let read = destination.try_read(piece.get_mut(..room).unwrap_or_default());
        match read {
            Ok(count) if count > 0 => {
                self.read += count;
                let now = Instant::now();
                self.bond.send(now, piece.get(..count).unwrap_or_default());
                self.bond.poll_transmit(now, LinkId(0), PIECE, &mut link.out);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Its end is seen again, and passed on, once the bond is at work.
            _ => self.read = MOST_EARLY,
        }
    }
}
