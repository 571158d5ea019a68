//! A visit: one session of a live check, watched from StartSession to its end.

use std::{
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ssm_aws::StartRequest;
use ssm_session::{Accepts, Closed, Event, Kind, Loss, Options, Session, version};
use tokio::time::{sleep_until, timeout_at};

use super::tour::Tour;
use crate::{
    diagnostics::{Error, ExitStatus, session as words, tell},
    report::{Happened, Record, Recorder, shape},
};

/// How long a lost connection may take to come back.
const RESUME: Duration = Duration::from_secs(20);
/// How long the agent may take to end a session that it was told to end.
const END: Duration = Duration::from_secs(2);
/// How long until what is waited for is looked at again.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of output that are kept, to be searched.
const KEPT: usize = 64 << 10;

/// A session that is looked at.
pub(super) struct Visit<'a> {
    tour: &'a Tour<'a>,
    session: Session,
    recorder: Recorder,
    /// How often there was a connection.
    pub(super) connections: u32,
    /// What it turned out to be, with the agent's version.
    pub(super) ready: Option<(Kind, Option<String>)>,
    /// The last of what came.
    pub(super) output: Vec<u8>,
    /// Bytes that came.
    pub(super) received: u64,
    /// When the first and the last of them came.
    pub(super) came: Option<(Instant, Instant)>,
    /// The command's exit status.
    pub(super) status: Option<i64>,
    /// Whether the service has closed it.
    pub(super) is_closed: bool,
    /// Whether the service knows that it is over.
    is_over: bool,
    /// Whether the agent has acknowledged the terminate flag.
    is_flagged: bool,
    failure: Option<Error>,
}

impl<'a> Visit<'a> {
    /// Starts a session, which the report calls `what`, and waits until it is up. One that does not come up is ended.
    pub(super) async fn open(
        tour: &'a Tour<'a>,
        what: &'static str,
        request: StartRequest,
        accepts: Accepts,
    ) -> Result<Self, Error> {
        let recorder = tour.report.borrow_mut().record(what);
        let begun = Instant::now();
        let started = tour.ledger.start(request).await?;
        tour.report.borrow_mut().secrets().add(&started.id);
        let limit = tour.connection.connect_timeout;
        let options = Options {
            connect_timeout: limit,
            resume_timeout: RESUME,
            service: tour.service,
            accepts,
            may_be_unsigned: false,
        };
        let id = shape(&started.id);
        let mut session = Session::adopt(tour.aws, &tour.sessions, started, None, options);
        session.observe(Record::observer(&recorder));
        let mut visit = Self {
            tour,
            session,
            recorder,
            connections: 0,
            ready: None,
            output: Vec::new(),
            received: 0,
            came: None,
            status: None,
            is_closed: false,
            is_over: false,
            is_flagged: false,
            failure: None,
        };
        visit.note(Happened::Took("StartSession answered", begun.elapsed()));
        visit.note(Happened::Id(id));
        let ready = visit.until(limit, "the session to begin", |visit| visit.ready.clone()).await;
        visit.or_end(ready).await
    }

    /// The visit itself after a success; after a failure the session is ended.
    pub(super) async fn or_end<T>(self, result: Result<T, Error>) -> Result<Self, Error> {
        match result {
            Ok(_) => Ok(self),
            Err(error) => {
                // What failed first is what is told.
                let _ = self.end().await;
                Err(error)
            }
        }
    }

