//! The command that forwards ports: listens, keeps sessions up, and runs a command of this side meanwhile.

use std::{
    io::{self, Write},
    rc::Rc,
    time::Instant,
};

use ssm_aws::Aws;
use tokio::sync::Notify;

use super::{
    bonded::Bonds,
    local_command,
    sign_in::sign_in_before,
    starter::{Starter, connect_timeout, service},
};
use crate::{
    cli::{Bind, Connection, Forwarding, Interface, LocalForward},
    diagnostics::{Error, ExitStatus, human::Time, tell},
    endpoints::{descriptors::Descriptors, listener::Listener, signals::Signals},
    forward::{self, Carry, Forward, Settings, Source, Start, Up},
    terminate,
};

/// Sessions of a forward whose document says where it listens.
const SESSIONS: usize = 4;

/// Keeps the forwards up until a signal, or until the command has ended whose status is given then.
///
/// # Errors
/// A port that is taken, and why there is no session; every session that was started has been ended by then.
pub async fn forward(aws: &Aws, forwarding: &Forwarding, signals: &mut Signals) -> Result<u8, Error> {
    let mut listeners = Vec::new();
    for (to, _) in &forwarding.forwards {
        // A port that is taken costs no session.
        listeners.push(listen(to).await?);
    }
    sign_in_before(aws, signals).await?;
    let descriptors = Descriptors::raised();
    // Each has one of its own: a notification is for one waiter.
    let hurries: Vec<Notify> = listeners.iter().map(|_| Notify::new()).collect();
    let connections = forwarding.forwards.iter().map(|(_, connection)| connection);
    let starters: Vec<Starter<'_>> = connections.clone().map(|connection| Starter::new(aws, connection)).collect();
    let places: Vec<String> = listeners.iter().map(ToString::to_string).collect();
    let bonds = Bonds::of(aws, forwarding);
    let bond_starters = bonds.as_ref().map(Bonds::starters).unwrap_or_default();
    let carries = carries(bonds.as_ref(), &bond_starters, &hurries).await?;
    let forwards = forwarding.forwards.iter().zip(listeners).zip(&starters).zip(&hurries).zip(carries);
    let forwards: Vec<Forward<'_>> = forwards
        .map(|(((((to, _), listener), starter), hurry), carry)| Forward {
            listener,
            destination: to.destination().into(),
            source: Source { start: Some(start(starter, hurry)), first: None, heard: None },
            carry,
        })
        .collect();
    let Some(settings) = connections.clone().next().map(settings) else { return Ok(0) };
    let settings = Settings { sessions: forwarding.sessions, keep_alive: forwarding.keep_alive, ..settings };
    let up = Notify::new();
    let begun = Instant::now();
    let report = || tell(&format!("{} forwards, for {}", places.len(), Time(begun.elapsed())));
    let until = async {
        let signal = tokio::select! {
            signal = signals.end(report) => signal,
            () = up.notified() => match forwarding.command.split_first() {
                Some((program, arguments)) => return local_command::run(program, arguments, signals, &descriptors, report).await,
                None => signals.end(report).await,
            },
        };
        tracing::info!(signal, "ending");
        Ok(0)
    };
    let until = async {
        let ended = until.await;
        hurries.iter().for_each(Notify::notify_one);
        bonds.iter().for_each(|bonds| bonds.end.ask());
        ended
    };
    let listening = || {
        if !forwarding.quiet {
            say(&places);
        }
        up.notify_one();
        Ok(())
    };
    forward::run(aws, settings, forwards, listening, until).await?
}

/// What carries the connections of each forward over bonds of their own, where that is wanted and possible.
async fn carries<'a>(
    bonds: Option<&'a Bonds<'a>>,
    starters: &'a [Starter<'a>],
    hurries: &'a [Notify],
) -> Result<Vec<Option<Rc<Carry<'a>>>>, Error> {
    let mut carries = Vec::new();
    if let Some(bonds) = bonds {
        for (at, (starter, hurry)) in starters.iter().zip(hurries).enumerate() {
            carries.push(bonds.carry(at, starter, hurry).await?);
        }
    }
    carries.resize_with(hurries.len(), || None);
    Ok(carries)
}

