//! The signals that end a session: SIGHUP, which OpenSSH sends its ProxyCommand, SIGTERM and SIGINT. And those that ask
//! how it is: SIGUSR1, and SIGINFO (Ctrl-T) where there is one.
//!
//! A signal that was ignored when we were started stays ignored: `sftp` does that with SIGINT, so that Ctrl-C ends a
//! transfer and not the connection, and `nohup` with SIGHUP.

use std::io;

#[cfg(unix)]
use futures_util::stream::{self, BoxStream, SelectAll, StreamExt};
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// To end; the signal's name.
    End(&'static str),
    /// To say how the session is.
    Report,
}

/// Listens for signals.
pub struct Signals {
    /// Asked at each turn of the loop, and looks only at those that have come.
    #[cfg(unix)]
    listening: SelectAll<BoxStream<'static, Asked>>,
}

impl Signals {
    /// Waits for the next signal that asks us to end, and gives its name. `report` is called for each of the others.
    pub async fn end(&mut self, report: impl Fn()) -> &'static str {
        loop {
            match self.next().await {
                Asked::End(signal) => return signal,
                Asked::Report => report(),
            }
        }
    }
}

#[cfg(unix)]
impl Signals {
    /// Starts listening. Within a tokio runtime only.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let ignored = ignored_at_start();
        let mut listening = SelectAll::new();
        for (kind, asked) in [
            (Some(SignalKind::hangup()), Asked::End("SIGHUP")),
            (Some(SignalKind::terminate()), Asked::End("SIGTERM")),
            (Some(SignalKind::interrupt()), Asked::End("SIGINT")),
            (Some(SignalKind::user_defined1()), Asked::Report),
            (info(), Asked::Report),
        ] {
            let Some(kind) = kind.filter(|kind| ignored & bit(*kind) == 0) else { continue };
            let mut signal = signal(kind)?;
            let received = stream::poll_fn(move |context| signal.poll_recv(context).map(|some| some.map(|()| asked)));
            listening.push(received.boxed());
        }
        Ok(Self { listening })
    }

    /// Waits for the next signal. May be dropped at any time.
    pub async fn next(&mut self) -> Asked {
        match self.listening.next().await {
            Some(asked) => asked,
            // Each of them is ignored.
            None => std::future::pending().await,
        }
    }
}

/// SIGINFO, where there is one.
#[cfg(unix)]
fn info() -> Option<SignalKind> {
    #[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))]
    let info = Some(SignalKind::info());
    #[cfg(not(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd", target_os = "openbsd")))]
    let info = None;
    info
}

/// A signal's bit among those of [`ignored_at_start`].
#[cfg(unix)]
fn bit(kind: SignalKind) -> u64 {
    1_u64.checked_shl(kind.as_raw_value().unsigned_abs().wrapping_sub(1)).unwrap_or(0)
}

/// The signals that are ignored, a bit each, the lowest for signal 1. Linux tells; elsewhere none is taken for ignored.
#[cfg(unix)]
fn ignored_at_start() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
impl Signals {
    /// Starts listening. Within a tokio runtime only.
    ///
    /// # Errors
    /// None here.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for Ctrl-C. May be dropped at any time.
    pub async fn next(&mut self) -> Asked {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Asked::End("Ctrl-C"),
            Err(_) => std::future::pending().await,
        }
    }
}
