//! Output that is delivered and not yet taken: stdout and stderr, with their memory.

use std::collections::VecDeque;

use bytes::Bytes;

use super::assembler::OVERHEAD;

/// Two queues, of which the agent does not keep the order.
#[derive(Debug, Default)]
pub(super) struct Output {
    stdout: VecDeque<Bytes>,
    stderr: VecDeque<Bytes>,
    bytes: usize,
    total: u64,
}

impl Output {
    pub(super) fn push_stdout(&mut self, bytes: Bytes) {
        self.count(&bytes);
        self.stdout.push_back(bytes);
    }

    pub(super) fn push_stderr(&mut self, bytes: Bytes) {
        self.count(&bytes);
        self.stderr.push_back(bytes);
    }

    fn count(&mut self, bytes: &Bytes) {
        self.bytes += bytes.len() + OVERHEAD;
        self.total += bytes.len() as u64;
    }

    pub(super) fn pop_stdout(&mut self) -> Option<Bytes> {
        let bytes = self.stdout.pop_front()?;
        self.bytes -= bytes.len() + OVERHEAD;
        Some(bytes)
    }

    pub(super) fn pop_stderr(&mut self) -> Option<Bytes> {
        let bytes = self.stderr.pop_front()?;
        self.bytes -= bytes.len() + OVERHEAD;
        Some(bytes)
    }

    /// Memory held, in bytes, bookkeeping included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that have ever come.
    pub(super) fn total(&self) -> u64 {
        self.total
    }
}
