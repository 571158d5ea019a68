//! A command without a terminal as the agent serves it: its streams, its exit code, the two signals (sessions §3.2,
//! §3.3).

use super::program::{READ_BYTES, Signal};
use super::{Agent, AgentRequest, Delivery, EndReason, Phase};
use crate::codec::payload_type;
use bytes::{Bytes, BytesMut};
use std::time::Instant;

/// What a terminal sends for Ctrl-C.
const INTERRUPT: u8 = 0x03;
/// What a terminal sends for Ctrl-\.
const QUIT: u8 = 0x1c;
/// The exit code of a command that a signal killed.
const KILLED: i32 = -1;
/// The exit code when the wait after a signal wins the race.
const LOST: i32 = 1;

impl Agent {
    /// The exit code that it sent.
    pub fn exit_code(&self) -> Option<i32> {
        self.program.exit_code
    }

    /// Takes a message for a command. The first byte that stands for a signal counts; then the reader stands still until
    /// the command has ended, and the message is acknowledged only then (sessions §3.2).
    pub(super) fn deliver_to_command(&mut self, kind: u32, payload: &[u8]) -> Delivery {
        if kind != payload_type::OUTPUT || self.phase != Phase::Connected || self.program.exit.is_some() {
            return Delivery::Done;
        }
        let signal = payload.iter().find_map(|byte| match *byte {
            INTERRUPT => Some(Signal::Interrupt),
            QUIT => Some(Signal::Quit),
            _ => None,
        });
        let Some(signal) = signal else { return Delivery::Done };
        self.program.signalled = true;
        self.requests.push_back(AgentRequest::Signal(signal));
        Delivery::Blocked
    }

    /// Whether the bytes that are read now of this stream are lost: reading while the channel is paused ends the reading of
    /// a separate stream for good (sessions §3.3).
    pub(super) fn loses_output(&mut self, stream: usize, bytes: usize) -> bool {
        if !self.paused || !self.config.separate {
            return false;
        }
        self.counts.lost_output += bytes as u64;
        if let Some(over) = self.program.over.get_mut(stream) {
            *over = true;
        }
        true
    }

    /// The next chunk of either stream, with its prefix if it begins a line.
    pub(super) fn command_output(&mut self) -> Option<(u32, Bytes)> {
        let errors = !self.program.stderr.is_empty() && (self.program.errors_turn || self.tcp_in.is_empty());
        self.program.errors_turn = !errors;
        let from = if errors { &mut self.program.stderr } else { &mut self.tcp_in };
        if from.is_empty() {
            return None;
        }
        let chunk = from.split_to(from.len().min(READ_BYTES));
        let stream = usize::from(errors);
        let kind = if errors { payload_type::STDERR } else { payload_type::OUTPUT };
        let at_line_start = self.program.at_line_start.get_mut(stream);
        let begins = at_line_start.is_some_and(|at| std::mem::replace(at, chunk.ends_with(b"\n")));
        let prefix = self.config.prefixes.get(stream).filter(|_| begins && self.config.separate);
        let mut payload = BytesMut::from(prefix.map_or("", String::as_str));
        payload.extend_from_slice(&chunk);
        Some((kind, payload.freeze()))
    }

    /// Ends the session once the command has ended and its streams are empty or lost.
    pub(super) fn step_command(&mut self, now: Instant) -> bool {
        if self.paused && self.config.separate && self.has_output() {
            // What was read and not sent when the pause came is what the next send fails with.
            self.program.over = [
                self.program.over.first() == Some(&true) || !self.tcp_in.is_empty(),
                self.program.over.last() == Some(&true) || !self.program.stderr.is_empty(),
            ];
            self.counts.lost_output += (self.tcp_in.len() + self.program.stderr.len()) as u64;
            self.tcp_in.clear();
            self.program.stderr.clear();
        }
        let Some(code) = self.program.exit else { return false };
        let stdout_over = self.tcp_far_closed || self.program.over.first() == Some(&true);
        let stderr_over = !self.config.separate || self.program.over.last() == Some(&true);
        if !stdout_over || !stderr_over || self.has_output() || (self.paused && !self.config.separate) {
            return false;
        }
        if !self.paused {
            let lost = self.program.signalled && (code.is_none() || self.config.lost_exit_codes);
            self.send_exit_code(now, if lost { LOST } else { code.unwrap_or(KILLED) });
        }
        self.close(now, EndReason::Program);
        true
    }

    /// Tells the client the exit code, if output is sent apart.
    pub(super) fn send_exit_code(&mut self, now: Instant, code: i32) {
        if self.config.separate {
            self.program.exit_code = Some(code);
            self.send_stream(now, 0, payload_type::EXIT_CODE, format!("EXIT_CODE: {code}").into());
        }
    }
}
