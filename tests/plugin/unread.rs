//! A stdout that nobody reads: a forward goes on all the same, and ends when it is asked to.

use std::io::{ErrorKind, PipeWriter, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fixtures::{Bench, Signal};
use serde_json::json;
use standin::SessionState;

use super::{Started, open};

/// Room in the pipe: for the words of the beginning and for some of what follows.
const ROOM: usize = 4096;
/// Connections whose words need more than the pipe and whatever waits before it.
const MANY: usize = 300;
/// How long one connection may take to be refused.
const REFUSED: Duration = Duration::from_secs(20);

/// Leaves a pipe this much room.
fn fill(pipe: &mut PipeWriter, room: usize) {
    let capacity = rustix::pipe::fcntl_getpipe_size(&*pipe).expect("a pipe has a size");
    pipe.write_all(&vec![b'.'; capacity - room]).expect("it takes as much as it holds");
}

/// Waits until the far side has refused a connection.
fn is_refused(port: u16) {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("the forward listens");
    connection.set_read_timeout(Some(REFUSED)).expect("a limit");
    let end = connection.read(&mut [0]).map_err(|cause| cause.kind());
    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
}

fn ends_by(bench: &Bench, signal: Signal) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    fill(&mut writer, ROOM);
    let port = fixtures::free_port();
    let parameters = json!({ "portNumber": ["81"], "localPortNumber": [port.to_string()] });
    let started = Started::document(bench, "AWS-StartPortForwardingSession", &parameters);
    let running = started.join(bench).stdout(writer).limit(Duration::from_secs(20)).spawn();
    running.listens(port);
    for _ in 0..MANY {
        is_refused(port);
    }
    running.signal(signal);
    let _ = running.ended().ok();
    bench.wait_for("the session's end", |report| {
        report.session(started.id()).is_some_and(|session| session.state != SessionState::Open)
    });
    drop(reader);
}

#[test]
fn a_forward_whose_words_nobody_reads_goes_on_and_ends_by_a_signal() {
    let bench = open();
    for signal in [Signal::INT, Signal::TERM] {
        ends_by(&bench, signal);
    }
    bench.finish();
}

#[test]
fn a_session_whose_first_words_nobody_reads_is_ended_by_a_signal() {
    let bench = open();
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    fill(&mut writer, 0);
    let started = Started::shell(&bench);
    let call = started.join(&bench).env("SSM_PROXY_EXIT_STATUS", "1").stdout(writer).limit(Duration::from_secs(20));
    let running = call.spawn();
    let listens = |running: &fixtures::Running| {
        let status = running.file_of_proc("status")?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & 1 << 14 != 0).then_some(())
    };
    assert!(fixtures::until(Duration::from_secs(20), || listens(&running)).is_some(), "it catches no SIGTERM");
    running.signal(Signal::TERM);
    let _ = running.ended().code(143);
    drop(reader);
    assert!(bench.finish().sessions[0].terminate_called);
}
