//! The value of `-L`, in ssh's syntax: where connections are taken on this side, and what they lead to.

use std::path::PathBuf;

/// A forward, as it is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LocalForward {
    /// Where connections are taken.
    pub bind: Bind,
    /// The server that they lead to, as seen from the node: a name or an address.
    pub host: String,
    /// The port of that server.
    pub port: u16,
}

/// Where connections are taken on this side.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Bind {
    /// At a TCP port; 0 takes a free one.
    Tcp(Interface, u16),
    /// At a UNIX socket with this path.
    Socket(PathBuf),
}

/// Which of this machine's addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Interface {
    /// Those that only this machine reaches, of both families.
    Loopback,
    /// All of them.
    All,
    /// The addresses of this name, or this address.
    Host(String),
}

impl LocalForward {
    /// Whether it leads to a port of the node itself, and not through the node.
    pub fn is_on_node(&self) -> bool {
        ["localhost", "127.0.0.1", "::1"].contains(&self.host.to_ascii_lowercase().as_str())
    }

    /// The destination for messages: `db:5432`, `[fd00::1]:80`.
    pub fn destination(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Reads `[BIND:]PORT:DEST:DESTPORT` or `PATH:DEST:DESTPORT`.
///
/// # Errors
/// Says what is wrong, for clap to show.
pub(super) fn parse(text: &str) -> Result<LocalForward, String> {
    let parts = parts(text).ok_or("a '[' has no ']', or something stands beside the two")?;
    let (bind, host, port) = match parts.as_slice() {
        [path, host, port] if path.contains('/') => (socket(path)?, host, port),
        [local, host, port] => (Bind::Tcp(Interface::Loopback, self::port(local, true)?), host, port),
        [address, local, host, port] => (Bind::Tcp(interface(address), self::port(local, true)?), host, port),
        _ => return Err("expected [BIND:]PORT:DEST:DESTPORT; IPv6 addresses stand in brackets".to_owned()),
    };
    if host.is_empty() {
        return Err("DEST is empty".to_owned());
    }
    Ok(LocalForward { bind, host: host.clone(), port: self::port(port, false)? })
}

/// The parts between colons, those in brackets whole and without them.
fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']')?,
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        parts.push(part.to_owned());
        match after.strip_prefix(':') {
            Some(next) => rest = next,
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

fn interface(address: &str) -> Interface {
    match address {
        "" | "*" => Interface::All,
        "localhost" => Interface::Loopback,
        _ => Interface::Host(address.to_owned()),
    }
}

fn port(text: &str, may_be_any: bool) -> Result<u16, String> {
    let least = if may_be_any { 0 } else { 1 };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| *port >= least && is_number);
    port.ok_or_else(|| format!("{text:?} is no port from {least} to 65535"))
}

#[cfg(unix)]
fn socket(path: &str) -> Result<Bind, String> {
    Ok(Bind::Socket(path.into()))
}

#[cfg(not(unix))]
fn socket(_: &str) -> Result<Bind, String> {
    Err("there are no UNIX sockets on this system; give a PORT".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(interface: Interface, port: u16, host: &str, to: u16) -> Result<LocalForward, String> {
        Ok(LocalForward { bind: Bind::Tcp(interface, port), host: host.to_owned(), port: to })
    }

    #[test]
    fn it_is_written_as_for_ssh() {
        assert_eq!(parse("5432:db.internal:5433"), tcp(Interface::Loopback, 5432, "db.internal", 5433));
        assert_eq!(parse("0:localhost:80"), tcp(Interface::Loopback, 0, "localhost", 80));
        assert_eq!(parse("*:8080:10.0.0.7:80"), tcp(Interface::All, 8080, "10.0.0.7", 80));
        assert_eq!(parse(":8080:x:80"), tcp(Interface::All, 8080, "x", 80));
        assert_eq!(parse("localhost:8080:x:80"), tcp(Interface::Loopback, 8080, "x", 80));
        assert_eq!(parse("[::1]:8080:[fd00::7]:80"), tcp(Interface::Host("::1".into()), 8080, "fd00::7", 80));
        #[cfg(unix)]
        assert_eq!(parse("/run/db.sock:db:5432").unwrap().bind, Bind::Socket("/run/db.sock".into()));
    }

    #[test]
    fn what_is_no_forward_is_refused() {
        for text in ["", "80", "80:x", "x:db:80", "80:db:0", "80:db:65536", "-1:db:80", "+8:db:80", "80::80"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["[::1:80:x:80", "[::1]x:80:x:80", "::1:80:x:80", "a:b:c:d:e", "80:db:x", "80:db:80:"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_node_itself_has_three_names() {
        let is_on_node = |host: &str| parse(&format!("1:{host}:2")).unwrap().is_on_node();
        assert!(is_on_node("localhost") && is_on_node("LOCALHOST") && is_on_node("127.0.0.1") && is_on_node("[::1]"));
        assert!(!is_on_node("127.0.0.2") && !is_on_node("db"));
        assert_eq!(parse("1:[::2]:3").unwrap().destination(), "[::2]:3");
    }
}
