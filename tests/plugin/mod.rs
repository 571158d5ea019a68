//! The program in the place of `session-manager-plugin`, called by those who call that: the AWS CLI itself, and command lines
//! as other tools write them.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test ends where what it has prepared is not there")]

mod ansible;
mod aws_cli;
mod boto3;
mod calls;
mod credentials;
mod dialogue;
mod encrypted;
mod install;
#[cfg(target_os = "linux")]
mod unread;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use fixtures::{Bench, HOST, Peer, Running, Setup, Tool};
use serde_json::{Value, json};
use standin::{AgentConfig, Options};

const NAME: &str = "session-manager-plugin";
const VARIABLE: &str = "AWS_SSM_START_SESSION_RESPONSE";
/// What a web page is whose text is `hello`.
const PAGE: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";

/// A bench with the link, and a service that starts sessions for whoever asks.
fn open() -> Bench {
    with(Options::default())
}

fn with(options: Options) -> Bench {
    let bench = Bench::with(Setup { standin: Options { accept_unsigned: true, ..options }, ..Setup::default() });
    let bin = bench.user().home().join("bin");
    let done = bench.proxy().arg("--install-plugin").arg(&bin).run().ok();
    assert_eq!(done.stderr, "");
    bench
}

/// A bench whose node has the page at a port.
fn with_page(port: u16) -> (Peer, Bench) {
    let web = Peer::server(Duration::ZERO, PAGE.to_vec());
    let destination = format!("localhost:{port}={}", web.address()).parse().expect("a destination");
    let bench = with(Options { destinations: vec![destination], ..Options::default() });
    (web, bench)
}

/// A shell that answers, loses its connection, answers again, and is left.
fn shell_outlives_its_connection(bench: &Bench, running: &mut Running) {
    running.write(b"echo $((6*7))\n");
    running.expect_stdout("42");
    bench.fault(standin::Fault::Reset);
    running.write(b"echo $((6*8))\n");
    running.expect_stdout("48");
    running.write(b"exit\n");
}

/// The options of a service whose sessions are encrypted by KMS.
fn encrypting() -> Options {
    Options {
        agent: AgentConfig { kms_key_id: Some("alias/lab".to_owned()), ..AgentConfig::default() },
        ..Options::default()
    }
}

/// The link that callers find.
fn link(bench: &Bench) -> PathBuf {
    bench.user().home().join("bin").join(NAME)
}

/// The program by its other name.
fn plugin(bench: &Bench) -> Tool {
    bench.user().tool(link(bench).to_str().expect("a path in UTF-8"))
}

/// Calls the API as an SDK does that knows no signatures.
fn api(bench: &Bench, operation: &str, request: &Value) -> Value {
    let body = request.to_string();
    let address = bench.server().address();
    let mut stream = TcpStream::connect(address).expect("the stand-in listens");
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: AmazonSSM.{operation}\r\nContent-Type: \
         application/x-amz-json-1.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).expect("the request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, json) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(json).expect("JSON")
}

/// A session that somebody has started, and the request for it.
struct Started {
    request: Value,
    response: Value,
}

impl Started {
    fn shell(bench: &Bench) -> Self {
        Self::of(bench, &json!({ "Target": HOST }))
    }

    fn document(bench: &Bench, name: &str, parameters: &Value) -> Self {
        Self::of(bench, &json!({ "Target": HOST, "DocumentName": name, "Parameters": parameters }))
    }

    fn of(bench: &Bench, request: &Value) -> Self {
        Self { response: api(bench, "StartSession", request), request: request.clone() }
    }

    fn text(&self, name: &str) -> &str {
        self.response[name].as_str().expect("a text")
    }

    fn id(&self) -> &str {
        self.text("SessionId")
    }

    fn token(&self) -> &str {
        self.text("TokenValue")
    }

    /// The six arguments of the AWS CLI, with the response in the first.
    fn join(&self, bench: &Bench) -> Tool {
        self.join_as(bench, &self.response.to_string())
    }

    fn join_as(&self, bench: &Bench, response: &str) -> Tool {
        let (region, endpoint) = (bench.server().region(), bench.server().endpoint());
        plugin(bench).args([response, region, "StartSession", "", &self.request.to_string(), &endpoint])
    }

    /// What is on stdout before the session's own output.
    fn greeting(&self) -> String {
        format!("\nStarting session with SessionId: {}\n", self.id())
    }

    /// What is on stdout after it.
    fn farewell(&self) -> String {
        format!("\n\nExiting session with sessionId: {}.\n\n", self.id())
    }
}
