//! What a person sees: the size, programs that take the whole screen, characters of every width, much output.

use std::fs;

use fixtures::{Bench, HOST, Setup, Signal, noise};

use super::{MS, PROMPT, at_prompt, bench, bench_with, exit, first_prompt, is_at_prompt, lines, run, setup, shell};

/// With the agent's true delays: the size is there before the first prompt is.
#[test]
fn the_first_prompt_has_the_right_size() {
    let bench = Bench::with(Setup::default());
    let mut terminal = bench.proxy().arg(HOST).on_terminal(31, 97);
    first_prompt(&mut terminal);
    // What a program shows that begins with the shell has to fit, too: no size has come since.
    terminal.press("stty size\r");
    terminal.expect("31 97\r\n");
    assert!(!terminal.screen().contains("SessionId"), "{}", terminal.screen());
    exit(terminal, bench);
}

/// A program that looks at the size as soon as the agent can have set it.
#[test]
fn a_command_on_a_terminal_finds_the_size() {
    let bench = bench();
    // The size comes again with the first output, in case it was too early.
    let until_set = "echo begun; while [ \"$(stty size)\" = '0 0' ]; do :; done; stty size";
    let mut terminal = bench.proxy().args(["--exec", "-t", HOST, "--", "sh", "-c", until_set]).on_terminal(31, 97);
    terminal.expect("31 97\r\n");
    assert_eq!(terminal.finish().code(), Some(0));
    bench.finish();
}

/// The stand-in's judge counts sizes that are not new.
#[test]
fn a_new_size_arrives_and_the_same_size_is_not_sent() {
    let bench = bench();
    let mut terminal = shell(&bench);
    run(&mut terminal, "trap 'echo now $(stty size)' WINCH");
    for (rows, cols) in [(45, 120), (10, 300), (45, 120)] {
        terminal.resize(rows, cols);
        // dash runs the trap after the next command.
        let shown = format!("now {rows} {cols}\r\n");
        while !run(&mut terminal, ":").contains(&shown) {}
        for _ in 0..5 {
            terminal.signal(Signal::WINCH);
        }
        assert_eq!(run(&mut terminal, "echo $((6 * 7))"), "42\r\n");
    }
    exit(terminal, bench);
}

#[test]
fn vim_edits_a_file_and_is_drawn_again_at_another_size() {
    let bench = bench();
    let file = bench.folder().join("text");
    let mut terminal = shell(&bench);
    terminal.press(&format!("vi -u NONE -i NONE {}\r", file.display()));
    terminal.see("an empty file in vi", |screen| {
        screen.alternate_screen()
            && lines(screen).get(22).is_some_and(|line| line == "~")
            && screen.cursor_position() == (0, 0)
    });
    terminal.press("ione\rtwo\x1b");
    terminal.see("two lines in vi", |screen| {
        lines(screen).starts_with(&["one", "two", "~"].map(str::to_owned)) && screen.cursor_position() == (1, 2)
    });
    terminal.resize(12, 60);
    terminal.see("vi drawn for 12 lines", |screen| {
        let lines = lines(screen);
        lines.starts_with(&["one", "two", "~"].map(str::to_owned))
            && lines.iter().filter(|line| *line == "~").count() == 9
    });
    terminal.press(":wq\r");
    terminal.see("the prompt", is_at_prompt);
    assert_eq!(fs::read_to_string(&file).expect("a file"), "one\ntwo\n");
    exit(terminal, bench);
}

#[test]
fn less_pages_and_searches() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("seq 1000 | less\r");
    terminal.see("the first page", |screen| {
        screen.alternate_screen() && screen.contents().starts_with("1\n2\n3\n") && screen.contents().ends_with("23\n:")
    });
    terminal.press(" ");
    terminal
        .see("the second page", |screen| screen.contents().starts_with("24\n") && screen.contents().ends_with("46\n:"));
    terminal.press("/777\r");
    terminal.see("what was searched for", |screen| screen.contents().starts_with("777\n778\n"));
    terminal.press("q");
    terminal.see("the prompt", is_at_prompt);
    exit(terminal, bench);
}

#[test]
fn tmux_splits_its_window() {
    let bench = bench();
    let socket = bench.folder().join("tmux");
    // Keys that come within a millisecond are else a paste to it, and no command.
    let settings = bench.folder().join("tmux.conf");
    fs::write(&settings, "set -g assume-paste-time 0\n").expect("room");
    let mut terminal = shell(&bench);
    terminal.press(&format!("tmux -f {} -S {} new-session sh\r", settings.display(), socket.display()));
    terminal.see("tmux and its shell", |screen| {
        screen.alternate_screen()
            && lines(screen).iter().any(|line| line.starts_with("[0]"))
            && !lines(screen)[0].is_empty()
    });
    terminal.press("stty size\r");
    terminal.see("the size without the line of tmux", |screen| screen.contents().contains("\n23 80\n"));
    // Ctrl-B and a quotation mark.
    terminal.press("\x02\"");
    terminal.see("two panes", |screen| screen.contents().contains("────────"));
    terminal.press("\x02&");
    terminal.see("a question", |screen| screen.contents().contains("(y/n)"));
    terminal.press("y");
    terminal.see("the prompt", is_at_prompt);
    exit(terminal, bench);
}

