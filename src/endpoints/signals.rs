//! Signals. SIGHUP (which OpenSSH sends its ProxyCommand), SIGTERM, SIGINT and SIGQUIT end a run, and so does any other that
//! comes from outside and would kill the process; SIGUSR1 and, where there is one, SIGINFO (Ctrl-T) ask for a report. On
//! Windows the console's events end a run.
//!
//! There is one set of listeners for the life of the process: the system's default for a signal that nobody listens for
//! is to kill, and a listener that nobody asks makes a signal do nothing.
//!
//! A signal that was ignored when we were started stays ignored: `sftp` does that with SIGINT, so that Ctrl-C ends a
//! transfer and not the connection, and `nohup` with SIGHUP. Whoever is called in the place of AWS's client takes the keys'
//! signals all the same.

use std::io;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, SelectAll, StreamExt};
#[cfg(unix)]
use rustix::process::Signal;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown};

/// The request that a signal makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asked {
    /// To end; the signal's name.
    End(&'static str),
    /// To report how the session is.
    Report,
}

/// The signals besides SIGHUP, SIGTERM, SIGINT, SIGQUIT and SIGUSR1 that end a process by default, but for those that tell of
/// a fault of its own.
#[cfg(unix)]
const OTHERS: &[(&str, Signal)] = &[
    ("SIGUSR2", Signal::USR2),
    ("SIGALRM", Signal::ALARM),
    ("SIGVTALRM", Signal::VTALARM),
    ("SIGPROF", Signal::PROF),
    ("SIGXCPU", Signal::XCPU),
    ("SIGXFSZ", Signal::XFSZ),
    #[cfg(target_os = "linux")]
    ("SIGIO", Signal::IO),
    #[cfg(target_os = "linux")]
    ("SIGPWR", Signal::POWER),
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    ("SIGSTKFLT", Signal::STKFLT),
];

/// The number of one of the less usual signals that end a run.
#[cfg(unix)]
pub fn number(name: &str) -> Option<u8> {
    let (_, signal) = OTHERS.iter().find(|(other, _)| *other == name)?;
    u8::try_from(signal.as_raw()).ok()
}

/// Windows has none of them.
#[cfg(windows)]
pub fn number(_: &str) -> Option<u8> {
    None
}

/// Listens for signals.
pub struct Signals {
    /// A set that is cheap to poll at each turn of the loop: it looks only at listeners whose signal has come.
    listening: SelectAll<BoxStream<'static, Asked>>,
    /// The same for signals that are listened for although they were ignored at the start.
    inherited: SelectAll<BoxStream<'static, Asked>>,
    /// A bit for each signal that was ignored at the start, the lowest for signal 1.
    #[cfg(unix)]
    ignored: u64,
}

impl Signals {
    /// Waits for the next signal that asks us to end, and gives its name. `report` is called for each of the others.
    /// May be dropped at any time.
    pub async fn end(&mut self, report: impl Fn()) -> &'static str {
        loop {
            match self.next().await {
                Asked::End(signal) => return signal,
                Asked::Report => report(),
            }
        }
    }

    /// Does `work`, and gives it up for the first signal that asks us to end; `report` is called for each of the others.
    ///
    /// # Errors
    /// The signal's name.
    pub async fn unless_ended<T>(
        &mut self,
        work: impl Future<Output = T>,
        report: impl Fn(),
    ) -> Result<T, &'static str> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            signal = self.end(report) => Err(signal),
        }
    }

    /// Waits for the next signal. May be dropped at any time.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            Some(asked) = self.listening.next() => asked,
            Some(asked) = self.inherited.next() => asked,
            // Each of them is ignored.
            else => std::future::pending().await,
        }
    }

    /// Leaves those alone, from now on, that were ignored at the start.
    pub fn leave_ignored(&mut self) {
        self.inherited = SelectAll::new();
    }

    /// Adds a listener, which `poll` asks.
    fn push(&mut self, asked: Asked, poll: impl FnMut(&mut Context<'_>) -> Poll<Option<()>> + Send + 'static) {
        self.listening.push(received(asked, poll));
    }
}

fn received(
    asked: Asked,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Option<()>> + Send + 'static,
) -> BoxStream<'static, Asked> {
    stream::poll_fn(move |context| poll(context).map(|some| some.map(|()| asked))).boxed()
}

