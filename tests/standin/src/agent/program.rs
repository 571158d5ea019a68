//! The program behind a shell or a command, as the agent sees it: starts it, hears of its end, takes messages for it
//! (sessions §2.1, §3).
//!
//! What is special to terminals and to commands without one is in [`super::shell`] and [`super::command`].

use super::{Agent, AgentRequest, Delivery, EndReason, Phase, words};
use crate::codec::{Message, payload_type};
use crate::kind::SessionKind;
use bytes::{Bytes, BytesMut};
use std::time::Instant;

/// Bytes that are read of a program's output at once (sessions §2.2).
pub(super) const READ_BYTES: usize = 1024;

/// A program that is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// What to run, and its arguments.
    pub words: Vec<String>,
    /// Whether it runs on a terminal of its own, of size 0 by 0; if not, it has no input.
    pub terminal: bool,
    /// Whether output and errors are read apart and as they come; if not, together and after the end.
    pub separate: bool,
}

/// A signal for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
}

/// What the agent knows of its program.
#[derive(Debug)]
pub(super) struct State {
    /// When output is read for the first time.
    pub(super) read_from: Option<Instant>,
    /// Bytes that form no character yet.
    pub(super) held: BytesMut,
    /// What was read of the error stream.
    pub(super) stderr: BytesMut,
    /// Whether the output and the error stream came to their ends or are not read any more.
    pub(super) over: [bool; 2],
    /// Whether the next chunk of either begins a line.
    pub(super) at_line_start: [bool; 2],
    /// Whether the error stream has its turn.
    pub(super) errors_turn: bool,
    /// The exit code; `None` in it for one that a signal killed.
    pub(super) exit: Option<Option<i32>>,
    /// The exit code that was sent.
    pub(super) exit_code: Option<i32>,
    /// Whether a signal was sent.
    pub(super) signalled: bool,
    /// Why the program could not be started.
    pub(super) start_error: Option<String>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            read_from: None,
            held: BytesMut::new(),
            stderr: BytesMut::new(),
            over: [false; 2],
            at_line_start: [true; 2],
            errors_turn: false,
            exit: None,
            exit_code: None,
            signalled: false,
            start_error: None,
        }
    }

    /// Whether the agent's reader stands still until the program has ended (sessions §3.2).
    pub(super) fn is_waited_for(&self) -> bool {
        self.signalled && self.exit.is_none()
    }

    pub(super) fn read_from(&self) -> Option<Instant> {
        self.read_from
    }
}

