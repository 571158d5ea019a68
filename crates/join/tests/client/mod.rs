//! A client of the joiner, over plain sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ssm_bond::opening::{BondKey, FirstLink, GREETING, Greeting, Refusal, Secret, accepts, answer_first, answer_join};
use ssm_bond::{Bond, Config, Event, LinkId, Verdict, verdict};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a link is listened to before the next has its turn.
const TURN: Duration = Duration::from_millis(1);

/// The joiner has refused a link.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Refused(pub(crate) Refusal);

/// One bond.
pub(crate) struct Client {
    bond: Bond,
    id: [u8; 16],
    key: BondKey,
    join: SocketAddr,
    links: Vec<(u32, TcpStream)>,
    received: Vec<u8>,
    has_finished: bool,
}

fn random<const COUNT: usize>() -> [u8; COUNT] {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

fn connect(to: SocketAddr) -> (TcpStream, Greeting) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    let mut greeting = [0; GREETING];
    stream.read_exact(&mut greeting).unwrap();
    (stream, Greeting::decode(&greeting).unwrap().unwrap())
}

/// Waits for the verdict on a link; gives all that has come, and how much of it is up to the verdict's end.
fn verdict_on(
    stream: &mut TcpStream,
    key: &BondKey,
    greeting: &Greeting,
    answer: &[u8],
) -> Result<(Vec<u8>, usize), Refused> {
    stream.write_all(answer).unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match verdict(&bytes).unwrap() {
            Some((Verdict::Accepted(tag), length)) => {
                assert!(accepts(key, greeting, answer, &tag), "it does not know the key");
                return Ok((bytes, length));
            }
            Some((Verdict::Refused(number), _)) => return Err(Refused(Refusal::from_wire(number).unwrap())),
            None => {}
        }
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "it has closed the connection without a word");
        bytes.extend_from_slice(&piece[..count]);
    }
}

impl Client {
    /// Begins a bond.
    pub(crate) fn begin(first: SocketAddr, secret: Option<Secret>, destination: &str) -> Result<Self, Refused> {
        let (mut stream, greeting) = connect(first);
        let id = random();
        let said =
            FirstLink { bond_id: id, client_nonce: random(), seed: random(), destination: destination.to_owned() };
        let answered = answer_first(&greeting, secret.as_ref(), &said);
        // A joiner without a secret tells that it leads to its own destination alone.
        let (answer, key) = answered.map_err(|_| Refused(Refusal::Destination))?;
        let (bytes, length) = verdict_on(&mut stream, &key, &greeting, &answer)?;
        let join = SocketAddr::new(first.ip(), greeting.join_port);
        let bond = Bond::new(Config::client(), Instant::now());
        let (links, received) = (Vec::new(), Vec::new());
        let mut client = Self { bond, id, key, join, links, received, has_finished: false };
        // What comes ahead of the verdict is of the joiner's own destination.
        let from = if destination.is_empty() { 0 } else { length };
        client.add(0, stream, &bytes[from..]);
        Ok(client)
    }

    pub(crate) fn bond_id(&self) -> [u8; 16] {
        self.id
    }

    /// Opens a link of this number to a bond of this id, with the key of another client.
    pub(crate) fn impostor(&self, id: [u8; 16], with: &Self) -> Result<(), Refused> {
        self.open(id, &with.key, 77).map(drop)
    }

    fn open(&self, id: [u8; 16], key: &BondKey, number: u32) -> Result<(TcpStream, Vec<u8>), Refused> {
        let (mut stream, greeting) = connect(self.join);
        let answer = answer_join(&greeting, key, &id, number, random());
        let (bytes, length) = verdict_on(&mut stream, key, &greeting, &answer)?;
        Ok((stream, bytes[length..].to_vec()))
    }

    /// Adds a link of this number.
    pub(crate) fn join(&mut self, number: u32) -> Result<(), Refused> {
        let (stream, behind) = self.open(self.id, &self.key, number)?;
        self.add(number, stream, &behind);
        Ok(())
    }