#[test]
fn top_refreshes() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("top -d 0.2\r");
    terminal.see("top", |screen| screen.contents().starts_with("top - ") && screen.contents().contains("PID"));
    // What is shown changes by itself. It has to be wiped first, for that to be seen.
    for _ in 0..2 {
        terminal.press("h");
        terminal.see("its help", |screen| !screen.contents().starts_with("top - "));
        terminal.press("\x1b");
        terminal.see("top again", |screen| screen.contents().starts_with("top - "));
    }
    terminal.press("q");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}

/// The agent cuts between characters, and this program anywhere; so do programs that flush in the middle of one.
#[test]
fn wide_characters_arrive_whole() {
    let bench = bench();
    let text = "日本語 ÄÖÜ € 🦀 ";
    let long = text.repeat(400);
    let file = bench.folder().join("text");
    fs::write(&file, &long).expect("room");
    let mut terminal = shell(&bench);
    assert_eq!(run(&mut terminal, &format!("cat {}; echo", file.display())).trim_end_matches("\r\n"), long);
    // Typed, and cut inside of each character by the writes.
    let copy = bench.folder().join("copy");
    terminal.press(&format!("cat >{}\r", copy.display()));
    terminal.expect("\r\n");
    for byte in text.as_bytes() {
        terminal.paste(&[*byte]);
    }
    terminal.press("\r\x04");
    terminal.see("the typed line", |screen| screen.contents().contains(text.trim_end()) && is_at_prompt(screen));
    assert_eq!(fs::read_to_string(&copy).expect("a copy"), format!("{text}\n"));
    // Halves of a character, with a pause between them.
    terminal.press("printf '\\346\\227'; sleep 0.2; printf '\\245\\n'\r");
    terminal.expect("日\r\n");
    terminal.expect(PROMPT);
    exit(terminal, bench);
}

#[test]
fn ten_megabytes_of_output_arrive() {
    const LENGTH: usize = 10_000_000;
    let bench = bench_with(|standin| *standin = standin.clone().unpaced());
    let mut terminal = shell(&bench);
    // The terminal makes CR LF of each line's end.
    let output = run(&mut terminal, &format!("yes | head -c {LENGTH}"));
    assert_eq!(output.len(), LENGTH / 2 * 3);
    assert!(output.as_bytes().chunks(3).all(|line| line == b"y\r\n"), "another text than yes has");
    exit(terminal, bench);
}

/// 64 KiB at once, far more than a terminal holds.
#[test]
fn a_paste_arrives_byte_for_byte() {
    let bench = bench();
    let copy = bench.folder().join("copy");
    let mut terminal = shell(&bench);
    // The far terminal itself takes no line of more than 4095 bytes.
    let text: String = noise(3, 32 << 10)
        .chunks(30)
        .map(|line| line.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\r")
        .collect();
    terminal.press(&format!("stty -echo; cat >{}; stty echo\r", copy.display()));
    bench.wait_for("the command at the shell", |report| report.sessions.iter().any(|s| s.agent.bytes_to_port > 30));
    terminal.expect("\r\n");
    terminal.paste(text.as_bytes());
    terminal.press("\x04");
    terminal.expect(PROMPT);
    let copied = fs::read_to_string(&copy).expect("a copy");
    assert!(
        copied == text.replace('\r', "\n"),
        "{} bytes were pasted, {} other ones arrived",
        text.len(),
        copied.len()
    );
    exit(terminal, bench);
}

/// Output and input at once: keys are answered in the middle of output that does not end.
#[test]
fn a_key_stops_output_that_does_not_end() {
    let bench = bench();
    let mut terminal = shell(&bench);
    terminal.press("yes\r");
    terminal.expect("y\r\ny\r\ny\r\n");
    terminal.press("\x03");
    terminal.expect(PROMPT);
    assert_eq!(run(&mut terminal, "echo $((6 * 7))"), "42\r\n");
    exit(terminal, bench);
}

/// An agent that takes two seconds to start its shell; sizes and keys go their way all the same.
#[test]
fn a_slow_start_is_waited_for() {
    let bench = Bench::with(setup(|standin| standin.agent.launch_delay = MS(2000)));
    let mut terminal = bench.proxy().args(["--connect-timeout", "1", HOST]).on_terminal(31, 97);
    // Typed ahead.
    terminal.press("stty size\r");
    terminal.expect("31 97\r\n");
    let terminal = at_prompt(terminal);
    exit(terminal, bench);
}
