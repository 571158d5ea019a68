//! The command that takes the place of `session-manager-plugin`, AWS's own client: joins a session that the caller has started
//! to stdin and stdout, in the words of that client.
//!
//! The session is adopted: nothing is started, so that a forward ends with its session. Those who call it look for the
//! client's texts on stdout; what this program has to say besides goes to stderr.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ssm_aws::{Aws, Overrides, Sessions};
use ssm_session::{PLUGIN_VERSION, Service};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::forward::listen_as_documented;
use super::print::{Texts, print};
use crate::cli::plugin::{Joined, PluginCall};
use crate::diagnostics::{Error, ExitStatus, tell, tell_failure};
use crate::endpoints::job_control::{JobSignal, JobSignals};
use crate::endpoints::listener::Listener;
use crate::endpoints::signals::Signals;
use crate::forward::{self, Forward, Happened, Heard, Source, Up, takes_one};
use crate::terminate;
use crate::tunnel::{self, Notes, Ran, SessionEnd, Settings, Wanted};

/// For stdout's reader to take the last words, where a person or a program has ended the session.
const GOODBYE: Duration = Duration::from_secs(1);
/// The same where the session has ended by itself: a reader may take its time, until a signal.
const FOREVER: Duration = Duration::from_secs(3600);

/// Does what the caller of AWS's client asks for, and gives the status of it: that client ends with 0 in any case.
pub async fn plugin(call: PluginCall, signals: &mut Signals) -> u8 {
    match call {
        PluginCall::Version => say(&format!("{PLUGIN_VERSION}\n")).await,
        PluginCall::Say(text) => say(&text).await,
        PluginCall::Refuse(why) => {
            let _ = say(&refusal(&why)).await;
            ExitStatus::Usage as u8
        }
        PluginCall::Join(joined) => join(*joined, signals).await,
    }
}

async fn join(joined: Joined, signals: &mut Signals) -> u8 {
    let id = joined.session.id.clone();
    let greeting = format!("\nStarting session with SessionId: {id}\n");
    let greeted = signals.unless_ended(say(&greeting), || {}).await;
    let notes = Rc::<Notes>::default();
    let ended = match (load(&joined.overrides).await, greeted) {
        // A stdout that cannot be written to ends the session there.
        (Ok(aws), Ok(_)) => run(&aws, joined, &notes, signals).await,
        (Ok(aws), Err(signal)) => {
            terminate::by_api(&id, Sessions::new(&aws).terminate(&id)).await;
            Ok(tunnel::status_of_signal(signal))
        }
        (Err(error), _) => Err(error),
    };
    let status = match &ended {
        Ok(status) => *status,
        Err(error) => error.status as u8,
    };
    let text = match (notes.end(), &ended) {
        (Some(SessionEnd::WhileAway), _) => format!("Session: {id} timed out.\n"),
        (Some(SessionEnd::Closed(output)), _) => farewell(&id, &output),
        (None, Err(error)) if !notes.is_up() => refusal(&error.message),
        (None, _) => farewell(&id, ""),
    };
    // Whoever ends the program does not wait for its reader.
    let patience = if notes.end().is_none() && ended.is_ok() { GOODBYE } else { FOREVER };
    let said = signals.unless_ended(timeout(patience, say(&text)), || {}).await;
    let is_said = said.ok().and_then(Result::ok).unwrap_or_default();
    if let Err(error) = &ended {
        match notes.is_up() {
            true => tell_failure(&id, error),
            false => tell(&format!("hint: {}", error.hint)),
        }
    }
    status.max(is_said)
}

/// The settings, with the profile and its credentials if they can be had, else for as long as the session's token goes.
async fn load(overrides: &Overrides) -> Result<Aws, Error> {
    let error = match Aws::load(overrides).await {
        Ok(aws) => return Ok(aws),
        Err(error) => Error::from(error),
    };
    let aws = Aws::load_unsigned(overrides).await.map_err(|_| error.clone())?;
    tell(&format!("a lost connection cannot be resumed: {error}; {}", error.hint));
    Ok(aws)
}

async fn run(aws: &Aws, joined: Joined, notes: &Rc<Notes>, signals: &mut Signals) -> Result<u8, Error> {
    let sessions = Sessions::new(aws);
    let settings = Settings {
        port: joined.port,
        connect_timeout: joined.connect_timeout,
        resume_timeout: joined.resume_timeout,
        service: Service::Aws,
        program: Some(Wanted::AsPlugin { on_terminal: joined.on_terminal, is_shell: joined.is_shell }),
        notes: Rc::clone(notes),
    };
    let hurry = Notify::new();
    let started = std::future::ready(Ok(joined.session));
    match tunnel::run(aws, &sessions, started, &hurry, signals, &settings).await? {
        Ran::Ended(status) => Ok(status),
        Ran::Forward(session, agent_version) => {
            forward(aws, (session, agent_version), &settings, signals).await.map(|()| 0)
        }
    }
}

