//! The summary of a session in one line for a person: bytes, times, losses and resumes.
//!
//! It counts resumes and remembers times; the channel counts the rest.

use std::time::{Duration, Instant};

use crate::diagnostics::human::{Bytes, Time};
use ssm_session::Stats;

#[derive(Debug)]
pub(super) struct Summary {
    begun: Instant,
    ready: Option<Instant>,
    has_output: bool,
    /// When the connection was lost, while it is away.
    lost: Option<Instant>,
    resumes: u64,
}

impl Summary {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, ready: None, has_output: false, lost: None, resumes: 0 }
    }

    /// A connection is there: the first, or another in the place of one that was lost.
    pub(super) fn connected(&mut self, now: Instant) {
        if let Some(lost) = self.lost.take() {
            self.resumes += 1;
            tracing::info!(away = %Time(now - lost), "session resumed");
        }
        if self.ready.is_none() {
            self.begun = now;
        }
    }

    /// The connection is lost.
    pub(super) fn lost(&mut self, now: Instant) {
        self.lost.get_or_insert(now);
    }

    /// Bytes may flow. Only a handshake tells the agent's version.
    pub(super) fn ready(&mut self, now: Instant, agent_version: Option<&str>) {
        self.ready = Some(now);
        let what = if agent_version.is_some() { "handshake complete" } else { "first output from the target" };
        tracing::info!(agent_version, took = %Time(now - self.begun), "{what}");
    }

    /// Whether it has begun more than `time` ago.
    pub(super) fn has_begun_before(&self, now: Instant, time: Duration) -> bool {
        self.begun + time <= now
    }

    /// Bytes for stdout are there.
    pub(super) fn output(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.has_output, true)
            && let Some(ready) = self.ready
        {
            tracing::info!(took = %Time(now - ready), "first byte from the target");
        }
    }

    /// The line, as of `now`.
    pub(super) fn line(&self, now: Instant, stats: &Stats) -> String {
        let Some(ready) = self.ready else { return format!("not open after {}", Time(now - self.begun)) };
        let open = now - ready;
        let flow = |bytes: u64| {
            let bytes = bytes as f64;
            format!("{} ({}/s)", Bytes(bytes), Bytes(bytes / open.as_secs_f64().max(1e-3)))
        };
        let round_trip = stats.round_trip.map_or_else(|| "not measured".to_owned(), |time| Time(time).to_string());
        let away = self.lost.map(|lost| format!(", without a connection for {}", Time(now - lost))).unwrap_or_default();
        format!(
            "open for {}{away}: sent {}, received {}, round trip {round_trip}, {} of {} messages resent, {} duplicates, {} resumes",
            Time(open),
            flow(stats.bytes_sent),
            flow(stats.bytes_received),
            stats.resent,
            stats.sent,
            stats.duplicates,
            self.resumes,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_line_tells_all() {
        let start = Instant::now();
        let second = |seconds| start + Duration::from_secs(seconds);
        let mut summary = Summary::new(start);
        let mut stats = Stats::default();
        assert_eq!(summary.line(second(2), &stats), "not open after 2.0 s");
        summary.connected(second(2));
        summary.ready(second(3), Some("3.3.987.0"));
        assert_eq!(
            summary.line(second(3), &stats),
            "open for 0.0 ms: sent 0 bytes (0 bytes/s), received 0 bytes (0 bytes/s), round trip not measured, \
             0 of 0 messages resent, 0 duplicates, 0 resumes"
        );
        stats = Stats {
            bytes_sent: 5_000_000,
            bytes_received: 4_200,
            sent: 5_003,
            resent: 3,
            duplicates: 1,
            round_trip: Some(Duration::from_micros(23_456)),
            ..stats
        };
        summary.lost(second(10));
        summary.lost(second(11));
        assert_eq!(
            summary.line(second(13), &stats),
            "open for 10 s, without a connection for 3.0 s: sent 5.0 MB (500 kB/s), received 4.2 kB (420 bytes/s), round \
             trip 23 ms, 3 of 5003 messages resent, 1 duplicates, 0 resumes"
        );
        summary.connected(second(13));
        assert!(summary.line(second(13), &stats).ends_with(", 1 resumes"));
    }
}
