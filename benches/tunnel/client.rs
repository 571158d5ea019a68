//! The client under test: a ProxyCommand with pipes on 0 and 1, and what the system knows about its processes.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::far;
use crate::meter::Meter;

/// How long it may take to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that runs, with all the processes that it starts. They are ended when this is dropped.
pub(crate) struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    started: Instant,
}

/// What the system says of all the client's processes together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Time on a processor.
    pub(crate) cpu: Duration,
    /// The most that was ever resident, in bytes.
    pub(crate) peak: u64,
    /// How often a thread went to sleep, and so was woken.
    pub(crate) sleeps: u64,
}

impl Client {
    /// Starts it, in a process group of its own.
    pub(crate) fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Ok(Self { child, stdin, stdout, started })
    }

    /// The moment before it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Its standard input; the caller keeps it open.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("the client's stdin is taken once")
    }

    /// Its standard output.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.stdout.take().expect("the client's stdout is taken once")
    }

    /// Counts its output from now on.
    pub(crate) fn count_stdout(&mut self) -> Meter {
        let (meter, mut stdout) = (Meter::default(), self.stdout());
        let counter = meter.clone();
        thread::spawn(move || {
            let mut chunk = vec![0; 64 << 10];
            while let Ok(length @ 1..) = stdout.read(&mut chunk) {
                counter.count(length);
            }
        });
        meter
    }

    /// Gives it input without end.
    pub(crate) fn pump_stdin(&mut self) {
        let mut stdin = self.stdin();
        thread::spawn(move || far::pump(&mut stdin));
    }

    /// What its processes have used so far. Zero where the system has no `/proc`.
    pub(crate) fn usage(&self) -> Usage {
        usage_of_group(self.child.id())
    }

    /// Tells it to end, as ssh does, and waits until it has.
    pub(crate) fn end(mut self) {
        self.stdin = None;
        self.signal(Signal::HUP);
        let _ = fixtures::until(PATIENCE, || self.child.try_wait().ok().flatten());
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone already needs no signal.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// What the processes of a group have used so far. Zero where the system has no `/proc`.
pub(crate) fn usage_of_group(group: u32) -> Usage {
    let mut usage = Usage::default();
    for process in processes_of(group) {
        usage.peak += status(&process.join("status"), "VmHWM:").unwrap_or(0) << 10;
        for thread in entries(&process.join("task")) {
            usage.cpu += processor_time(&thread.join("schedstat")).unwrap_or_default();
            usage.sleeps += status(&thread.join("status"), "voluntary_ctxt_switches:").unwrap_or(0);
        }
    }
    usage
}

/// The `/proc` folders of a process group.
fn processes_of(group: u32) -> impl Iterator<Item = std::path::PathBuf> {
    let group = group.to_string();
    entries("/proc".as_ref()).filter(move |process| {
        // State, parent and group follow the name, which stands in brackets.
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(2)) == Some(&group)
    })
}

fn entries(folder: &std::path::Path) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// A number of a `status` file.
fn status(file: &std::path::Path, name: &str) -> Option<u64> {
    let status = fs::read_to_string(file).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// A `schedstat` file: nanoseconds on a processor, nanoseconds waiting for one, turns.
fn processor_time(file: &std::path::Path) -> Option<Duration> {
    let schedstat = fs::read_to_string(file).ok()?;
    schedstat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}
