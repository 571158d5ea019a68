//! Shells and commands of the stand-in over real sockets, with real programs.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows it only inside the test functions themselves"
)]

mod support;

use serde_json::{Value, json};
use standin::codec::payload_type;
use standin::{BreachKind, Fault, Options, Server, SessionState};
use std::time::{Duration, Instant};
use support::Client;

const LONG: Duration = Duration::from_secs(20);
const INTERACTIVE: &str = "AWS-StartInteractiveCommand";
const NON_INTERACTIVE: &str = "AWS-StartNonInteractiveCommand";
/// Milliseconds.
const MS: fn(u64) -> Duration = Duration::from_millis;

/// A stand-in whose agent waits little.
fn server(change: impl FnOnce(&mut Options)) -> Server {
    let mut options = Options::default();
    options.agent.first_read_delay = MS(100);
    options.agent.start_error_delay = MS(100);
    options.agent.start_failure_pause = MS(100);
    change(&mut options);
    Server::start(options).unwrap()
}

async fn shell(server: &Server) -> Client {
    let mut client = Client::start_document(server, None, json!({})).await;
    client.connect().await;
    client.until(|c| !c.output.is_empty()).await;
    client.output.clear();
    client
}

async fn command(server: &Server, parameters: Value) -> Client {
    let mut client = Client::start_document(server, Some(NON_INTERACTIVE), parameters).await;
    client.connect().await;
    client
}

fn shown(client: &Client) -> String {
    String::from_utf8_lossy(&client.output).into_owned()
}

fn kinds(server: &Server) -> Vec<BreachKind> {
    server.report().breaches.iter().map(|breach| breach.kind).collect()
}

fn texts(client: &Client) -> Vec<(u32, String)> {
    client.stream.iter().map(|(kind, bytes)| (*kind, String::from_utf8_lossy(bytes).into_owned())).collect()
}

#[tokio::test]
async fn a_shell_has_no_handshake_and_ends_without_a_text() {
    let server = server(|_| {});
    let mut client = shell(&server).await;
    assert_eq!(client.stream[0].0, payload_type::OUTPUT);
    client.stream(payload_type::SIZE, br#"{"cols":100,"rows":30}"#).await;
    client.data(b"stty size; echo $TERM/$LANG; echo $((6*7))\n").await;
    client.until(|c| shown(c).contains("42\r\n")).await;
    assert!(shown(&client).contains("30 100\r\n"), "{}", shown(&client));
    assert!(shown(&client).contains("xterm-256color/"), "{}", shown(&client));
    client.data(b"exit 7\n").await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(client.closed_output.as_deref(), Some(""));
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByProgram));
    let report = server.report();
    assert_eq!(report.breaches, []);
    let session = &report.sessions[0];
    assert!(session.program_started && !session.handshake_complete && session.exit_code.is_none());
    assert_eq!(serde_json::to_value(session).unwrap()["kind"], "Standard_Stream");
}

