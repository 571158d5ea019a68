//! The ledger of a live check: every session that it has started and that is not known to have ended.

use std::{
    cell::RefCell,
    future::pending,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::join_all;
use ssm_aws::{ApiError, Session as Started, Sessions, StartRequest};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

use crate::{
    diagnostics::{Error, ExitStatus},
    terminate,
};

/// Sessions that have to be ended.
pub(super) struct Ledger {
    sessions: Sessions,
    open: Arc<Mutex<Vec<String>>>,
    /// Calls of StartSession that are not answered. They go on when nobody waits for them any more, so that their sessions
    /// are known.
    starting: RefCell<JoinSet<()>>,
}

impl Ledger {
    pub(super) fn new(sessions: &Sessions) -> Self {
        Self { sessions: sessions.clone(), open: Arc::default(), starting: RefCell::default() }
    }

    /// Starts a session. May be dropped at any time: the session is then known all the same.
    pub(super) async fn start(&self, request: StartRequest) -> Result<Started, ApiError> {
        let (answer, answered) = oneshot::channel();
        let (sessions, open) = (self.sessions.clone(), Arc::clone(&self.open));
        self.starting.borrow_mut().spawn(async move {
            let started = sessions.start(&request).await;
            if let Ok(session) = &started {
                open.lock().unwrap_or_else(PoisonError::into_inner).push(session.id.clone());
            }
            let _ = answer.send(started);
        });
        match answered.await {
            Ok(started) => started,
            // Nothing but the end of the runtime takes the task away.
            Err(_) => pending().await,
        }
    }

    /// The session is known to have ended.
    pub(super) fn over(&self, id: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|open| open != id);
    }

    /// Ends a session by the API.
    pub(super) async fn end(&self, id: &str) -> Result<(), Error> {
        match timeout(terminate::LIMIT, self.sessions.terminate(id)).await {
            Ok(ended) => ended.map(|()| self.over(id)).map_err(Error::from),
            Err(_) => {
                let hint = format!("aws ssm terminate-session --session-id {id}");
                Err(Error::new(ExitStatus::TryAgain, "TerminateSession is not answered", hint))
            }
        }
    }

    /// Ends all that is left, and says which could not be ended.
    pub(super) async fn end_all(&self) {
        let mut starting = self.starting.take();
        let _ = timeout(terminate::LIMIT, async { while starting.join_next().await.is_some() {} }).await;
        let left = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        join_all(left.iter().map(|id| terminate::by_api(id, self.sessions.terminate(id)))).await;
    }
}
