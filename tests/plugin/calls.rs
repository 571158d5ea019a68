//! Command lines as tools write them, and as nobody should.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use fixtures::{Bench, Peer, Running, Signal, Tool};
use serde_json::json;
use standin::Options;

use super::{PAGE, Started, VARIABLE, api, link, open, plugin, shell_outlives_its_connection, with, with_page};

const UNKNOWN: &str = "Use session-manager-plugin --version to check the version.";
/// What is done in each shell: it has to arrive, and so has the end.
const TYPED: &str = "echo $((6*7))\nexit\n";

#[test]
fn what_is_no_session_is_answered_as_awss_own_does() {
    let bench = open();
    for (args, said) in [
        (&[][..], "\nThe Session Manager plugin was installed successfully. Use the AWS CLI to start a session.\n\n"),
        (&["-v"], &format!("\nUnknown operation -v. \n{UNKNOWN}\n\n")),
        (&["--help", "x"], &format!("\nUnknown operation --help. \n{UNKNOWN}\n\n")),
        (&["{}", "r", "Stop"], "Invalid Operation"),
        (
            &["AWS_SSM_START_SESSION_RESPONSE", "r", "StartSession"],
            "Cannot perform start session: unexpected end of JSON input\n",
        ),
        (&["{}", "r", "StartSession"], "Cannot perform start session: the response has no SessionId\n"),
        (&["no", "r", "StartSession"], "Cannot perform start session: the response is no JSON: line 1, column 2\n"),
        (&["/dev/fd/9", "r", "StartSession"], "Cannot perform start session: unexpected end of JSON input\n"),
    ] {
        let done = plugin(&bench).args(args).run().ok();
        assert_eq!((done.text().as_str(), done.stderr.as_str()), (said, ""), "{args:?}");
    }
    let version = plugin(&bench).arg("--version").run().ok().text();
    let numbers: Vec<u32> = version.trim_end().split('.').map(|part| part.parse().expect("a number")).collect();
    assert!(numbers.as_slice() >= [1, 2, 764, 0].as_slice(), "{version}");
    let refused = plugin(&bench).args(["{}", "r", "StartSession"]).env("SSM_PROXY_EXIT_STATUS", "1").run();
    let _ = refused.code(2);
    bench.finish();
}

#[test]
fn a_response_without_the_rest_of_its_call_shows_no_token() {
    let bench = open();
    let response = r#" {"SessionId":"s","TokenValue":"secret","StreamUrl":"wss://nowhere.invalid/x"}"#;
    for args in [&[response][..], &[response, "us-east-1"]] {
        let done = plugin(&bench).args(args).run().ok();
        let said = format!("\nUnknown operation (a response, without region and operation). \n{UNKNOWN}\n\n");
        assert_eq!((done.text(), done.stderr.as_str()), (said, ""));
    }
    bench.finish();
}

#[test]
fn a_stream_that_is_no_url_is_blamed_on_whoever_gave_it() {
    let bench = open();
    let started = Started::shell(&bench);
    let mut response = started.response.clone();
    response["StreamUrl"] = json!("nowhere");
    let done = started.join_as(&bench, &response.to_string()).run().ok();
    assert!(done.text().contains("Cannot perform start session: "), "{done}");
    assert!(done.stderr.contains("or what has called session-manager-plugin"), "{done}");
    bench.finish();
}

