//! The pauses that the service asks for, and what comes after each: whether it is taken back, and whether acknowledgements
//! still come.

use std::time::{Duration, Instant};

/// The pauses of one session.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    pub(super) all: Vec<Pause>,
    is_on: bool,
}

/// One pause; times from its beginning.
#[derive(Debug)]
pub(super) struct Pause {
    pub(super) begun: Instant,
    /// How often it was asked for again.
    pub(super) repeated: u32,
    /// When it was taken back.
    pub(super) taken_back: Option<Duration>,
    /// When the first acknowledgement came within it.
    pub(super) acknowledged: Option<Duration>,
}

impl Pauses {
    /// The service says "stop sending".
    pub(super) fn asked(&mut self, now: Instant) {
        match self.all.last_mut().filter(|_| self.is_on) {
            Some(pause) => pause.repeated += 1,
            None => self.all.push(Pause { begun: now, repeated: 0, taken_back: None, acknowledged: None }),
        }
        self.is_on = true;
    }

    /// The service says "you may send".
    pub(super) fn taken_back(&mut self, now: Instant) {
        if let Some(pause) = self.open() {
            pause.taken_back = Some(now.saturating_duration_since(pause.begun));
        }
        self.is_on = false;
    }

    /// An acknowledgement has come.
    pub(super) fn acknowledged(&mut self, now: Instant) {
        if let Some(pause) = self.open() {
            pause.acknowledged.get_or_insert(now.saturating_duration_since(pause.begun));
        }
    }

    /// The connection is gone, and what was asked for on it.
    pub(super) fn lost(&mut self) {
        self.is_on = false;
    }

    fn open(&mut self) -> Option<&mut Pause> {
        self.all.last_mut().filter(|_| self.is_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_when_it_is_taken_back_or_with_the_connection() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut pauses = Pauses::default();
        pauses.taken_back(start);
        pauses.asked(start);
        pauses.acknowledged(start + ms(3));
        pauses.asked(start + ms(4));
        pauses.acknowledged(start + ms(5));
        pauses.taken_back(start + ms(9));
        pauses.asked(start + ms(20));
        pauses.lost();
        pauses.taken_back(start + ms(30));
        let seen: Vec<_> =
            pauses.all.iter().map(|pause| (pause.repeated, pause.taken_back, pause.acknowledged)).collect();
        assert_eq!(seen, [(1, Some(ms(9)), Some(ms(3))), (0, None, None)]);
    }
}