/// Takes connections for a session that turned out to be a forward, until a signal or the session's end.
async fn forward(aws: &Aws, up: Up, settings: &Settings, signals: &mut Signals) -> Result<(), Error> {
    let mut jobs = JobSignals::listen_to_ignored().map_err(|cause| crate::diagnostics::session::no_terminal(&cause))?;
    let (listener, destination) = listen_as_documented(&up).await?;
    settings.notes.up();
    let said = Said::of(&up, &listener);
    let closing = Rc::new(RefCell::new(None));
    // The loop must not wait for whoever reads this.
    let (texts, mut writing) = Texts::begin();
    let source = Source { start: None, heard: Some(said.heard(texts.clone(), &closing)), first: Some(up) };
    let forwards = vec![Forward { listener, destination: destination.into(), source, carry: None }];
    let pool = forward::Settings {
        connect_timeout: settings.connect_timeout,
        resume_timeout: settings.resume_timeout,
        service: settings.service,
        sessions: 1,
        keep_alive: false,
    };
    let listening = || {
        texts.add(said.opened.clone());
        Ok(())
    };
    let until = async {
        let signal = tokio::select! {
            signal = signals.end(|| tell(&format!("forwarding {}", said.place))) => signal,
            signal = stopped(&mut jobs) => signal,
            error = writing.failed() => return Err(error),
        };
        tracing::info!(signal, "ending");
        texts.add("Terminate signal received, exiting.\n".to_owned());
        Ok(())
    };
    let ended = forward::run(aws, pool, forwards, listening, until).await.and_then(|ended| ended);
    let closing = closing.take();
    drop(texts);
    let patience = if closing.is_none() { GOODBYE } else { FOREVER };
    let written = signals.unless_ended(timeout(patience, writing.done()), || {}).await;
    tracing::debug!(?written, "the forward's texts");
    match closing {
        Some(text) => {
            settings.notes.ended(SessionEnd::Closed(text));
            // Why is in the text, and whoever has ended it knows.
            ended.or(Ok(()))
        }
        None => ended,
    }
}

/// Waits for the key that stops a program: nobody could let this one go on.
async fn stopped(jobs: &mut JobSignals) -> &'static str {
    while jobs.next().await != JobSignal::Stop {}
    "SIGTSTP"
}

/// What AWS's client says of a forward.
struct Said {
    place: String,
    opened: String,
    accepted: String,
}

impl Said {
    fn of((session, agent_version): &Up, listener: &Listener) -> Self {
        let id = session.id();
        let place = match listener.port() {
            Some(port) => format!("Port {port}"),
            None => format!("Unix socket {listener}"),
        };
        let opened = format!("{place} opened for sessionId {id}.\n");
        match takes_one(agent_version.as_deref()) {
            true => Self { place, opened, accepted: format!("Connection accepted for session {id}.\n") },
            false => Self {
                place,
                opened: format!("{opened}\nWaiting for connections...\n"),
                accepted: format!("\nConnection accepted for session [{id}]\n"),
            },
        }
    }

    /// Hears what happens to the forward; `closing` gets the text of the session's end.
    fn heard(&self, texts: Texts, closing: &Rc<RefCell<Option<String>>>) -> Rc<Heard<'static>> {
        // Of the first connection alone AWS's client says something.
        let accepted = Cell::new(Some(self.accepted.clone()));
        let closing = Rc::clone(closing);
        Rc::new(move |happened| match happened {
            Happened::Accepted => accepted.take().into_iter().for_each(|text| texts.add(text)),
            Happened::Refused => {
                texts.add("\nConnection to destination port failed, check SSM Agent logs.\n".to_owned());
            }
            Happened::Closed(text) => drop(closing.replace(Some(text))),
        })
    }
}

fn refusal(why: &str) -> String {
    format!("Cannot perform start session: {why}\n")
}

/// What AWS's client says at the end of a session.
fn farewell(id: &str, output: &str) -> String {
    match output {
        "" => format!("\n\nExiting session with sessionId: {id}.\n\n"),
        output => format!("\n\nSessionId: {id} : {output}\n\n"),
    }
}

/// Says it on stdout; gives the status of what comes of that.
async fn say(text: &str) -> u8 {
    match print(text.to_owned()).await {
        Ok(()) => ExitStatus::Ended as u8,
        Err(error) => {
            tell(&format!("{error}; {}", error.hint));
            error.status as u8
        }
    }
}
