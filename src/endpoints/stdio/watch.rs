//! A watch for the reader of fd 1 to go, where epoll and kqueue do not tell: a socket's other end is closed whole, or a
//! terminal has hung up.
//!
//! A thread waits in `poll(2)`, which reports both though it is asked for nothing, and costs nothing until then. What
//! has no reader, such as a file, is never gone.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::Notify;

/// A watch of fd 1.
pub(super) struct Watch {
    gone: Arc<Notify>,
}

impl Watch {
    /// Starts to watch, if the descriptor can be had.
    pub(super) fn start() -> Option<Self> {
        let stdout = io::stdout().as_fd().try_clone_to_owned().ok()?;
        let gone = Arc::new(Notify::new());
        let tell = Arc::clone(&gone);
        // The thread ends with the process: a poll that waits cannot be called back.
        thread::spawn(move || {
            let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
            while poll(&mut watched, None) == Err(Errno::INTR) {}
            if watched.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR)) {
                tell.notify_one();
            }
        });
        Some(Self { gone })
    }

    /// Waits until the reader is gone; says so once.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }
}
