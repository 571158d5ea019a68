//! How many files and sockets this process may have open.

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit as it was before it was raised.
pub struct Descriptors {
    #[cfg(unix)]
    before: Rlimit,
}

impl Descriptors {
    /// Raises the limit to what the system allows: each connection that is carried has a descriptor, and 1024 are the rule.
    /// Best effort: a system that refuses keeps its own limit.
    pub fn raised() -> Self {
        #[cfg(unix)]
        {
            let before = getrlimit(Resource::Nofile);
            raise(&before);
            Self { before }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// Starts a process with the limit as it was: programs that use `select` fail with a higher one.
    pub fn as_before<T>(&self, start: impl FnOnce() -> T) -> T {
        #[cfg(unix)]
        let _ = setrlimit(Resource::Nofile, self.before);
        let started = start();
        #[cfg(unix)]
        raise(&self.before);
        started
    }
}

#[cfg(unix)]
fn raise(limit: &Rlimit) {
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