#[tokio::test]
async fn a_size_before_the_terminal_comes_again_and_counts_for_the_first_output() {
    let server = server(|o| (o.agent.skip_gap, o.agent.launch_delay) = (Duration::ZERO, MS(50)));
    let parameters = json!({ "command": ["sleep 0.3; stty size"] });
    let mut client = Client::start_document(&server, Some(INTERACTIVE), parameters).await;
    client.connect().await;
    let size = client.message(payload_type::SIZE, br#"{"cols":90,"rows":20}"#);
    while client.acknowledged.is_empty() {
        client.send(tokio_tungstenite::tungstenite::Message::Binary(size.clone())).await;
        let _ = tokio::time::timeout(MS(20), client.step()).await;
    }
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(shown(&client), "20 90\r\n");
    assert!(server.report().sessions[0].agent.refused > 0);
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn what_comes_before_the_mark_is_acknowledged_and_lost() {
    let server = server(|o| o.agent.skip_gap = MS(200));
    let parameters = json!({ "command": ["sleep 0.4; stty size"] });
    let mut client = Client::start_document(&server, Some(INTERACTIVE), parameters).await;
    client.connect().await;
    client.stream(payload_type::SIZE, br#"{"cols":90,"rows":20}"#).await;
    client.until(|c| c.closed_output.is_some()).await;
    assert!(client.acknowledged.contains(&0));
    assert_eq!(shown(&client), "0 0\r\n");
}

#[tokio::test]
async fn a_bad_size_blocks_all_input() {
    let server = server(|_| {});
    let mut client = shell(&server).await;
    client.stream(payload_type::SIZE, b"{cols}").await;
    client.data(b"echo x\n").await;
    let _ = tokio::time::timeout(MS(500), client.until(|_| false)).await;
    assert!(!client.acknowledged.contains(&0) && client.acknowledged.contains(&1));
    assert_eq!(shown(&client), "");
    assert_eq!(kinds(&server), [BreachKind::SizeContent]);
}

#[tokio::test]
async fn flags_do_nothing_in_a_shell_and_the_api_ends_it() {
    let server = server(|_| {});
    let mut client = shell(&server).await;
    client.terminate().await;
    client.data(b"echo still $$ here\n").await;
    client
        .until(|c| shown(c).contains("still") && shown(c).contains(" here\r\n$") || shown(c).contains(" here\r\n#"))
        .await;
    let output = shown(&client);
    let process = output.rsplit_once(" here").unwrap().0.rsplit_once("still ").unwrap().1.to_owned();
    client.api("TerminateSession", &json!({ "SessionId": client.session })).await;
    client.until(|c| c.closed_output.is_some()).await;
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByApi));
    assert!(server.report().sessions[0].terminate_called);
    assert_eq!(kinds(&server), [BreachKind::FlagOutsidePort]);
    let gone = || !std::path::Path::new(&format!("/proc/{process}")).exists();
    let start = Instant::now();
    while !gone() && start.elapsed() < LONG {
        tokio::time::sleep(MS(20)).await;
    }
    assert!(gone());
}

#[tokio::test]
async fn output_waits_for_the_first_read() {
    let server = server(|o| o.agent.first_read_delay = Duration::from_secs(1));
    let start = Instant::now();
    let mut client = Client::start_document(&server, Some(INTERACTIVE), json!({ "command": ["echo a; tty"] })).await;
    client.connect().await;
    client.until(|c| !c.output.is_empty()).await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    client.until(|c| c.closed_output.is_some()).await;
    assert!(shown(&client).starts_with("a\r\n/dev/pts/"), "{}", shown(&client));
    assert_eq!(client.stream.len(), 1);
}

#[tokio::test]
async fn a_shell_survives_a_bye_and_a_pause() {
    let server = server(|_| {});
    let mut client = shell(&server).await;
    client.data(b"sleep 0.3; echo do\"\"ne\n").await;
    client.until(|c| c.acknowledged.contains(&0)).await;
    server.control().bye();
    while client.step().await {}
    tokio::time::sleep(MS(500)).await;
    client.resume().await;
    client.connect().await;
    client.until(|c| shown(c).contains("done\r\n")).await;
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn an_early_key_is_a_breach_and_a_container_splits_its_command() {
    let server = server(|o| o.agent.container = true);
    let parameters = json!({ "command": ["echo 'a  b' $HOME | cat"] });
    let mut client = Client::start_document(&server, Some(INTERACTIVE), parameters).await;
    client.connect().await;
    client.data(b"x").await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(shown(&client), "a  b $HOME | cat\r\n");
    assert_eq!(kinds(&server), [BreachKind::DataEarly]);
}

#[tokio::test]
async fn a_terminal_whose_program_cannot_start_ends_with_a_text() {
    let server = server(|o| o.agent.fail_start = Some("no pty".into()));
    let mut client = Client::start_document(&server, None, json!({})).await;
    client.connect().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert!(client.closed_output.unwrap().ends_with("Unable to start command: no pty"));
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::Failed));
}