#[cfg(unix)]
impl Signals {
    /// Starts to listen for the signals that ask for a report, which kill nothing from now on. The signals that end a run
    /// still kill the process. Within a tokio runtime only.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn of_reports() -> io::Result<Self> {
        let mut signals = Self { listening: SelectAll::new(), inherited: SelectAll::new(), ignored: ignored() };
        signals.listen([(Some(SignalKind::user_defined1()), Asked::Report), (info(), Asked::Report)])?;
        Ok(signals)
    }

    /// Starts to listen for the signals that end a run: from now on somebody has to ask for them. Within a tokio runtime
    /// only.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn and_of_ends(&mut self) -> io::Result<()> {
        self.listen([
            (Some(SignalKind::hangup()), Asked::End("SIGHUP")),
            (Some(SignalKind::terminate()), Asked::End("SIGTERM")),
            (Some(SignalKind::interrupt()), Asked::End("SIGINT")),
            (Some(SignalKind::quit()), Asked::End("SIGQUIT")),
        ])?;
        self.listen(OTHERS.iter().map(|(name, signal)| (Some(SignalKind::from_raw(signal.as_raw())), Asked::End(name))))
    }

    /// Starts to listen for SIGINT and SIGQUIT also where they were ignored at the start: the AWS CLI ignores them while it
    /// waits for its plugin, whose they are. Within a tokio runtime only.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn and_of_ignored_keys(&mut self) -> io::Result<()> {
        for (kind, asked) in
            [(SignalKind::interrupt(), Asked::End("SIGINT")), (SignalKind::quit(), Asked::End("SIGQUIT"))]
        {
            if self.ignored & bit(kind) != 0 {
                let mut signal = signal(kind)?;
                self.inherited.push(received(asked, move |context| signal.poll_recv(context)));
            }
        }
        Ok(())
    }

    fn listen(&mut self, signals: impl IntoIterator<Item = (Option<SignalKind>, Asked)>) -> io::Result<()> {
        for (kind, asked) in signals {
            let Some(kind) = kind.filter(|kind| self.ignored & bit(*kind) == 0) else { continue };
            let mut signal = signal(kind)?;
            self.push(asked, move |context| signal.poll_recv(context));
        }
        Ok(())
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

/// Whether a signal that nobody listens for yet is ignored.
#[cfg(unix)]
pub(super) fn is_ignored(kind: SignalKind) -> bool {
    ignored() & bit(kind) != 0
}

/// A signal's bit among those of [`ignored`].
#[cfg(unix)]
fn bit(kind: SignalKind) -> u64 {
    1_u64.checked_shl(kind.as_raw_value().unsigned_abs().wrapping_sub(1)).unwrap_or(0)
}

/// The signals that are ignored, a bit each. Linux tells; elsewhere none is taken for ignored.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(windows)]
impl Signals {
    /// Listens for nothing yet: no event of a Windows console asks for a report.
    ///
    /// # Errors
    /// None here.
    pub fn of_reports() -> io::Result<Self> {
        Ok(Self { listening: SelectAll::new(), inherited: SelectAll::new() })
    }

    /// Starts to listen for the console's events. Windows ends the process soon after the last three of them, as soon as
    /// it has returned from `main` or 5 s later.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    pub fn and_of_ends(&mut self) -> io::Result<()> {
        let (mut c, mut pause, mut close) = (ctrl_c()?, ctrl_break()?, ctrl_close()?);
        let (mut logoff, mut shutdown) = (ctrl_logoff()?, ctrl_shutdown()?);
        self.push(Asked::End("Ctrl-C"), move |context| c.poll_recv(context));
        self.push(Asked::End("Ctrl-Break"), move |context| pause.poll_recv(context));
        self.push(Asked::End("the window's close"), move |context| close.poll_recv(context));
        self.push(Asked::End("the log-off"), move |context| logoff.poll_recv(context));
        self.push(Asked::End("the shutdown"), move |context| shutdown.poll_recv(context));
        Ok(())
    }

    /// A console's events are listened for already.
    ///
    /// # Errors
    /// None here.
    pub fn and_of_ignored_keys(&mut self) -> io::Result<()> {
        Ok(())
    }
}
