//! The program of one session: a child process on a pseudo-terminal (pty) of its own, or on pipes, or on a file.
//!
//! It knows the agent's verbs for output and input and nothing of frames.

use crate::agent::{Agent, Program, Signal};
use bytes::{Buf, BytesMut};
use pty_process::Pty;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

/// Bytes that wait for the terminal besides what the kernel holds.
const WRITE_BYTES: usize = 4096;
/// Bytes taken at once.
const READ_BYTES: usize = 1024;

/// The program of one session, if it has one and it runs.
#[derive(Default)]
pub(crate) struct Process {
    running: Option<Running>,
}

struct Running {
    child: Child,
    status: Option<ExitStatus>,
    told: bool,
    output: Output,
    errors: Option<pipe::Receiver>,
    /// What was read of the terminal while it was waited for.
    early: Option<Taken>,
    unwritten: BytesMut,
}

/// Where a program's output comes from.
enum Output {
    Terminal(Pty),
    Pipe(pipe::Receiver),
    /// The file into which both streams go that are sent after the end.
    File(File),
    Over,
}

/// What came of a read.
enum Taken {
    Bytes(Vec<u8>),
    Nothing,
    End,
}

impl From<io::Result<Vec<u8>>> for Taken {
    fn from(result: io::Result<Vec<u8>>) -> Self {
        match result {
            Ok(bytes) if !bytes.is_empty() => Self::Bytes(bytes),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Self::Nothing,
            // A terminal whose last program has ended says EIO.
            Ok(_) | Err(_) => Self::End,
        }
    }
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    /// Why it cannot be started, as Go says it.
    pub(crate) fn start(&mut self, program: &Program) -> Result<(), String> {
        let Some((name, arguments)) = program.words.split_first() else { return Err("exec: no command".into()) };
        let started = if program.terminal {
            on_terminal(name, arguments)
        } else if program.separate {
            on_pipes(name, arguments)
        } else {
            on_file(name, arguments)
        };
        self.running = Some(started.map_err(|error| reason(name, &error))?);
        Ok(())
    }

    /// Kills the process itself, not its children, and lets go of its terminal.
    pub(crate) fn close(&mut self) {
        // The child is killed as it is dropped; the runtime reaps it.
        self.running = None;
    }

    /// Sets the terminal's size.
    pub(crate) fn resize(&self, cols: u16, rows: u16) {
        if let Some(Running { output: Output::Terminal(terminal), .. }) = &self.running {
            // A terminal that has gone has no size.
            let _ = terminal.resize(pty_process::Size::new(rows, cols));
        }
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.running.as_ref().and_then(|running| running.child.id());
        let id = id.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let signal = match signal {
            Signal::Interrupt => rustix::process::Signal::INT,
            Signal::Quit => rustix::process::Signal::QUIT,
        };
        if let Some(id) = id {
            // A process that has ended meanwhile needs none.
            let _ = rustix::process::kill_process(id, signal);
        }
    }

    /// Moves all that can be moved without waiting; says whether anything moved.
    pub(crate) fn pump(&mut self, now: Instant, agent: &mut Agent) -> bool {
        let Some(running) = &mut self.running else { return false };
        let mut moved = running.write(now, agent);
        moved |= running.tell_end(now, agent);
        running.read(now, agent) || moved
    }

    /// Waits until the program can be read, takes input, or has ended. Can be dropped at any time.
    pub(crate) async fn ready(&mut self, wants_output: bool, wants_errors: bool) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let has_ended = running.status.is_some();
        let Running { child, status, output, errors, early, unwritten, .. } = running;
        tokio::select! {
            ended = child.wait(), if !has_ended => *status = Some(ended.unwrap_or_default()),
            () = output.ready(wants_output, early, unwritten) => {}
            () = readable(errors.as_ref().filter(|_| wants_errors)) => {}
        }
    }
}

async fn readable(pipe: Option<&pipe::Receiver>) {
    match pipe {
        // An error shows itself again in the next read.
        Some(pipe) => drop(pipe.readable().await),
        None => std::future::pending().await,
    }
}

impl Output {
    /// Waits until there is something to read or to write; at a terminal it does that at once.
    async fn ready(&mut self, wants: bool, early: &mut Option<Taken>, unwritten: &mut BytesMut) {
        match self {
            Self::Terminal(terminal) => {
                std::future::poll_fn(|context| {
                    if wants
                        && early.is_none()
                        && let Poll::Ready(result) = poll_read(terminal, context)
                    {
                        *early = Some(result.into());
                        return Poll::Ready(());
                    }
                    if unwritten.is_empty() { Poll::Pending } else { poll_write(terminal, context, unwritten) }
                })
                .await;
            }
            Self::Pipe(pipe) => readable(wants.then_some(&*pipe)).await,
            Self::File(_) | Self::Over => std::future::pending().await,
        }
    }

    /// Reads what is there.
    fn take(&mut self) -> Taken {
        match self {
            Self::Terminal(terminal) => match poll_read(terminal, &mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => result.into(),
                Poll::Pending => Taken::Nothing,
            },
            Self::Pipe(pipe) => take(pipe),
            Self::File(file) => read(|space| file.read(space)).into(),
            Self::Over => Taken::Nothing,
        }
    }
}

