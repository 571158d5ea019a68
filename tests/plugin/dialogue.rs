//! Ansible's dialogue by `amazon.aws.aws_ssm`, as its source has it: stdin is a pipe, stdout a terminal of its own.

use std::time::Duration;

use fixtures::{Stream, screen};

use super::{Started, open};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

#[test]
fn ansibles_dialogue_works_and_its_terminal_keeps_its_line_ends() {
    let bench = open();
    let started = Started::shell(&bench);
    let (controller, terminal) = screen();
    let mut running = started.join(&bench).stdout(terminal).start();
    let shown = Stream::collect(controller);
    let expect = |text: &str| {
        let found = shown.wait(ANSWER, |bytes| String::from_utf8_lossy(bytes).contains(text).then_some(()));
        assert!(found.is_some(), "{text:?} is not in {:?}", shown.text());
    };
    expect("Starting session with SessionId");
    running.write(b"stty -echo\n");
    expect("stty -echo");
    running.write(b"PS1='' ; bind 'set enable-bracketed-paste off' 2>/dev/null; echo 'MARK'-1\n");
    expect("MARK-1\r\r\n");
    running.write(b"echo BEGIN; sh -c 'echo it works; exit 3'; echo $?; echo 'E'ND\n");
    expect("BEGIN\r\r\nit works\r\r\n3\r\r\nEND\r\r\n");
    // It closes stdin behind this at once: the rest still comes.
    running.write(b"\necho 'la'st\nexit\n");
    let done = running.finish().ok();
    expect("last\r\r\n");
    expect(&format!("\r\n\r\nExiting session with sessionId: {}.\r\n\r\n", started.id()));
    assert_eq!(done.stderr, "");
    bench.finish();
}
