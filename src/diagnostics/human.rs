//! Human-readable sizes and times, rounded to what matters.

use std::fmt;
use std::time::{Duration, SystemTime};

/// A time: `0.4 ms`, `23 ms`, `4.2 s`, `75 s`, `12 min`.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let millis = seconds * 1e3;
        match () {
            () if millis < 9.95 => write!(f, "{millis:.1} ms"),
            () if millis < 999.5 => write!(f, "{millis:.0} ms"),
            () if seconds < 9.95 => write!(f, "{seconds:.1} s"),
            () if seconds < 119.5 => write!(f, "{seconds:.0} s"),
            () => write!(f, "{:.0} min", seconds / 60.0),
        }
    }
}

/// An amount of bytes, in powers of 1000: `17 bytes`, `4.1 kB`, `52 MB`.
#[derive(Clone, Copy, Debug)]
pub struct Bytes(pub f64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut amount, mut unit) = (self.0, "bytes");
        for larger in ["kB", "MB", "GB", "TB"] {
            if amount < 999.5 {
                break;
            }
            (amount, unit) = (amount / 1e3, larger);
        }
        match unit == "bytes" || amount >= 9.95 {
            true => write!(f, "{amount:.0} {unit}"),
            false => write!(f, "{amount:.1} {unit}"),
        }
    }
}

/// How long ago `time` was, in the one unit that says it best.
pub fn age(now: SystemTime, time: SystemTime) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = now.duration_since(time).unwrap_or(Duration::ZERO).as_secs();
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded() {
        for (micros, text) in [
            (0, "0.0 ms"),
            (431, "0.4 ms"),
            (23_400, "23 ms"),
            (999_600, "1.0 s"),
            (4_200_000, "4.2 s"),
            (75_400_000, "75 s"),
            (720_000_000, "12 min"),
        ] {
            assert_eq!(Time(Duration::from_micros(micros)).to_string(), text);
        }
    }

    #[test]
    fn amounts_are_rounded() {
        for (bytes, text) in [
            (0.0, "0 bytes"),
            (999.0, "999 bytes"),
            (1000.0, "1.0 kB"),
            (52_400_000.0, "52 MB"),
            (999_700.0, "1.0 MB"),
            (3e15, "3000 TB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let now = SystemTime::now();
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (86_399, "23 h"),
            (864_000, "10 d"),
        ] {
            assert_eq!(age(now, now - Duration::from_secs(seconds)), text);
        }
        assert_eq!(age(now, now + Duration::from_secs(5)), "0 s", "clocks differ");
    }
}
