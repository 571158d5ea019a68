//! A connection that is lost: what a person is told of it, and what they type meanwhile.

use fixtures::standin::{ApiFault, ApiRule, Fault};
use fixtures::{Bench, HOST, Terminal};

use super::{MS, PROMPT, at_prompt, bench, exit, is_at_prompt, lines, run, shell};

const LOST: &str = "ssm-proxy: connection lost, resuming it; typing is kept; ~. ends the session";
const BACK: &str = "ssm-proxy: the connection is back";

/// Breaks the connection; the next one takes five seconds.
fn lose(bench: &Bench) {
    let fault = ApiFault::Slow(MS(5000));
    bench.control().api_rule(ApiRule { operation: "ResumeSession".to_owned(), fault, skip: 0, times: 1 });
    bench.fault(Fault::Reset);
}

/// Waits for the notice in the line that it has for itself.
#[track_caller]
fn see_line(terminal: &mut Terminal, line: &str) {
    terminal.see(line, |screen| lines(screen).iter().any(|shown| shown == line));
}

#[test]
fn it_is_told_and_what_is_typed_meanwhile_arrives() {
    let bench = bench();
    let mut terminal = shell(&bench);
    lose(&bench);
    terminal.press("echo typed ");
    terminal.see(LOST, |screen| screen.contents().contains("connection lost"));
    terminal.press("meanwhile\r");
    terminal.see(BACK, |screen| lines(screen).iter().any(|line| line == BACK));
    terminal
        .see("the answer", |screen| lines(screen).iter().any(|line| line == "typed meanwhile") && is_at_prompt(screen));
    // Told once, and each in a line of its own.
    let screen = terminal.screen();
    assert_eq!((screen.matches("connection lost").count(), screen.matches(BACK).count()), (1, 1), "{screen}");
    assert_eq!(run(&mut terminal, "echo $((6 * 7))"), "42\r\n");
    exit(terminal, bench);
}

/// A line that the cursor stands in is not overwritten: the prompt stays readable, and the notice has lines to itself.
#[test]
fn the_notice_has_lines_of_its_own() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("echo a command that is longer than the notices are, so that what is left of it would be seen");
    terminal.expect("would be seen");
    lose(&bench);
    see_line(&mut terminal, LOST);
    see_line(&mut terminal, BACK);
    terminal.press("\r");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}

#[test]
fn a_short_loss_says_nothing() {
    let bench = bench();
    let mut terminal = shell(&bench);
    let quick = [Fault::bye(), Fault::Reset, Fault::Drop];
    for (number, fault) in quick.iter().enumerate() {
        bench.fault(fault.clone());
        bench.wait_for("a new connection", |report| {
            report.sessions.iter().all(|session| session.connected && session.resumes == number as u64 + 1)
        });
        assert_eq!(run(&mut terminal, &format!("echo {number}")), format!("{number}\r\n"));
    }
    assert!(!terminal.screen().contains("ssm-proxy"), "{}", terminal.screen());
    exit(terminal, bench);
}

#[test]
fn a_program_with_the_whole_screen_is_not_scrolled() {
    for program in ["vi -u NONE -i NONE", "less"] {
        let bench = bench();
        let file = bench.folder().join("text");
        let text: String = (1..=100).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&file, text).expect("room");
        let mut terminal = shell(&bench);
        terminal.press(&format!("{program} {}\r", file.display()));
        terminal.see("the file", |screen| {
            screen.alternate_screen() && lines(screen).iter().any(|line| line == "line 23") && lines(screen).len() == 24
        });
        // Somewhere that is not a corner, where there is a cursor.
        terminal.press("jjj");
        let below = if program == "less" { "line 26" } else { "line 4" };
        terminal.see("the cursor elsewhere", |screen| match program {
            "less" => lines(screen).iter().any(|line| line == below),
            _ => screen.cursor_position() == (3, 0),
        });
        let mut before = (Vec::new(), (0, 0));
        terminal.see("anything", |screen| {
            before = (lines(screen), screen.cursor_position());
            true
        });
        lose(&bench);
        for notice in [LOST, BACK] {
            terminal.see(notice, |screen| lines(screen).first().is_some_and(|line| line.trim_start() == notice));
            terminal.see("the rest as it was", |screen| {
                lines(screen)[1..] == before.0[1..] && screen.cursor_position() == before.1 && screen.alternate_screen()
            });
        }
        terminal.press("\x0c");
        terminal.see("it drawn again", |screen| lines(screen).starts_with(&before.0[..23]));
        terminal.press(if program == "less" { "q" } else { ":q\r" });
        terminal.see("the shell", is_at_prompt);
        exit(terminal, bench);
    }
}

/// The first line alone is for the notice, however short that is.
#[test]
fn a_narrow_screen_shows_the_beginning() {
    const COLUMNS: usize = 30;
    let bench = bench();
    let mut terminal = at_prompt(bench.proxy().arg(HOST).on_terminal(10, COLUMNS as u16));
    terminal.press("seq 100 | less\r");
    terminal.see("the first page", |screen| screen.alternate_screen() && lines(screen).len() == 10);
    lose(&bench);
    for notice in [LOST, BACK] {
        let shown = format!(" {notice} ").chars().take(COLUMNS).collect::<String>();
        terminal.see(notice, |screen| lines(screen)[0] == shown.trim_end() && lines(screen)[1] == "2");
    }
    terminal.press("q");
    terminal.see("the shell", is_at_prompt);
    exit(terminal, bench);
}
