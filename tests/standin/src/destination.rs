//! Where forwards lead: which host and port of the far side is which address here, and those that behave badly.
//!
//! It makes connections; what is carried on them is not its business.

use crate::fault::parse_duration;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How long Linux tries to connect to an address that does not answer.
const FILTERED: Duration = Duration::from_secs(127);

/// A destination of forwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its host, as `host` of the session's parameters names it; `localhost` for a port of the node.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What is there.
    pub lead: Lead,
}

/// What is at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// This address.
    To(SocketAddr),
    /// Nothing that answers: a dial fails after this time.
    Hangs(Duration),
    /// A server that accepts and never reads nor writes.
    NeverReads,
}

impl FromStr for Lead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            _ if text == "hangs" => Ok(Self::Hangs(FILTERED)),
            _ if text == "never-reads" => Ok(Self::NeverReads),
            Some(("hangs", time)) => Ok(Self::Hangs(parse_duration(time)?)),
            _ => Ok(Self::To(text.parse().map_err(|error| format!("{text:?}: {error}"))?)),
        }
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, lead) = text.split_once('=').ok_or("write HOST:PORT=ADDRESS, such as db:5432=127.0.0.1:5432")?;
        let (host, port) = name.rsplit_once(':').ok_or_else(|| format!("{name:?} is not HOST:PORT"))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().map_err(|error| format!("{port:?}: {error}"))?;
        Ok(Self { host: host.into(), port, lead: lead.parse()? })
    }
}

impl Destination {
    /// Whether this is its host.
    pub fn is_host(&self, host: &str) -> bool {
        self.host.eq_ignore_ascii_case(host) || (is_node(host) && is_node(&self.host))
    }
}

/// Whether anything is known of this host, which then has addresses.
pub fn is_known(destinations: &[Destination], host: &str) -> bool {
    is_node(host) || host.parse::<IpAddr>().is_ok() || destinations.iter().any(|known| known.is_host(host))
}

/// What is at this host and port, in the order in which it is tried; nothing for what is not known.
pub fn leads(ports: &[(u16, SocketAddr)], destinations: &[Destination], host: &str, port: &str) -> Vec<Lead> {
    let here = is_node(host);
    let is = |known: &Destination| known.is_host(host) && known.port.to_string() == port;
    let special: Vec<Lead> = destinations.iter().filter(|known| is(known)).map(|known| known.lead.clone()).collect();
    if !special.is_empty() || !here {
        return special;
    }
    let port = ports.iter().find(|(remote, _)| remote.to_string() == port);
    port.map(|(_, to)| Lead::To(*to)).into_iter().collect()
}

/// The same port of this machine, if the host is the node itself.
pub fn own(host: &str, port: &str) -> Option<Lead> {
    let port = port.parse().ok().filter(|_| is_node(host))?;
    Some(Lead::To(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}

/// Whether the host is the node itself.
fn is_node(host: &str) -> bool {
    host.is_empty()
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A connection that is being made.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Connects to the first of these that answers.
pub(crate) async fn dial(leads: Vec<Lead>) -> io::Result<TcpStream> {
    let mut result = Err(io::Error::from(ErrorKind::ConnectionRefused));
    for lead in leads {
        result = match lead {
            Lead::To(address) => TcpStream::connect(address).await,
            Lead::NeverReads => never_reads().await,
            Lead::Hangs(time) => {
                tokio::time::sleep(time).await;
                Err(ErrorKind::TimedOut.into())
            }
        };
        if result.is_ok() {
            break;
        }
    }
    result
}

/// A connection to a server of our own that accepts it and does nothing more.
async fn never_reads() -> io::Result<TcpStream> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let stream = TcpStream::connect(listener.local_addr()?).await?;
    let (held, _) = listener.accept().await?;
    tokio::task::spawn_local(async move {
        let _held = held;
        std::future::pending::<()>().await;
    });
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read() {
        let read = |text: &str| text.parse::<Destination>();
        let to = |text: &str| Lead::To(text.parse().unwrap());
        let made = |host: &str, port, lead| Ok(Destination { host: host.into(), port, lead });
        assert_eq!(read("db.internal:5432=127.0.0.1:5432"), made("db.internal", 5_432, to("127.0.0.1:5432")));
        assert_eq!(read("[fd00::7]:80=[::1]:8080"), made("fd00::7", 80, to("[::1]:8080")));
        assert_eq!(read("slow:1=hangs"), made("slow", 1, Lead::Hangs(FILTERED)));
        assert_eq!(read("slow:1=hangs:2s"), made("slow", 1, Lead::Hangs(Duration::from_secs(2))));
        assert_eq!(read("deaf:1=never-reads"), made("deaf", 1, Lead::NeverReads));
        for bad in ["db:5432", "db=127.0.0.1:1", "db:x=127.0.0.1:1", "db:1=localhost:1", "db:1=hangs:x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_told_apart_and_the_node_has_many_names() {
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ports = [(80, address(1))];
        let destinations =
            ["db:80=127.0.0.1:2", "db:80=127.0.0.1:3", "localhost:81=never-reads"].map(|text| text.parse().unwrap());
        let at = |host, port| leads(&ports, &destinations, host, port);
        for node in ["", "localhost", "127.0.0.1", "127.0.0.2", "::1"] {
            assert_eq!((at(node, "80"), at(node, "81")), (vec![Lead::To(address(1))], vec![Lead::NeverReads]));
        }
        assert_eq!(at("DB", "80"), [Lead::To(address(2)), Lead::To(address(3))]);
        assert_eq!((at("db", "81"), at("web", "80")), (vec![], vec![]));
        assert!(
            is_known(&destinations, "db") && is_known(&destinations, "10.0.0.1") && !is_known(&destinations, "web")
        );
    }
}
