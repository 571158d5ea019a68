//! Raw mode of the terminal that stdin is (`cfmakeraw`): each key goes to the far side as it is, at once and unseen.
//!
//! A terminal that stdout alone is stays as it was: programs that read this one through a pseudo-terminal rely on the
//! line ends which it makes.

use std::{
    io::{self, IsTerminal},
    panic,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

/// The terminal's state before raw mode, while that lasts. There is one stdin in a process, and a panic has to find it.
static BEFORE: Mutex<Option<imp::State>> = Mutex::new(None);

/// Raw mode until this is dropped, or until the program panics. Without a terminal on stdin it does nothing.
#[derive(Debug)]
pub struct RawMode {
    is_terminal: bool,
}

impl RawMode {
    /// Puts the terminal into raw mode, if stdin is one.
    ///
    /// # Errors
    /// If the terminal refuses, or has hung up.
    pub fn enter() -> io::Result<Self> {
        restore_at_panic();
        let mut mode = Self { is_terminal: io::stdin().is_terminal() };
        mode.resume()?;
        Ok(mode)
    }

    /// Whether stdin is a terminal, which alone can be in raw mode.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Puts the terminal back as it was, until [`resume`](Self::resume): to show a question, or to stop the program.
    /// Does nothing where the terminal belongs to another program by now.
    pub fn suspend(&mut self) {
        // A terminal that is gone needs no order.
        let _ = restore(before());
    }

    /// Puts the terminal into raw mode again, also if another program has changed it meanwhile. In the background it
    /// stops the program (SIGTTOU) until that is in the foreground.
    ///
    /// # Errors
    /// If the terminal refuses, or has hung up.
    pub fn resume(&mut self) -> io::Result<()> {
        if !self.is_terminal {
            return Ok(());
        }
        let mut before = before();
        let state = match before.take() {
            Some(state) => state,
            None => imp::State::read()?,
        };
        let raw = state.raw();
        // Ahead of the change: a panic during it finds what to restore.
        *before = Some(state);
        raw.set()
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.suspend();
    }
}

fn before() -> MutexGuard<'static, Option<imp::State>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn restore(mut before: MutexGuard<'_, Option<imp::State>>) -> io::Result<()> {
    match before.take() {
        Some(state) if imp::is_ours() => state.set(),
        _ => Ok(()),
    }
}

/// Restores the terminal before a panic ends the program: where panics abort, nothing is dropped.
fn restore_at_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // Whoever has it locked may be the one who panics.
            if let Ok(before) = BEFORE.try_lock() {
                let _ = restore(before);
            }
            show(panic);
        }));
    });
}

#[cfg(unix)]
mod imp {
    use std::io;

    use nix::{
        sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr},
        unistd::{getpgrp, tcgetpgrp},
    };

    /// A state of stdin's terminal.
    #[derive(Clone, Debug)]
    pub(super) struct State(Termios);

    impl State {
        pub(super) fn read() -> io::Result<Self> {
            Ok(Self(tcgetattr(io::stdin())?))
        }

        /// The same line speed and characters, without any processing.
        pub(super) fn raw(&self) -> Self {
            let mut termios = self.0.clone();
            cfmakeraw(&mut termios);
            Self(termios)
        }

        /// At once: to wait until all output is shown could take for ever on a terminal that has paused it.
        pub(super) fn set(&self) -> io::Result<()> {
            Ok(tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0)?)
        }
    }

    /// Whether a change of the terminal is ours to make: a program in the background would be stopped by it, and the shell
    /// in the foreground has put the terminal in order itself.
    pub(super) fn is_ours() -> bool {
        // A terminal that does not control this session has no foreground to tell of.
        tcgetpgrp(io::stdin()).map_or(true, |foreground| foreground == getpgrp())
    }
}

#[cfg(windows)]
mod imp {
    use std::io;

    use winapi_util::{
        HandleRef,
        console::{mode, set_mode},
    };

    /// `ENABLE_PROCESSED_INPUT`, `ENABLE_LINE_INPUT` and `ENABLE_ECHO_INPUT`, as consoleapi.h numbers them.
    const COOKED_INPUT: u32 = 0x1 | 0x2 | 0x4;
    /// `ENABLE_VIRTUAL_TERMINAL_INPUT`: arrows and function keys as the sequences that terminals send.
    const SEQUENCES_IN: u32 = 0x200;
    /// `ENABLE_PROCESSED_OUTPUT`, `ENABLE_VIRTUAL_TERMINAL_PROCESSING` and `DISABLE_NEWLINE_AUTO_RETURN`.
    const SEQUENCES_OUT: u32 = 0x1 | 0x4 | 0x8;