fn read(from: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Vec<u8>> {
    let mut space = vec![0; READ_BYTES];
    let length = from(&mut space)?;
    space.truncate(length);
    Ok(space)
}

fn take(pipe: &pipe::Receiver) -> Taken {
    read(|space| pipe.try_read(space)).into()
}

fn poll_read(terminal: &mut Pty, context: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
    let mut space = [0; READ_BYTES];
    let mut buffer = ReadBuf::new(&mut space);
    Pin::new(terminal).poll_read(context, &mut buffer).map_ok(|()| buffer.filled().to_vec())
}

/// Writes once; a terminal that has gone takes everything and loses it.
fn poll_write(terminal: &mut Pty, context: &mut Context<'_>, unwritten: &mut BytesMut) -> Poll<()> {
    Pin::new(terminal).poll_write(context, unwritten).map(|result| match result {
        Ok(written) => unwritten.advance(written),
        Err(_) => unwritten.clear(),
    })
}

impl Running {
    /// Passes on what the client typed.
    fn write(&mut self, now: Instant, agent: &mut Agent) -> bool {
        let Output::Terminal(terminal) = &mut self.output else { return false };
        let mut moved = false;
        loop {
            while let Some(bytes) = agent.poll_tcp_write() {
                self.unwritten.extend_from_slice(&bytes);
                moved = true;
            }
            let mut context = Context::from_waker(Waker::noop());
            while !self.unwritten.is_empty() && poll_write(terminal, &mut context, &mut self.unwritten).is_ready() {
                moved = true;
            }
            agent.tcp_room(now, WRITE_BYTES.saturating_sub(self.unwritten.len()));
            if !agent.has_tcp_write() {
                return moved;
            }
        }
    }

    fn tell_end(&mut self, now: Instant, agent: &mut Agent) -> bool {
        let Some(status) = self.status.filter(|_| !self.told) else { return false };
        self.told = true;
        agent.exited(now, status.code().filter(|_| status.signal().is_none()));
        true
    }

    fn read(&mut self, now: Instant, agent: &mut Agent) -> bool {
        let mut moved = false;
        while agent.tcp_read_room() > 0 {
            match self.early.take().unwrap_or_else(|| self.output.take()) {
                Taken::Bytes(bytes) => agent.tcp_data(now, &bytes),
                Taken::Nothing => break,
                Taken::End => {
                    self.output = Output::Over;
                    agent.tcp_closed(now);
                }
            }
            moved = true;
        }
        while let Some(errors) = self.errors.as_ref().filter(|_| agent.stderr_read_room() > 0) {
            match take(errors) {
                Taken::Bytes(bytes) => agent.stderr_data(now, &bytes),
                Taken::Nothing => break,
                Taken::End => {
                    self.errors = None;
                    agent.stderr_closed(now);
                }
            }
            moved = true;
        }
        moved
    }
}

fn running(child: Child, output: Output) -> Running {
    Running { child, status: None, told: false, output, errors: None, early: None, unwritten: BytesMut::new() }
}

/// On a terminal of size 0 by 0, with the agent's environment (sessions §2.1).
fn on_terminal(name: &str, arguments: &[String]) -> io::Result<Running> {
    let (terminal, far) = pty_process::open().map_err(io::Error::other)?;
    let user = std::env::var("USER").unwrap_or_else(|_| "ssm-user".into());
    let mut command = pty_process::Command::new(name)
        .args(arguments)
        .env("TERM", "xterm-256color")
        .env("HOME", format!("/home/{user}"))
        .kill_on_drop(true);
    if std::env::var_os("LANG").is_none() {
        command = command.env("LANG", "C.UTF-8");
    }
    let child = command.spawn(far).map_err(|error| match error {
        pty_process::Error::Io(error) => error,
        other => io::Error::other(other),
    })?;
    Ok(running(child, Output::Terminal(terminal)))
}

fn command(name: &str, arguments: &[String]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// On two pipes, without input.
fn on_pipes(name: &str, arguments: &[String]) -> io::Result<Running> {
    let (output, stdout) = io::pipe()?;
    let (errors, stderr) = io::pipe()?;
    let child = command(name, arguments).stdout(stdout).stderr(stderr).spawn()?;
    let receiver = |pipe: io::PipeReader| pipe::Receiver::from_owned_fd(OwnedFd::from(pipe));
    Ok(Running { errors: Some(receiver(errors)?), ..running(child, Output::Pipe(receiver(output)?)) })
}

/// With both streams into one file, without input.
fn on_file(name: &str, arguments: &[String]) -> io::Result<Running> {
    let path = std::env::temp_dir().join(format!("standin-output-{:016x}", fastrand::u64(..)));
    let both = File::options().create_new(true).append(true).open(&path)?;
    let file = File::open(&path);
    std::fs::remove_file(&path)?;
    let child = command(name, arguments).stdout(both.try_clone()?).stderr(both).spawn()?;
    Ok(running(child, Output::File(file?)))
}

/// Why a program cannot be started, in Go's words.
fn reason(name: &str, error: &io::Error) -> String {
    if error.kind() == ErrorKind::NotFound && !name.contains('/') {
        return format!("exec: \"{name}\": executable file not found in $PATH");
    }
    let text = error.to_string().to_lowercase();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("fork/exec {name}: {text}")
}