    fn add(&mut self, number: u32, stream: TcpStream, bytes: &[u8]) {
        let now = Instant::now();
        stream.set_read_timeout(Some(TURN)).unwrap();
        self.bond.add_link(now, LinkId(number));
        self.bond.handle_bytes(now, LinkId(number), bytes).unwrap();
        self.links.push((number, stream));
    }

    /// Breaks a link off.
    pub(crate) fn drop_link(&mut self, number: u32) {
        self.bond.remove_link(Instant::now(), LinkId(number));
        self.links.retain(|(other, _)| *other != number);
    }

    /// Breaks all links off.
    pub(crate) fn drop_links(&mut self) {
        self.links.iter().map(|(number, _)| *number).collect::<Vec<_>>().into_iter().for_each(|number| {
            self.drop_link(number);
        });
    }

    /// Puts bytes on a link that are no part of the bond, and waits until the joiner has closed it.
    pub(crate) fn raw(&mut self, number: u32, bytes: &[u8]) {
        let (_, stream) = self.links.iter_mut().find(|(other, _)| *other == number).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let begun = Instant::now();
        while self.links.iter().any(|(other, _)| *other == number) {
            assert!(begun.elapsed() < LIMIT, "the link is still there");
            self.turn();
        }
    }

    /// Sends these bytes.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) {
        let begun = Instant::now();
        while !bytes.is_empty() {
            assert!(begun.elapsed() < LIMIT, "{} bytes are left", bytes.len());
            let taken = self.bond.send(Instant::now(), bytes);
            bytes = &bytes[taken..];
            self.turn();
        }
    }

    /// Sends up to so many bytes while they are taken; gives how many were.
    pub(crate) fn pours(&mut self, most: usize) -> usize {
        let (piece, mut sent, mut refused) = (vec![7; 64 << 10], 0, 0);
        while sent < most && refused < 200 {
            let taken = self.bond.send(Instant::now(), &piece);
            (sent, refused) = (sent + taken, if taken == 0 { refused + 1 } else { 0 });
            self.turn();
        }
        sent
    }

    /// Waits for these bytes.
    pub(crate) fn expects(&mut self, bytes: &[u8]) {
        let begun = Instant::now();
        while self.received.len() < bytes.len() {
            assert!(begun.elapsed() < LIMIT, "{} bytes of {} have come", self.received.len(), bytes.len());
            self.turn();
        }
        let received: Vec<u8> = self.received.drain(..bytes.len()).collect();
        assert!(received == bytes, "other bytes have come");
    }

    /// Sends bytes to an echo, and waits for them.
    pub(crate) fn echoes(&mut self, bytes: &[u8]) {
        self.send(bytes);
        self.expects(bytes);
    }

    /// Ends its direction, and waits for the end of the other.
    pub(crate) fn finishes(&mut self) {
        self.bond.finish();
        let begun = Instant::now();
        while !self.has_finished {
            assert!(begun.elapsed() < LIMIT, "no end has come");
            self.turn();
        }
        assert!(self.received.is_empty(), "{} bytes more have come", self.received.len());
    }

    /// Reads from each link and writes to each.
    fn turn(&mut self) {
        let mut piece = [0; 16 << 10];
        let mut ended = Vec::new();
        for (number, stream) in &mut self.links {
            match stream.read(&mut piece) {
                Ok(0) => ended.push(*number),
                Ok(count) => self.bond.handle_bytes(Instant::now(), LinkId(*number), &piece[..count]).unwrap(),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => ended.push(*number),
            }
        }
        ended.into_iter().for_each(|number| self.drop_link(number));
        let now = Instant::now();
        self.bond.handle_timeout(now);
        while !self.bond.read().is_empty() {
            let bytes = self.bond.read().to_vec();
            self.received.extend_from_slice(&bytes);
            self.bond.consume(now, bytes.len());
        }
        for (number, stream) in &mut self.links {
            let mut out = Vec::new();
            self.bond.poll_transmit(now, LinkId(*number), 16 << 10, &mut out);
            // One that is dead is seen to be when it is read.
            let _ = stream.write_all(&out);
        }
        while let Some(event) = self.bond.poll_event() {
            assert_ne!(event, Event::Reset, "it has broken off");
            self.has_finished |= event == Event::Finished;
        }
    }
}
