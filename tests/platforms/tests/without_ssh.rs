//! Without ssh: a command, a shell and a forward, through the program of another platform, do as they do here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its connections fail")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;

use fixtures::standin::{Options, SessionState};
use fixtures::{Bench, HOST, Peer, noise};
use platforms::LENGTH;

#[test]
#[ignore = "contrib/platforms runs it"]
fn a_command_has_its_words_its_streams_and_its_status() {
    let bench = Bench::encrypted(Options::default());
    let words = ["", " \t'", "\"a\\\"", "\\\\", "$HOME `id` %PATH% *", "é 🦀"];
    let script = r#"printf '<%s>' "$@"; echo err >&2; exit 7"#;
    let done = bench.proxy().args(["--exec", HOST, "--", "sh", "-c", script, "sh"]).args(words).run().code(7);
    let came = words.map(|word| format!("<{word}>")).concat();
    assert_eq!((done.text(), done.stderr.as_str()), (came, "err\n"));
    assert_eq!(bench.finish().sessions.pop().map(|session| session.state), Some(SessionState::EndedByProgram));
}

#[test]
#[ignore = "contrib/platforms runs it"]
fn a_shell_from_a_pipe_runs_its_lines() {
    let bench = Bench::encrypted(Options::default());
    let done = bench.proxy().args(["--shell", HOST]).run_with("read line\nits own\necho out''\"$line\"\n").ok();
    assert!(done.text().contains("outits own\r\n"), "{done}");
    assert_eq!(done.stderr, "");
    assert_eq!(bench.finish().sessions.pop().map(|session| session.state), Some(SessionState::EndedByProgram));
}

#[test]
#[ignore = "contrib/platforms runs it"]
fn a_shell_on_a_terminal_has_its_size_and_its_keys() {
    let bench = Bench::encrypted(Options::default());
    let mut terminal = bench.proxy().arg(HOST).on_terminal(24, 80);
    terminal.press("echo size $(stty size)\r");
    terminal.expect("size 24 80");
    // Ctrl-C is the far side's.
    terminal.press("sh -c \"echo beg''un; exec sleep 100\"\r");
    terminal.expect("begun");
    terminal.press("\u{3}");
    // It makes a terminal drop what was not read yet, and on a console of Windows the next keys may overtake it.
    terminal.expect("^C");
    terminal.press("echo out''1\r");
    terminal.expect("out1");
    terminal.press("exit\r");
    assert_eq!(terminal.finish().code(), Some(0));
    assert_eq!(bench.finish().sessions.pop().map(|session| session.state), Some(SessionState::EndedByProgram));
}

#[test]
#[ignore = "contrib/platforms runs it"]
fn a_forward_is_there_while_its_command_runs() {
    let echo = Peer::echo();
    let destinations = vec![format!("localhost:7={}", echo.address()).parse().expect("a destination")];
    let bench = Bench::encrypted(Options { destinations, ..Options::default() });
    // A command of that platform, which ends once it has read a line.
    let reads = std::env::var("READS_A_LINE").unwrap_or_else(|_| "head -n 1".to_owned());
    let mut proxy = bench.proxy().args(["-L0:localhost:7", HOST, "--"]).args(reads.split(' ')).start();
    let place = proxy.expect_stderr("listening on 127.0.0.1:");
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, place.trim_end().parse().unwrap())).unwrap();
    let (sent, mut back) = (noise(4, LENGTH), vec![0; LENGTH]);
    thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&sent).expect("the connection takes it"));
        (&stream).read_exact(&mut back).expect("all comes back");
    });
    assert!(back == sent, "other bytes came back than were sent");
    drop(stream);
    proxy.write(b"line\n");
    let done = proxy.ended().ok();
    assert_eq!(done.stderr.lines().count(), 1, "{done}");
    bench.finish();
}