fn settings(connection: &Connection) -> Settings {
    Settings {
        connect_timeout: connect_timeout(connection),
        resume_timeout: connection.resume_timeout,
        service: service(connection),
        sessions: SESSIONS,
        keep_alive: false,
    }
}

/// Keeps a forward up whose document says where it listens, with a session that is up, until a signal.
///
/// # Errors
/// A port that is taken; the session has been ended by then.
pub(super) async fn keep(
    aws: &Aws,
    starter: &Starter<'_>,
    connection: &Connection,
    hurry: &Notify,
    first: Up,
    signals: &mut Signals,
) -> Result<u8, Error> {
    let (listener, destination) = listen_as_documented(&first).await?;
    let _ = Descriptors::raised();
    let place = listener.to_string();
    let source = Source { start: Some(start(starter, hurry)), first: Some(first), heard: None };
    let forwards = vec![Forward { listener, destination: destination.into(), source, carry: None }];
    let listening = || {
        say(std::slice::from_ref(&place));
        Ok(())
    };
    let until = async {
        signals.end(|| tell(&format!("forwarding {place}"))).await;
        hurry.notify_one();
    };
    forward::run(aws, settings(connection), forwards, listening, until).await.map(|()| 0)
}

/// Listens where the document of a session says, and gives what connections lead to.
///
/// # Errors
/// A port that is taken; the session has been ended by then.
pub(super) async fn listen_as_documented((session, _): &Up) -> Result<(Listener, String), Error> {
    let properties = session.channel().forward().cloned().unwrap_or_default();
    let bind = match properties.local_socket {
        Some(path) => Bind::Socket(path.into()),
        None => Bind::Tcp(Interface::Loopback, properties.local_port.unwrap_or(0)),
    };
    let host = properties.host.unwrap_or_else(|| "localhost".to_owned());
    let to = LocalForward { bind, host, port: properties.port.unwrap_or_default() };
    match listen(&to).await {
        Ok(listener) => Ok((listener, to.destination())),
        Err(error) => {
            terminate::by_api(session.id(), session.terminate()).await;
            Err(error)
        }
    }
}

fn start<'a>(starter: &'a Starter<'a>, hurry: &'a Notify) -> Rc<Start<'a>> {
    Rc::new(move || Box::pin(starter.start(hurry)))
}

/// Says where the forwards listen: a line each, in their order.
fn say(places: &[String]) {
    let mut stderr = io::stderr().lock();
    for place in places {
        // Without a stderr there is nobody to tell.
        let _ = writeln!(stderr, "listening on {place}");
    }
}

async fn listen(to: &LocalForward) -> Result<Listener, Error> {
    let listener = match &to.bind {
        Bind::Tcp(Interface::Loopback, port) => Listener::loopback(*port).await,
        Bind::Tcp(Interface::All, port) => Listener::everywhere(*port).await,
        Bind::Tcp(Interface::Host(host), port) => Listener::host(host, *port).await,
        #[cfg(unix)]
        Bind::Socket(path) => Listener::socket(path).await,
        #[cfg(not(unix))]
        Bind::Socket(_) => Err(io::ErrorKind::Unsupported.into()),
    };
    listener.map_err(|cause| {
        let (place, hint) = match &to.bind {
            Bind::Tcp(Interface::Loopback, port) => (format!("port {port}"), "choose another port; 0 takes a free one"),
            Bind::Tcp(Interface::All, port) => {
                (format!("port {port} of all addresses"), "choose another port; 0 takes a free one")
            }
            Bind::Tcp(Interface::Host(host), port) => (
                format!("port {port} of {host}"),
                "check that it is an address of this machine, or choose another port",
            ),
            Bind::Socket(path) => {
                (path.display().to_string(), "remove the file if nothing uses it, or choose another path")
            }
        };
        Error::new(ExitStatus::Unavailable, format!("cannot listen at {place}: {cause}"), hint)
    })
}
