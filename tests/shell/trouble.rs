//! A dialogue through every trouble comes out byte for byte.

use std::fmt::Write;

use fixtures::standin::Fault;

use super::{MS, bench_with, exit, only, shell};

#[test]
fn through_one_percent_of_loss() {
    through(0.01);
}

#[test]
fn through_five_percent_of_loss() {
    through(0.05);
}

/// Lines are typed one by one, and three times several at once; in between the connection closes three times, is reset
/// twice and is silent for ten seconds, and messages are lost both ways all the while.
fn through(loss: f64) {
    let bench = bench_with(|standin| {
        // With this one, some are lost.
        standin.seed = 3;
        standin.uplink.loss = loss;
        standin.downlink.loss = loss;
    });
    let mut terminal = shell(&bench);
    terminal.press("stty -echo; echo begun; cat\r");
    terminal.expect("\r\nbegun\r\n");
    let faults = [Fault::bye(), Fault::Reset, Fault::Silent(MS(10_000)), Fault::bye(), Fault::Reset, Fault::bye()];
    let mut expected = String::new();
    for (number, fault) in faults.iter().enumerate() {
        for line in 0..40 {
            let line = format!("{number}: line {line} of ÄÖÜ and 日本");
            terminal.press(&format!("{line}\r"));
            let _ = write!(expected, "{line}\r\n");
            if line.contains("line 7 ") {
                bench.fault(fault.clone());
            }
            // In every second trouble they wait for their answers one by one, in the others they are under way at once.
            if number % 2 == 0 && !line.contains("line 39 ") {
                continue;
            }
            terminal.wait(&format!("the answer to {line:?}"), |shown| {
                let shown = without_notices(shown);
                assert!(expected.starts_with(&shown), "{shown:?} is not the beginning of {expected:?}");
                (shown == expected).then_some(())
            });
        }
    }
    terminal.wait("the end", |shown| (without_notices(shown) == expected).then_some(()));
    terminal.press("\x04stty echo; PS1='ready> '\r");
    let report = exit(terminal, bench);
    let session = only(&report);
    assert!(session.resumes >= 5 && session.uplink.lost + session.downlink.lost > 0, "{session:#?}");
}

/// What the far side has shown, without the lines that this program has told a person.
fn without_notices(shown: &[u8]) -> String {
    let text = String::from_utf8_lossy(shown).replace('\u{fffd}', "");
    let mut rest = text.as_str();
    let mut far = String::new();
    while let Some((before, notice)) = rest.split_once("\rssm-proxy: ") {
        far.push_str(before);
        rest = notice.split_once("\r\n").map_or("", |(_, after)| after);
    }
    far.push_str(rest);
    far
}