#[test]
fn no_argument_is_too_long_or_too_odd_and_none_is_shown() {
    let bench = open();
    let long = "x".repeat(10_000);
    let bytes = OsString::from_vec(b"{\"TokenValue\":\"secret\",\xff\xfe".to_vec());
    let response =
        |token: &str| format!(r#"{{"SessionId":"s","TokenValue":"{token}","StreamUrl":"wss://nowhere.invalid/x"}}"#);
    let lines: [Vec<OsString>; 5] = [
        vec![bytes.clone(), bytes.clone(), "StartSession".into(), bytes.clone(), bytes.clone(), bytes],
        vec![long.clone().into(), long.clone().into(), "StartSession".into()],
        vec![
            response("secret").into(),
            long.clone().into(),
            "StartSession".into(),
            long.clone().into(),
            long.clone().into(),
            long.into(),
        ],
        vec![response("secret").into(), "us-east-1".into(), "StartSession".into(), "nobody".into()],
        vec![r#"{"SessionId":"s","TokenValue":{"secret":"secret"}}"#.into(), "r".into(), "StartSession".into()],
    ];
    for line in lines {
        let done = plugin(&bench).args(&line).without("AWS_ENDPOINT_URL_SSM").run().ok();
        assert!(done.text().contains("Cannot perform start session: "), "{done}");
        assert!(
            !format!("{}{}", done.text(), done.stderr).contains("secret") && !done.stderr.contains("panicked"),
            "{done}"
        );
    }
    bench.finish();
}

#[test]
fn each_form_of_the_call_leads_to_the_same_session() {
    let bench = open();
    let forms: [fn(&Started) -> String; 4] = [
        |started| started.response.to_string(),
        // Elastic Container Service and some SDKs write the names so.
        |started| {
            json!({ "sessionId": started.id(), "streamUrl": started.text("StreamUrl"), "tokenValue": started.token() })
                .to_string()
        },
        // boto3 passes its answer on as it is.
        |started| {
            let mut response = started.response.clone();
            response["ResponseMetadata"] =
                json!({ "RequestId": "x", "HTTPStatusCode": 200, "HTTPHeaders": { "a": "b" } });
            response.to_string()
        },
        |_| VARIABLE.to_owned(),
    ];
    for form in forms {
        let started = Started::shell(&bench);
        let call = started.join_as(&bench, &form(&started)).env(VARIABLE, started.response.to_string());
        ends(&started, &call.run_with(TYPED).ok());
    }
    bench.finish();
}

#[test]
fn the_three_arguments_of_vs_code_and_of_copilot_are_enough() {
    let bench = open();
    // Elastic Container Service's answer, as JavaScript writes it and as Go does.
    let toolkit: fn(&Started) -> String = |started| {
        json!({ "sessionId": started.id(), "streamUrl": started.text("StreamUrl"), "tokenValue": started.token() })
            .to_string()
    };
    let copilot: fn(&Started) -> String = |started| {
        json!({ "SessionId": started.id(), "StreamUrl": started.text("StreamUrl"), "TokenValue": started.token() })
            .to_string()
    };
    for response in [toolkit, copilot] {
        let started = Started::shell(&bench);
        let call = plugin(&bench).args([&response(&started), bench.server().region(), "StartSession"]);
        ends(&started, &call.run_with(TYPED).ok());
    }
    bench.finish();
}

#[test]
fn packers_six_arguments_lead_to_a_port_which_goes_with_its_session() {
    let (_web, bench) = with_page(22);
    let port = fixtures::free_port();
    let parameters = json!({ "portNumber": ["22"], "localPortNumber": [port.to_string()] });
    let started = Started::document(&bench, "AWS-StartPortForwardingSession", &parameters);
    // It passes what it has not set as well, and the stream's URL for an endpoint.
    let mut request = started.request.clone();
    request["Reason"] = json!(null);
    let (response, request) = (started.response.to_string(), request.to_string());
    let region = bench.server().region();
    let call = plugin(&bench).args([&response, region, "StartSession", "", &request, started.text("StreamUrl")]);
    let running = call.start();
    running.expect_stdout("Waiting for connections...");
    let page = bench.user().tool("curl").args(["-sS", &format!("http://127.0.0.1:{port}/")]).run().ok();
    assert_eq!(page.text(), "hello\n");
    // It kills the plugin, but ends the session first.
    api(&bench, "TerminateSession", &json!({ "SessionId": started.id() }));
    let done = running.ended().ok();
    assert!(done.text().starts_with(&format!("{}Port {port} opened for sessionId ", started.greeting())), "{done}");
    bench.finish();
}

/// A call whose SIGINT, SIGQUIT and SIGTSTP are ignored, as by the AWS CLI while it waits.
fn ignoring(bench: &Bench, started: &Started) -> Tool {
    let call = bench.user().tool("sh").args(["-c", "trap '' INT QUIT TSTP; exec \"$@\"", "sh"]).arg(link(bench));
    let (region, endpoint) = (bench.server().region(), bench.server().endpoint());
    call.args([&started.response.to_string(), region, "StartSession", "", &started.request.to_string(), &endpoint])
}

/// Waits until the shell has shown its prompt so often.
#[track_caller]
fn prompted(running: &Running, times: usize) {
    let has = |bytes: &[u8]| (String::from_utf8_lossy(bytes).matches("ready> ").count() >= times).then_some(());
    assert!(running.stdout().wait(Duration::from_secs(60), has).is_some(), "no {times} prompts\n{running}");
}

#[test]
fn keys_that_the_caller_ignores_are_the_shells() {
    let bench = open();
    let started = Started::shell(&bench);
    let mut running = ignoring(&bench, &started).start();
    running.write(b"PS1=ready'> '\n");
    for (round, signal) in [(1, Signal::INT), (2, Signal::QUIT)] {
        prompted(&running, round);
        running.write(format!("sh -c 'echo be''gun{round}; exec sleep 600'\n").as_bytes());
        running.expect_stdout(&format!("begun{round}\r"));
        running.signal(signal);
    }
    prompted(&running, 3);
    running.write(b"exit\n");
    let done = running.finish().ok();
    assert!(done.text().ends_with(&started.farewell()), "{done}");
    bench.finish();
}

#[test]
fn keys_that_the_caller_ignores_leave_a_port_alone() {
    let echo = Peer::echo();
    let bench = with(Options { ports: vec![(7, echo.address())], ..Options::default() });
    let started = Started::document(&bench, "AWS-StartSSHSession", &json!({ "portNumber": ["7"] }));
    let mut running = ignoring(&bench, &started).start();
    running.write(b"one\n");
    running.expect_stdout("one");
    for signal in [Signal::INT, Signal::QUIT, Signal::TSTP] {
        running.signal(signal);
    }
    running.write(b"two\n");
    running.expect_stdout("two");
    let done = running.finish().ok();
    assert_eq!(done.text(), format!("{}one\ntwo\n{}", started.greeting(), started.farewell()));
    bench.finish();
}

#[test]
fn a_socket_is_named_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s");
    let web = Peer::server(Duration::ZERO, PAGE.to_vec());
    let properties =
        format!("type=LocalPortForwarding,portNumber=80,localConnectionType=unix,localUnixSocket={}", socket.display());
    let bench = with(Options {
        session_documents: vec![format!("Web=Port={properties}").parse().expect("a document")],
        destinations: vec![format!("localhost:80={}", web.address()).parse().expect("a destination")],
        ..Options::default()
    });
    let started = Started::document(&bench, "Web", &json!({}));
    let running = started.join(&bench).start();
    running.expect_stdout("Waiting for connections...");
    let page = bench.user().tool("curl").arg("-sS").arg("--unix-socket").arg(&socket).arg("http://web/").run().ok();
    assert_eq!(page.text(), "hello\n");
    running.signal(Signal::INT);
    let done = running.ended().ok();
    let expected = format!(
        "{}Unix socket {} opened for sessionId {id}.\n\nWaiting for connections...\n\nConnection accepted for session \
         [{id}]\nTerminate signal received, exiting.\n{}",
        started.greeting(),
        socket.display(),
        started.farewell(),
        id = started.id()
    );
    assert_eq!((done.text(), done.stderr.as_str()), (expected, ""));
    assert!(!socket.exists());
    bench.finish();
}

#[test]
fn a_port_that_is_taken_is_said_and_ends_the_session() {
    let bench = open();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let parameters = json!({ "portNumber": ["80"], "localPortNumber": [port] });
    let started = Started::document(&bench, "AWS-StartPortForwardingSession", &parameters);
    let done = started.join(&bench).env("SSM_PROXY_EXIT_STATUS", "1").run().code(69);
    let said = format!("{}Cannot perform start session: cannot listen at port {port}: ", started.greeting());
    assert!(done.text().starts_with(&said) && !done.text().contains("Exiting"), "{done}");
    assert_eq!(done.stderr, "ssm-proxy: hint: choose another port; 0 takes a free one\n");
    assert!(bench.finish().sessions[0].terminate_called);
}

/// Fails unless a shell did what was typed, between the texts of AWS's client.
#[track_caller]
fn ends(started: &Started, done: &fixtures::Done) {
    let text = done.text();
    assert!(text.starts_with(&started.greeting()) && text.ends_with(&started.farewell()), "{done}");
    assert!(text.contains("42\r\n") && done.stderr.is_empty(), "{done}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_token_is_neither_among_the_arguments_nor_in_the_environment() {
    let bench = open();
    for place in [None, Some(VARIABLE), Some("AWS_SSM_START_SESSION_RESPONSE_i-0")] {
        let started = Started::shell(&bench);
        let response = started.response.to_string();
        let call = started
            .join_as(&bench, place.unwrap_or(&response))
            .env(place.unwrap_or("OTHER"), if place.is_some() { &response } else { "" });
        let mut running = call.start();
        running.expect_stdout("Starting session with SessionId: ");
        for file in ["cmdline", "environ"] {
            let text = running.file_of_proc(file).expect("it runs");
            assert!(!text.is_empty() && !text.contains(started.token()), "{place:?}: {file}");
        }
        assert_eq!(running.file_of_proc("comm").as_deref(), Some("session-manager\n"));
        running.write(TYPED.as_bytes());
        ends(&started, &running.finish().ok());
    }
    bench.finish();
}

#[test]
fn a_port_gets_each_byte_as_it_is() {
    let echo = Peer::echo();
    let bench = with(Options { ports: vec![(7, echo.address())], ..Options::default() });
    let started = Started::document(&bench, "AWS-StartSSHSession", &json!({ "portNumber": ["7"] }));
    let mut running = started.join(&bench).start();
    for piece in ["\n", "a\n", "\n", "\u{3}\r\n\n"] {
        running.write(piece.as_bytes());
    }
    let expected = format!("{}\na\n\n\u{3}\r\n\n", started.greeting());
    running.expect_bytes(expected.len());
    let done = running.finish().ok();
    assert_eq!((done.text(), done.stderr.as_str()), (format!("{expected}{}", started.farewell()), ""));
    bench.finish();
}

#[test]
fn a_commands_output_errors_and_status_are_on_stdout() {
    let bench = open();
    let parameters = json!({ "command": ["sh -c 'echo out; exit 5'"], "separateOutputStream": ["true"] });
    for (variable, status) in [("OTHER", 0), ("SSM_PROXY_EXIT_STATUS", 5)] {
        let started = Started::document(&bench, "AWS-StartNonInteractiveCommand", &parameters);
        let done = started.join(&bench).env(variable, "1").run().code(status);
        let expected = format!("{}out\nEXIT_CODE: 5{}", started.greeting(), started.farewell());
        assert_eq!((done.text(), done.stderr.as_str()), (expected, ""));
    }
    let parameters = json!({ "command": ["sh -c 'echo err >&2'"], "separateOutputStream": ["true"] });
    let started = Started::document(&bench, "AWS-StartNonInteractiveCommand", &parameters);
    let done = started.join(&bench).run().ok();
    assert!(done.text().contains("err\n") && done.stderr.is_empty(), "{done}");
    bench.finish();
}

#[test]
fn a_session_that_is_terminated_is_said_to_exit() {
    let bench = open();
    let started = Started::shell(&bench);
    let running = started.join(&bench).start();
    bench.wait_for("a connection", |report| report.session(started.id()).is_some_and(|session| session.opens > 0));
    running.signal(Signal::TERM);
    let done = running.ended().ok();
    assert_eq!(done.text(), format!("{}{}", started.greeting(), started.farewell()));
    assert!(bench.finish().sessions[0].terminate_called);
}

#[test]
fn without_credentials_the_token_goes_as_far_as_it_does() {
    let bench = open();
    let started = Started::shell(&bench);
    let call = started.join(&bench).without("AWS_ACCESS_KEY_ID").without("AWS_SECRET_ACCESS_KEY");
    let mut running = call.start();
    running.write(b"echo $((6*7))\n");
    running.expect_stdout("42");
    bench.control().reset();
    let done = running.ended().ok();
    assert!(done.stderr.contains("profile default has no AWS credentials\n  hint: "), "{done}");
    assert!(done.text().ends_with(&started.farewell()), "{done}");
    api(&bench, "TerminateSession", &json!({ "SessionId": started.id() }));
    bench.finish();
}

#[test]
fn a_lost_connection_is_resumed_with_the_callers_credentials() {
    let bench = open();
    let started = Started::shell(&bench);
    let mut running = started.join(&bench).start();
    shell_outlives_its_connection(&bench, &mut running);
    ends(&started, &running.finish().ok());
    assert_eq!(bench.finish().sessions[0].resumes, 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_stdout_that_takes_nothing_ends_the_session_on_the_service() {
    let bench = open();
    let started = Started::shell(&bench);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device that is full");
    let done = started.join(&bench).stdout(full).env("SSM_PROXY_EXIT_STATUS", "1").run().code(1);
    assert!(done.stderr.contains("stdout cannot be written to: "), "{done}");
    assert!(bench.finish().sessions[0].terminate_called);
}
