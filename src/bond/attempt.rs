//! An attempt: a session at the beginning, driven until it is known what becomes of it.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use ssm_bond::opening::Secret;
use ssm_session::{Closed, Event, Session};
use tokio::time::sleep_until;

use super::limits;
use super::link::{Opened, Said, greeting};

/// A session with what it has brought so far.
pub(super) struct Attempt {
    pub(super) session: Session,
    /// What it has said, for whoever takes it over.
    pub(super) events: Vec<Event>,
    /// What its far side has sent. Of a plain session it is left where it is.
    pub(super) output: BytesMut,
    ready: Option<Instant>,
    failed: Option<Failed>,
}

/// Why a session is of no use.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing listens at the port, or something else does.
    NoJoiner,
    /// Whatever listens says nothing.
    Silent,
    /// The joiner does not begin a bond, for this reason.
    Refused(String),
    /// It is closed for another reason.
    Closed(Closed),
}

impl Attempt {
    pub(super) fn new(session: Session) -> Self {
        Self { session, events: Vec::new(), output: BytesMut::new(), ready: None, failed: None }
    }

    /// Waits until the session is up, or never will be: that is for whoever takes it over to say.
    pub(super) async fn up(&mut self) {
        self.drive(false, |attempt| (attempt.ready.is_some() || attempt.failed.is_some()).then_some(()), None).await;
    }

    /// Waits for the greeting of a joiner, for as long as `limit` allows after the handshake.
    pub(super) async fn greeting(&mut self, limit: Duration) -> Result<Said, Failed> {
        let found = |attempt: &mut Self| match greeting(&mut attempt.output) {
            Some(Ok(said)) => Some(Ok(said)),
            Some(Err(why)) => {
                tracing::info!("the port is not a joiner's: {why}");
                Some(Err(Failed::NoJoiner))
            }
            None => attempt.failed.take().map(Err),
        };
        self.drive(true, found, Some(limit)).await.unwrap_or(Err(Failed::Silent))
    }

    /// Begins a bond with the joiner that has said this. Waits until it brings bytes, or has proven that it is the one: until
    /// then another session can take its place.
    pub(super) async fn open(
        &mut self,
        said: Said,
        secret: Option<&Secret>,
        destination: &str,
    ) -> Result<Box<Opened>, Failed> {
        let mut opened = Opened::begin(&mut self.session, said, secret, destination).map_err(Failed::Refused)?;
        // The time for the greeting is over.
        self.ready = Some(Instant::now());
        let found = |attempt: &mut Self| match opened.take(&mut attempt.output) {
            Ok(true) => Some(Ok(())),
            Ok(false) => attempt.failed.take().map(Err),
            Err(why) => Some(Err(Failed::Refused(why))),
        };
        self.drive(true, found, Some(limits::OPENING)).await.unwrap_or(Err(Failed::Silent))?;
        Ok(Box::new(opened))
    }

    /// Drives the session until `found` has something, or until `limit` after the handshake.
    async fn drive<T>(
        &mut self,
        takes_output: bool,
        mut found: impl FnMut(&mut Self) -> Option<T>,
        limit: Option<Duration>,
    ) -> Option<T> {
        loop {
            let now = Instant::now();
            self.session.handle_timeout(now);
            while let Some(event) = self.session.poll_event() {
                self.note(now, &event);
                self.events.push(event);
            }
            while takes_output && let Some(bytes) = self.session.poll_output() {
                self.output.extend_from_slice(&bytes);
            }
            if let Some(found) = found(self) {
                return Some(found);
            }
            let until = self.ready.zip(limit).map(|(ready, limit)| ready + limit);
            if until.is_some_and(|until| until <= now) {
                return None;
            }
            self.session.transmit(now, true);
            let wake = [self.session.poll_timeout(now), until].into_iter().flatten().min();
            let wake = wake.unwrap_or(now + limits::FOREVER);
            tokio::select! {
                _ = self.session.progress() => {}
                () = sleep_until(wake.into()) => {}
            }
        }
    }

    fn note(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Ready { .. } => self.ready = Some(now),
            Event::PortRefused => self.failed = Some(Failed::NoJoiner),
            // A port that refuses closes the session, mostly without a word.
            Event::Closed(Closed::ByService { .. }) if self.ready.is_some() => {
                self.failed.get_or_insert(Failed::NoJoiner);
            }
            Event::Closed(why) => {
                self.failed.get_or_insert(Failed::Closed(why.clone()));
            }
            Event::Unsupported(_) => self.failed = Some(Failed::NoJoiner),
            _ => {}
        }
    }
}