    /// A state of the console: of its keys, and of its screen if stdout is that.
    #[derive(Clone, Debug)]
    pub(super) struct State {
        input: u32,
        output: Option<u32>,
    }

    impl State {
        pub(super) fn read() -> io::Result<Self> {
            Ok(Self { input: mode(HandleRef::stdin())?, output: mode(HandleRef::stdout()).ok() })
        }

        /// Keys and screen in terminals' sequences, without any processing.
        pub(super) fn raw(&self) -> Self {
            let input = self.input & !COOKED_INPUT | SEQUENCES_IN;
            Self { input, output: self.output.map(|output| output | SEQUENCES_OUT) }
        }

        pub(super) fn set(&self) -> io::Result<()> {
            if let Some(output) = self.output {
                set_mode(HandleRef::stdout(), output)?;
            }
            set_mode(HandleRef::stdin(), self.input)
        }
    }

    /// A console has no background.
    pub(super) fn is_ours() -> bool {
        true
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::{
        process::Signal,
        termios::{InputModes, LocalModes, OutputModes, Termios, tcgetattr},
    };

    use super::RawMode;
    use crate::endpoints::{job_control::JobSignals, pseudo_terminal, pseudo_terminal::Child};

    /// Whether nothing is left of a terminal's processing, or all of it is there.
    fn is_raw(terminal: &OwnedFd) -> bool {
        let Termios { input_modes, output_modes, local_modes, .. } = tcgetattr(terminal).unwrap();
        let input = input_modes & (InputModes::ICRNL | InputModes::IXON);
        let output = output_modes & OutputModes::OPOST;
        let local = local_modes & (LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        let bits = [input.bits(), output.bits(), local.bits()];
        let is_raw = bits.iter().all(|bits| *bits == 0);
        assert!(is_raw || bits.iter().all(|bits| *bits != 0), "neither raw nor as it was: {bits:?}");
        is_raw
    }

    fn state(terminal: &OwnedFd) -> String {
        format!("{:?}", tcgetattr(terminal).unwrap())
    }

    /// Runs a test of this program, which is ignored otherwise, with a terminal for its stdin, and lets it stop and go on
    /// where it does. The terminal has to be raw at the stops of `raw`, as it was at the others and at the end.
    #[track_caller]
    fn run(name: &str, stops: &[bool]) -> Option<i32> {
        let (_controller, terminal) = pseudo_terminal::open();
        let before = state(&terminal);
        let child = Child::start(&format!("endpoints::raw_mode::tests::{name}"), &terminal);
        for raw in stops {
            child.wait_until_stopped();
            assert_eq!(is_raw(&terminal), *raw, "at a stop of {name}");
            child.send(Signal::CONT);
        }
        let code = child.wait();
        assert_eq!(state(&terminal), before, "after {name}");
        code
    }

    #[test]
    fn the_terminal_is_raw_until_the_end_and_between_suspend_and_resume_as_it_was() {
        assert_eq!(run("child_suspends", &[true, false, true]), Some(0));
    }

    #[test]
    #[ignore = "run by the test above, with a terminal for its stdin"]
    fn child_suspends() {
        let mut mode = RawMode::enter().unwrap();
        pseudo_terminal::stop();
        mode.suspend();
        mode.suspend();
        pseudo_terminal::stop();
        mode.resume().unwrap();
        mode.resume().unwrap();
        pseudo_terminal::stop();
    }

    #[test]
    fn a_panic_restores_the_terminal_though_nothing_is_dropped() {
        assert_eq!(run("child_panics", &[true]), Some(101));
    }

    #[test]
    #[ignore = "run by the test above, with a terminal for its stdin"]
    fn child_panics() {
        std::mem::forget(RawMode::enter().unwrap());
        pseudo_terminal::stop();
        panic!("asked for");
    }

    #[test]
    fn a_program_that_stops_itself_restores_the_terminal_meanwhile() {
        assert_eq!(run("child_stops", &[false, true]), Some(0));
    }

    #[test]
    #[ignore = "run by the test above, with a terminal for its stdin"]
    fn child_stops() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut mode = RawMode::enter().unwrap();
        runtime.block_on(async { JobSignals::listen().unwrap().stop(Some(&mut mode)).await.unwrap() });
        pseudo_terminal::stop();
    }

    #[test]
    fn without_a_terminal_on_stdin_nothing_happens() {
        let mut mode = RawMode { is_terminal: false };
        mode.resume().unwrap();
        assert!(!mode.is_terminal());
    }
}