#[tokio::test]
async fn a_command_with_separate_streams_tells_its_code() {
    let server = server(|_| {});
    let parameters = json!({
        "command": ["sh -c 'echo out; sleep 0.1; echo err >&2; sleep 0.1; printf 1; sleep 0.1; printf 2; exit 3'"],
        "separateOutputStream": ["true"],
        "stdoutSeparatorPrefix": ["O:"],
        "stderrSeparatorPrefix": ["E:"],
    });
    let mut client = command(&server, parameters).await;
    client.until(|c| c.closed_output.is_some()).await;
    let texts = texts(&client);
    let expected = [(1, "O:out\n"), (11, "E:err\n"), (1, "O:1"), (1, "2"), (12, "EXIT_CODE: 3")];
    let expected: Vec<_> = expected.into_iter().map(|(kind, text)| (kind, text.to_owned())).collect();
    assert_eq!(texts[2..], expected);
    assert!(texts[0].1.contains(r#""Properties":null,"SessionType":"NonInteractiveCommands""#), "{}", texts[0].1);
    assert_eq!(client.closed_output.as_deref(), Some(""));
    assert!(server.wait_for(LONG, |r| r.sessions[0].exit_code == Some(3)));
    assert_eq!(server.report().sessions[0].state, SessionState::EndedByProgram);
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn a_combined_command_says_nothing_before_its_end_and_no_code() {
    let server = server(|_| {});
    let start = Instant::now();
    let mut client =
        command(&server, json!({ "command": ["sh -c 'echo out; echo err >&2; sleep 0.4; exit 3'"] })).await;
    client.until(|c| !c.output.is_empty()).await;
    assert!(start.elapsed() >= MS(400));
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(texts(&client)[2..], [(1, "out\nerr\n".to_owned())]);
    assert_eq!(server.report().sessions[0].exit_code, None);
}

#[tokio::test]
async fn a_command_is_split_and_run_without_a_shell() {
    let server = server(|_| {});
    let mut client = command(&server, json!({ "command": ["echo a | cat && ls $HOME *"] })).await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(shown(&client), "a | cat && ls $HOME *\n");
}

#[tokio::test]
async fn a_command_that_cannot_start_tells_its_code_before_its_reason() {
    let server = server(|_| {});
    for separate in ["true", "false"] {
        let parameters = json!({ "command": ["no-such-program x"], "separateOutputStream": [separate] });
        let mut client = command(&server, parameters).await;
        client.until(|c| c.closed_output.is_some()).await;
        let reason = (11, "exec: \"no-such-program\": executable file not found in $PATH".to_owned());
        let code = (12, "EXIT_CODE: 1".to_owned());
        let expected = if separate == "true" { vec![code, reason] } else { vec![reason] };
        assert_eq!(texts(&client)[2..], expected);
    }
}

#[tokio::test]
async fn a_command_that_a_signal_killed_has_code_minus_one() {
    let server = server(|_| {});
    let parameters = json!({ "command": ["sh -c 'kill -9 $$'"], "separateOutputStream": ["true"] });
    let mut client = command(&server, parameters).await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(texts(&client)[2..], [(12, "EXIT_CODE: -1".to_owned())]);
}

#[tokio::test]
async fn an_interrupt_makes_the_agent_deaf_until_the_command_ends() {
    let server = server(|_| {});
    for (script, code) in [
        ("trap 'sleep 0.6; exit 5' INT; echo ready; while :; do sleep 0.05; done", "EXIT_CODE: 5"),
        ("echo ready; exec sleep 30", "EXIT_CODE: 1"),
    ] {
        let parameters = json!({ "command": [format!("sh -c \"{script}\"")], "separateOutputStream": ["true"] });
        let mut client = command(&server, parameters).await;
        client.until(|c| c.output == b"ready\n").await;
        client.data(b"no signal").await;
        client.until(|c| c.acknowledged.contains(&1)).await;
        let start = Instant::now();
        client.data(b"\x03").await;
        client.until(|c| c.acknowledged.contains(&2) || c.closed_output.is_some()).await;
        let slow = code.ends_with('5');
        assert_eq!(start.elapsed() > MS(500), slow, "{:?}", start.elapsed());
        client.until(|c| c.closed_output.is_some()).await;
        assert_eq!(texts(&client).last().unwrap().1, code);
    }
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn a_pause_loses_the_output_of_a_separate_command_but_not_its_code() {
    let server = server(|_| {});
    let script = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done; exit 5";
    let parameters = json!({ "command": [format!("sh -c '{script}'")], "separateOutputStream": ["true"] });
    let mut client = command(&server, parameters).await;
    client.until(|c| c.output.ends_with(b"2\n")).await;
    server.control().bye();
    while client.step().await {}
    tokio::time::sleep(MS(250)).await;
    client.resume().await;
    client.connect().await;
    client.until(|c| c.closed_output.is_some()).await;
    assert_eq!(texts(&client).last().unwrap().1, "EXIT_CODE: 5");
    assert!(!shown(&client).contains('8'), "{}", shown(&client));
    assert_eq!(kinds(&server), []);
}

#[tokio::test]
async fn an_administrator_ends_a_command() {
    let server = server(|_| {});
    let mut client = command(&server, json!({ "command": ["sleep 30"] })).await;
    client.until(|c| c.complete).await;
    server.control().fault(Fault::Terminate);
    client.until(|c| c.closed_output.is_some()).await;
    assert!(server.wait_for(LONG, |r| r.sessions[0].state == SessionState::EndedByAdmin));
}

#[tokio::test]
async fn every_kind_goes_through_loss_silence_and_a_reset() {
    let script =
        "sh -c 'echo line 0; sleep 0.5; i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; done; sleep 0.5'";
    let separate = json!({ "command": [script], "separateOutputStream": ["true"] });
    let cases = [
        (INTERACTIVE, json!({ "command": [script] })),
        (NON_INTERACTIVE, json!({ "command": [script] })),
        (NON_INTERACTIVE, separate),
    ];
    for (document, parameters) in cases {
        let server = server(|o| {
            (o.downlink.loss, o.agent.spacing) = (0.1, Duration::ZERO);
            // A pause would cost a separate stream its rest, which has a test of its own.
            o.pause_agent_while_away = false;
        });
        let mut client = Client::start_document(&server, Some(document), parameters).await;
        client.connect().await;
        // The client here does not repeat itself, so its response has to be through.
        client.until(|c| c.complete || (document == INTERACTIVE && !c.output.is_empty())).await;
        server.control().reset();
        while client.step().await {}
        client.resume().await;
        client.connect().await;
        server.control().silence(MS(100));
        client.until(|c| c.closed_output.is_some()).await;
        let text: Vec<u8> = client.ordered.values().flatten().copied().collect();
        let text = String::from_utf8(text).unwrap().replace('\r', "");
        let expected: String = (0..=400).map(|n| format!("line {n}\n")).collect();
        assert_eq!(text, expected, "{document}");
        assert_eq!(kinds(&server), []);
    }
}

#[tokio::test]
async fn output_does_not_keep_a_session_from_the_idle_limit_but_input_does() {
    let server = server(|o| o.idle_limit = MS(600));
    let mut client = shell(&server).await;
    client.data(b"while :; do echo x; sleep 0.1; done\n").await;
    tokio::time::sleep(MS(400)).await;
    client.data(b"y\n").await;
    let start = Instant::now();
    client.until(|c| c.closed_output.is_some()).await;
    assert!(start.elapsed() >= MS(500), "{:?}", start.elapsed());
    assert!(client.closed_output.unwrap().contains("timed out due to inactivity"));
}

#[tokio::test]
async fn a_paste_and_much_output_go_through_whole() {
    let server = server(|o| (o.agent.spacing, o.limits) = (Duration::ZERO, false));
    let script =
        "stty raw -echo; echo go; head -c 65536 | tr a b | cksum; yes | head -c 3000000 | cksum; yes | head -c 3000000";
    let mut client = Client::start_document(&server, Some(INTERACTIVE), json!({ "command": [script] })).await;
    client.connect().await;
    client.until(|c| shown(c).contains("go")).await;
    for _ in 0..64 {
        client.data(&[b'a'; 1024]).await;
    }
    client.until(|c| c.closed_output.is_some()).await;
    let cksum = |input: &str| {
        let output = std::process::Command::new("sh").args(["-c", &format!("{input} | cksum")]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = shown(&client);
    assert!(text.contains(&cksum("head -c 65536 /dev/zero | tr '\\0' b")), "{}", &text[..200]);
    assert!(text.contains(&cksum("yes | head -c 3000000")));
    assert_eq!(text.matches("y\n").count(), 1_500_000);
    assert_eq!(kinds(&server), []);
}
