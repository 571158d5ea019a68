//! Every key is the far side's: none is a signal or a character of editing here.

use fixtures::until;

use super::{MS, PROMPT, SLEEPS, bench, exit, is_at_prompt, lines, run, shell};

#[test]
fn every_byte_but_an_escape_reaches_the_far_side() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("stty raw -echo; echo begun; head -c 256 | od -An -v -tx1; stty sane\r");
    terminal.expect("begun\n");
    for byte in 0..=255 {
        terminal.paste(&[byte]);
    }
    let shown = String::from_utf8_lossy(&terminal.expect_after(PROMPT)).into_owned();
    let bytes: Vec<_> = shown.split_whitespace().map(str::to_owned).collect();
    assert_eq!(bytes, (0..=255).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>());
    exit(terminal, bench);
}

#[test]
fn keys_that_are_signals_are_so_on_the_far_side() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press(SLEEPS);
    terminal.expect("begun\r\n");
    terminal.press("\x03");
    terminal.expect(PROMPT);
    assert_eq!(run(&mut terminal, "echo $?"), "130\r\n");

    terminal.press(SLEEPS);
    terminal.expect("begun\r\n");
    terminal.press("\x1c");
    terminal.expect("Quit");
    terminal.expect(PROMPT);
    assert_eq!(run(&mut terminal, "echo $?"), "131\r\n");

    terminal.press(SLEEPS);
    terminal.expect("begun\r\n");
    terminal.press("\x1a");
    terminal.expect("Stopped");
    terminal.expect(PROMPT);
    assert!(run(&mut terminal, "jobs").contains("Stopped"));
    // A shell does not leave what is stopped, unless another program takes its place.
    terminal.press("exec true\r");
    assert_eq!(terminal.finish().code(), Some(0));
    bench.finish();
}

#[test]
fn output_is_held_and_goes_on_there() {
    let bench = bench();
    let reached = bench.folder().join("reached");
    let mut terminal = shell(&bench);
    terminal.press("\x13");
    terminal.press(&format!("touch {}; echo sho''wn\r", reached.display()));
    // The shell has the line, and what it writes stays where it is.
    assert!(until(MS(15_000), || reached.exists().then_some(())).is_some(), "{}", terminal.screen());
    assert!(!terminal.screen().contains("touch"), "{}", terminal.screen());
    terminal.press("\x11");
    terminal.expect("shown\r\n");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}

#[test]
fn the_next_key_is_quoted_there() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("head -n 1 | od -An -tx1\r");
    terminal.expect("\r\n");
    terminal.press("\x16\x03\x16\x1a\r");
    terminal.see("the keys by their names", |screen| lines(screen).iter().any(|line| line == "^C^Z"));
    terminal.see("their bytes", |screen| lines(screen).iter().any(|line| line == " 03 1a 0a") && is_at_prompt(screen));
    exit(terminal, bench);
}

/// Ctrl-D at the beginning of a line ends the shell; nothing here has to know.
#[test]
fn the_end_of_input_ends_the_shell() {
    let bench = bench();
    let terminal = shell(&bench);
    terminal.press("\x04");
    assert_eq!(terminal.finish().code(), Some(0));
    bench.finish();
}
