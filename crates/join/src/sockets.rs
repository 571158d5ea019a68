//! The two sockets that systemd hands over.

use std::net::TcpListener;

use listenfd::ListenFd;

/// The first port and the join port, in this order.
///
/// # Errors
/// In one line, why they are not there.
pub(crate) fn of_systemd() -> Result<(TcpListener, TcpListener), String> {
    let mut given = ListenFd::from_env();
    let mut take = |at, name: &str| match given.take_tcp_listener(at) {
        Ok(Some(listener)) => Ok(listener),
        Ok(None) => Err(format!("systemd has handed over no socket for the {name} port")),
        Err(error) => Err(format!("the socket for the {name} port cannot be used: {error}")),
    };
    Ok((take(0, "first")?, take(1, "join")?))
}
