//! What `~` does after a newline.

use fixtures::HOST;
use fixtures::standin::SessionState;

use super::{PROMPT, at_prompt, bench, exit, lines, only, run, shell};

#[test]
fn a_dot_ends_the_session() {
    let bench = bench();
    let before = bench.proxy().arg(HOST).on_terminal(24, 80);
    let modes = before.modes_before();
    let mut terminal = at_prompt(before);
    assert_ne!(terminal.modes(), modes, "it is not raw");
    run(&mut terminal, "echo begun");
    terminal.press("sleep 100\r~.");
    assert_eq!(terminal.ended().code(), Some(0), "{}", terminal.screen());
    assert_eq!(terminal.modes(), modes);
    assert_eq!(only(&bench.finish()).state, SessionState::EndedByApi);
}

#[test]
fn a_question_mark_lists_them() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("cat\r");
    terminal.expect("cat\r\n");
    terminal.press("~?");
    let expected = [
        "ssm-proxy: escapes, after a newline:",
        "ssm-proxy:   ~.   end the session",
        "ssm-proxy:   ~#   show what the session has carried",
        "ssm-proxy:   ~^Z  stop ssm-proxy; fg goes on",
        "ssm-proxy:   ~~   send one ~",
        "ssm-proxy:   ~?   this list",
    ];
    terminal.see("the list, each line at the beginning of one", |screen| {
        lines(screen).ends_with(&expected.map(str::to_owned)) && screen.cursor_position().1 == 0
    });
    // The far side has seen nothing of it.
    terminal.press("x\r");
    terminal.expect("x\r\nx\r\n");
    terminal.press("\x04");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}

#[test]
fn two_tildes_are_one_and_others_are_as_typed() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("cat\r");
    terminal.expect("cat\r\n");
    for (typed, arrives) in [("~~home\r", "~home"), ("~user\r", "~user"), ("x~.\r", "x~."), ("~~.\r", "~.")] {
        terminal.press(typed);
        terminal.expect(&format!("{arrives}\r\n{arrives}\r\n"));
    }
    terminal.press("\x04");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}

#[test]
fn a_number_sign_shows_the_summary() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("cat\r");
    terminal.expect("cat\r\n");
    let id = bench.session().id;
    terminal.press("~#");
    terminal.expect(&format!("ssm-proxy: session {id}: open for "));
    terminal.expect("\r\n");
    terminal.press("x\r");
    terminal.expect("x\r\nx\r\n");
    terminal.press("\x04");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}