    /// Waits until `found` finds what is waited for, which `what` puts into words.
    pub(super) async fn until<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut found: impl FnMut(&mut Self) -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(found) = found(self) {
                return Ok(found);
            }
            self.turn(deadline, limit, what).await?;
        }
    }

    /// Sends all of `bytes`. Each message is filled before any goes, as in a connection of ssh.
    pub(super) async fn send(&mut self, mut bytes: &[u8], limit: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while !bytes.is_empty() {
            let now = Instant::now();
            self.session.handle_timeout(now);
            while let Some(event) = self.session.poll_event() {
                self.handle(event);
            }
            while let Some(output) = self.session.poll_output() {
                self.handle(Event::Output(output));
            }
            self.check(deadline, limit, "room for what is to be sent")?;
            let room = self.session.send_capacity(now).min(bytes.len());
            let sent = self.session.send(now, bytes.get(..room).unwrap_or_default());
            bytes = bytes.get(sent..).unwrap_or_default();
            self.session.transmit(now, true);
            if bytes.is_empty() {
                break;
            }
            let wake = self.session.poll_timeout(now).unwrap_or(deadline).min(deadline);
            tokio::select! {
                _ = self.session.progress() => {}
                () = sleep_until(wake.into()) => {}
            }
        }
        Ok(())
    }

    /// The session itself.
    pub(super) fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Ends the session: by the flag, if that is how its kind ends, and by the API if it is not known to be over then.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        let leads_to_port = matches!(self.ready, Some((Kind::Port | Kind::Forward, _)));
        if leads_to_port && !self.is_closed {
            self.session.finish();
            // An error here is the end that is wanted, or leaves it to the API.
            let _ = self.until(END, "the end", |visit| (visit.is_flagged || visit.is_closed).then_some(())).await;
        }
        let id = self.session.id().to_owned();
        let ended = match self.is_over {
            true => {
                self.tour.ledger.over(&id);
                Ok(())
            }
            false => self.tour.ledger.end(&id).await,
        };
        if ended.is_ok() && !self.is_closed {
            let _ = self.until(END, "the end", |visit| visit.is_closed.then_some(())).await;
        }
        self.record().figures(&self.session.stats());
        self.session.close().await;
        ended
    }

    /// Notes something in the report.
    pub(super) fn note(&self, happened: Happened) {
        self.record().note(happened);
    }

    /// The session's record.
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next event, and acts on it.
    async fn turn(&mut self, deadline: Instant, limit: Duration, what: &str) -> Result<(), Error> {
        self.check(deadline, limit, what)?;
        // What has no event, such as the arrival of the last byte, is looked at now and then.
        let look = deadline.min(Instant::now() + LOOK);
        if let Ok(event) = timeout_at(look.into(), self.session.next()).await {
            self.handle(event);
        }
        Ok(())
    }

    /// Whether there is still something to wait for, and time.
    fn check(&self, deadline: Instant, limit: Duration, what: &str) -> Result<(), Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        if deadline <= Instant::now() {
            let message = format!("waited {} s in vain for {what}", limit.as_secs());
            let hint = "look at the agent's log on the target (amazon-ssm-agent.log), and check again";
            return Err(Error::new(ExitStatus::TryAgain, message, hint));
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Connected => {
                self.connections += 1;
                self.note(Happened::Fact("connected".to_owned()));
            }
            Event::Ready { kind, agent_version } => {
                let agent = agent_version.as_deref().filter(|agent| version(agent).is_some());
                let agent = agent.map(|agent| format!(", agent {agent}")).unwrap_or_default();
                self.note(Happened::Fact(format!("ready as {kind:?}{agent}")));
                self.ready = Some((kind, agent_version));
            }
            Event::Output(bytes) => {
                let now = Instant::now();
                self.came = Some((self.came.map_or(now, |(first, _)| first), now));
                self.received += bytes.len() as u64;
                self.output.extend_from_slice(&bytes);
                self.output.drain(..self.output.len().saturating_sub(KEPT));
            }
            Event::ExitStatus(status) => self.status = Some(status),
            Event::Notice(text) => tell(&text),
            Event::Terminated => self.is_flagged = true,
            Event::Lost(loss) => self.note(match &*loss {
                Loss::Closed { code, reason } => Happened::Lost(Some(*code), reason.clone()),
                loss => Happened::Lost(None, loss.to_string()),
            }),
            Event::Retrying { error, .. } => {
                let failure = words::connect(&error, self.tour.aws);
                self.note(Happened::Fact(format!("an attempt to connect failed, status {}", failure.status as u8)));
                if error.kind().is_denial() {
                    self.failure.get_or_insert(failure);
                }
            }
            Event::PortRefused => self.fail(words::port_refused(self.tour.connection.port, "")),
            Event::Unsupported(why) => self.fail(words::no_program(why)),
            Event::Closed(why) => self.closed(&why),
            Event::Stderr(_) | Event::Writable => {}
        }
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    fn closed(&mut self, why: &Closed) {
        (self.is_closed, self.is_over) = (true, why.is_over());
        let failure = match why {
            Closed::ByService { output } => {
                self.note(Happened::Closed(output.clone()));
                match &self.ready {
                    Some((Kind::Port, _)) if self.received == 0 => {
                        words::port_refused(self.tour.connection.port, output)
                    }
                    Some(_) => words::closed_in_use(output).err().unwrap_or_else(ended),
                    None => words::closed(why, self.tour.aws),
                }
            }
            why => words::closed(why, self.tour.aws),
        };
        self.fail(failure);
    }
}

/// The session was ended without a word while more was to come.
fn ended() -> Error {
    let hint = "look at the agent's log on the target (amazon-ssm-agent.log), and check again";
    Error::new(ExitStatus::Broken, "the session was ended before its time", hint)
}