impl Agent {
    /// The program runs.
    pub fn started(&mut self, now: Instant) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.phase = Phase::Connected;
        self.next_data = now;
        if self.config.kind.has_terminal() {
            self.program.read_from = Some(now + self.config.first_read_delay);
        }
        self.read(now);
        self.step(now);
    }

    /// The program could not be started; `error` says why.
    pub fn start_failed(&mut self, now: Instant, error: &str) {
        if self.phase != Phase::Connecting {
            return;
        }
        self.program.start_error = Some(error.to_owned());
        let wait = if self.config.kind.has_terminal() {
            self.config.start_failure_pause
        } else {
            self.send_exit_code(now, 1);
            self.config.start_error_delay
        };
        self.phase = Phase::Failing { at: now + wait };
        self.step(now);
    }

    /// The program has ended, with this code or by a signal.
    pub fn exited(&mut self, now: Instant, code: Option<i32>) {
        if self.program.exit.is_none() {
            self.program.exit = Some(code);
            self.read(now);
            self.step(now);
        }
    }

    /// How many bytes of the error stream [`Self::stderr_data`] may hand in now.
    pub fn stderr_read_room(&self) -> usize {
        if self.phase != Phase::Connected || !self.config.separate || self.program.over == [true; 2] {
            return 0;
        }
        if self.program.over.get(1) == Some(&true) { 0 } else { READ_BYTES.saturating_sub(self.program.stderr.len()) }
    }

    /// Bytes came from the program's error stream.
    pub fn stderr_data(&mut self, now: Instant, bytes: &[u8]) {
        if self.phase != Phase::Connected {
            return;
        }
        if self.loses_output(1, bytes.len()) {
            return self.step(now);
        }
        if !self.has_output() {
            self.next_data = self.next_data.max(now);
        }
        self.program.stderr.extend_from_slice(bytes);
    }

    /// The program's error stream has ended.
    pub fn stderr_closed(&mut self, now: Instant) {
        if let Some(over) = self.program.over.last_mut() {
            *over = true;
        }
        self.step(now);
    }

    /// Asks for the program to be started.
    pub(super) fn launch(&mut self, now: Instant) {
        self.phase = Phase::Connecting;
        if self.config.kind != SessionKind::Shell && self.config.command.trim().is_empty() {
            let kind = self.config.kind.name();
            let text = format!("\n----------ERROR-------\nCommands cannot be empty for session type {kind}");
            return self.end(EndReason::NotStarted, text);
        }
        let words = match self.config.kind {
            SessionKind::InteractiveCommand if !self.config.container => {
                Ok(vec!["sh".to_owned(), "-c".to_owned(), self.config.command.clone()])
            }
            SessionKind::Port | SessionKind::Shell => Ok(vec!["sh".to_owned()]),
            SessionKind::InteractiveCommand | SessionKind::NonInteractiveCommand => words::split(&self.config.command),
        };
        let words = match (words, &self.config.fail_start) {
            (_, Some(error)) => Err(error.clone()),
            (Err(error), None) => Err(error.to_owned()),
            (Ok(words), None) if words.is_empty() => Err("exec: no command".to_owned()),
            (Ok(words), None) => Ok(words),
        };
        match words {
            Ok(words) => {
                let terminal = self.config.kind.has_terminal();
                self.requests.push_back(AgentRequest::Start(Program {
                    words,
                    terminal,
                    separate: self.config.separate,
                }));
            }
            Err(error) => self.start_failed(now, &error),
        }
    }

    /// Tells the client why there is no program, and ends.
    pub(super) fn fail(&mut self, now: Instant) {
        let error = self.program.start_error.take().unwrap_or_default();
        if self.config.kind.has_terminal() {
            let text = format!("\n----------ERROR-------\nUnable to start command: {error}");
            return self.end(EndReason::NotStarted, text);
        }
        self.send_stream(now, 0, payload_type::STDERR, error.into());
        self.close(now, EndReason::NotStarted);
    }

    /// Takes a message of the client in order.
    pub(super) fn deliver_to_program(&mut self, now: Instant, message: &Message) -> Delivery {
        let kind = message.payload_type;
        if kind == payload_type::HANDSHAKE_RESPONSE {
            return self.take_response(now, &message.payload);
        }
        let payload = match kind {
            payload_type::OUTPUT if !matches!(self.phase, Phase::Starting { .. }) => match self.decrypt(message) {
                Ok(payload) => payload,
                Err(delivery) => return delivery,
            },
            _ => message.payload.clone(),
        };
        match self.phase {
            Phase::AwaitingChallenge { .. } if kind == payload_type::CHALLENGE_RESPONSE => {
                self.take_challenge(now, &payload)
            }
            Phase::Decrypting { .. } => Delivery::Blocked,
            Phase::AwaitingResponse { .. }
            | Phase::Decrypted { .. }
            | Phase::Challenging { .. }
            | Phase::AwaitingChallenge { .. }
            | Phase::Completing { .. }
            | Phase::Gap { .. }
            | Phase::Unmarked { .. } => {
                self.counts.thrown_away += 1;
                Delivery::Done
            }
            Phase::Starting { .. }
            | Phase::Launching { .. }
            | Phase::Connecting
            | Phase::Failing { .. }
            | Phase::Ended => self.refuse(),
            Phase::Connected if kind == payload_type::OUTPUT && self.refusals_left > 0 => {
                self.refusals_left -= 1;
                self.refuse()
            }
            Phase::Connected | Phase::Closing { .. } if self.config.kind.has_terminal() => {
                self.deliver_to_terminal(kind, payload)
            }
            Phase::Connected | Phase::Closing { .. } => self.deliver_to_command(kind, &payload),
        }
    }

    pub(super) fn refuse(&mut self) -> Delivery {
        self.counts.refused += 1;
        Delivery::Refused
    }

    /// How much of the program's output may be handed in now.
    pub(super) fn program_read_room(&self) -> usize {
        if self.phase != Phase::Connected || self.tcp_far_closed || self.program.over.first() == Some(&true) {
            return 0;
        }
        let ready = if self.config.kind.has_terminal() {
            !self.paused && self.program.read_from.is_none()
        } else {
            self.config.separate || (self.program.exit.is_some() && !self.paused)
        };
        if ready { READ_BYTES.saturating_sub(self.tcp_in.len()) } else { 0 }
    }

    /// Whether there is output that is not sent.
    pub(super) fn has_output(&self) -> bool {
        !self.tcp_in.is_empty() || !self.program.stderr.is_empty()
    }

    /// The next output with its payload type.
    pub(super) fn next_output(&mut self) -> Option<(u32, Bytes)> {
        match self.config.kind {
            SessionKind::Port => {
                let length = self.tcp_in.len().min(self.config.payload);
                (length > 0).then(|| (payload_type::OUTPUT, self.tcp_in.split_to(length).freeze()))
            }
            SessionKind::Shell | SessionKind::InteractiveCommand => self.terminal_output(),
            SessionKind::NonInteractiveCommand => self.command_output(),
        }
    }

    /// What a running program's session does next; whether it did anything.
    pub(super) fn step_program(&mut self, now: Instant) -> bool {
        if self.program.read_from.take_if(|at| *at <= now).is_some() {
            return true;
        }
        if !self.config.kind.has_terminal() {
            return self.step_command(now);
        }
        if !self.tcp_far_closed || !self.tcp_in.is_empty() || self.paused {
            return false;
        }
        self.close(now, EndReason::Program);
        true
    }
}

#[cfg(test)]
mod tests;
