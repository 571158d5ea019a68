//! A pseudo-terminal for tests, and tests of this program that run as a process of their own on one.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open as open_file};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, waitpid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::signal::unix::{SignalKind, signal};

/// The side of the program that shows the terminal, and the terminal.
pub(super) fn open() -> (OwnedFd, OwnedFd) {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = open_file(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    (controller, terminal)
}

/// Stops this process until somebody lets it go on.
pub(super) fn stop() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut continued = signal(SignalKind::from_raw(Signal::CONT.as_raw())).unwrap();
        kill_process(getpid(), Signal::STOP).unwrap();
        // The signal is sent to all threads, and this one may run on for a moment: what says that the stop is over is SIGCONT.
        continued.recv().await;
    });
}

/// A test that runs as a process of its own.
pub(super) struct Child {
    id: Pid,
}

impl Child {
    /// Starts an ignored test of this program by its name, with a terminal for its stdin.
    #[expect(clippy::zombie_processes, reason = "it is waited for by its id, which tells of stops, too")]
    pub(super) fn start(test: &str, terminal: &OwnedFd) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--test-threads=1"])
            .stdin(terminal.try_clone().unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { id: Pid::from_child(&child) }
    }

    pub(super) fn send(&self, signal: Signal) {
        kill_process(self.id, signal).unwrap();
    }

    #[track_caller]
    pub(super) fn wait_until_stopped(&self) {
        let status = self.status(WaitOptions::UNTRACED);
        assert!(status.stopped(), "{status:?}");
    }

    /// Waits for its end, and gives its exit code.
    pub(super) fn wait(self) -> Option<i32> {
        self.status(WaitOptions::empty()).exit_status()
    }

    fn status(&self, options: WaitOptions) -> WaitStatus {
        waitpid(Some(self.id), options).unwrap().unwrap().1
    }
}
