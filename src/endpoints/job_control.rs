//! Job control: SIGTSTP, which asks this program to stop, and SIGCONT, by which a shell lets it go on.
//!
//! In raw mode Ctrl-Z belongs to the far side. What stops this program is `kill -TSTP`, or an escape that is typed.

use std::io;

use super::raw_mode::RawMode;

/// A signal of job control.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JobSignal {
    /// To stop: [`JobSignals::stop`] does that.
    Stop,
    /// Stopped it was, by whatever means, and goes on: the terminal is to be raw again.
    Continued,
}

/// Listens for the signals of job control: from now on SIGTSTP stops nothing by itself. One that was ignored at the start
/// stays ignored.
pub struct JobSignals {
    imp: imp::JobSignals,
}

impl JobSignals {
    /// Starts to listen. Within a tokio runtime only.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { imp: imp::JobSignals::listen(false)? })
    }

    /// Starts to listen, also for a SIGTSTP that was ignored at the start. Within a tokio runtime only.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn listen_to_ignored() -> io::Result<Self> {
        Ok(Self { imp: imp::JobSignals::listen(true)? })
    }

    /// Waits for the next of them. May be dropped at any time.
    pub async fn next(&mut self) -> JobSignal {
        self.imp.next().await
    }

    /// Stops this program as Ctrl-Z stops others, with the terminal as it was, and comes back in raw mode once it goes on, if
    /// it was in that. It does not stop where no shell could let it go on.
    ///
    /// # Errors
    /// If the terminal refuses raw mode.
    pub async fn stop(&mut self, mut mode: Option<&mut RawMode>) -> io::Result<()> {
        if let Some(mode) = &mut mode {
            mode.suspend();
        }
        self.imp.stop().await?;
        mode.map_or(Ok(()), RawMode::resume)
    }
}

#[cfg(unix)]
mod imp {
    use std::io;

    use futures_util::FutureExt;
    use nix::unistd::{getppid, getsid};
    use rustix::process::{Signal as Number, getpid, kill_process};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::JobSignal;
    use crate::endpoints::signals::is_ignored;

    /// Whether the process that has started this one shares its terminal session, as a shell does that controls jobs. A
    /// terminal's window and an init of a container do not.
    pub(super) fn has_shell() -> bool {
        let parent = getppid();
        // A parent without a number is in another namespace of processes, and getsid would take that 0 for this process. A
        // session without one began in another namespace, and is one all the same.
        parent.as_raw() != 0 && getsid(None).is_ok_and(|session| getsid(Some(parent)) == Ok(session))
    }

    pub(super) struct JobSignals {
        stop: Option<Signal>,
        continued: Signal,
    }

    impl JobSignals {
        pub(super) fn listen(to_ignored: bool) -> io::Result<Self> {
            let stop = SignalKind::from_raw(Number::TSTP.as_raw());
            let stop = if !to_ignored && is_ignored(stop) { None } else { Some(signal(stop)?) };
            Ok(Self { stop, continued: signal(SignalKind::from_raw(Number::CONT.as_raw()))? })
        }

        pub(super) async fn next(&mut self) -> JobSignal {
            let stop = async {
                match &mut self.stop {
                    Some(signal) => signal.recv().await,
                    None => None,
                }
            };
            tokio::select! {
                biased;
                Some(()) = self.continued.recv() => JobSignal::Continued,
                Some(()) = stop => JobSignal::Stop,
                else => std::future::pending().await,
            }
        }

        /// By SIGSTOP, since SIGTSTP is listened for. It is sent to all threads, so this one may run on for a moment: what
        /// says that the stop is over is SIGCONT alone.
        pub(super) async fn stop(&mut self) -> io::Result<()> {
            if has_shell() {
                // One of an earlier stop says nothing of this one.
                let _ = self.continued.recv().now_or_never();
                kill_process(getpid(), Number::STOP)?;
                self.continued.recv().await;
            }
            Ok(())
        }
    }
}

#[cfg(windows)]
mod imp {
    use std::io;

    use super::JobSignal;

    /// Windows has no job control.
    pub(super) struct JobSignals;

    impl JobSignals {
        #[expect(clippy::unnecessary_wraps, reason = "as where a handler is installed")]
        pub(super) fn listen(_: bool) -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) -> JobSignal {
            std::future::pending().await
        }

        pub(super) async fn stop(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn both_signals_are_told() {
        let mut signals = JobSignals::listen().unwrap();
        for (signal, told) in [(Signal::TSTP, JobSignal::Stop), (Signal::CONT, JobSignal::Continued)] {
            kill_process(getpid(), signal).unwrap();
            assert_eq!(signals.next().await, told);
        }
    }

    /// As within a container: the terminal session has no number there.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_session_that_began_in_another_namespace_of_processes_is_one() {
        use std::process::Command;

        use rustix::process::geteuid;

        // This test goes on as a child of that shell.
        let child = "endpoints::job_control::tests::child_has_a_shell";
        let rights: &[&str] = if geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
        let output = Command::new("unshare")
            .args(rights)
            .args(["--pid", "--fork", "sh", "-c", "\"$0\" \"$@\" || exit $?"])
            .arg(std::env::current_exe().unwrap())
            .args([child, "--exact", "--ignored", "--nocapture"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[ignore = "run by the test above, in a namespace of its own"]
    fn child_has_a_shell() {
        assert!(imp::has_shell());
    }
}
