//! What goes wrong between StartSession and sshd's first line, and when a lost connection is resumed.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use fixtures::standin::{ApiFault, Fault, LinkConfig, Options};
use fixtures::{Bench, HOST, Peer, Setup, refused_port};

use super::{bench, rule, says};

const OPEN: &str = "OpenDataChannel";
const SENTENCE: &str = "User: arn:aws:iam::111122223333:user/me is not authorized to perform: \
    ssmmessages:OpenDataChannel on resource: arn:aws:ssm:us-east-1:111122223333:session/me-0a1b with an explicit deny \
    in an identity-based policy";

/// A stand-in whose WebSockets do not open.
fn refusing(status: u16, body: &str) -> Bench {
    let fault = ApiFault::Says(status, String::new(), body.to_owned());
    bench(Options { api_rules: vec![rule(OPEN, fault, u32::MAX)], ..Options::default() })
}

#[test]
fn an_upgrade_that_is_not_permitted() {
    let bench = refusing(403, "");
    says(
        bench.proxy().arg(HOST).run(),
        77,
        "127.0.0.1 refused the session's WebSocket: 403 Forbidden",
        "IAM must allow ssmmessages:OpenDataChannel on your own sessions, arn:aws:ssm:*:*:session/${aws:userid}-*",
    );
    bench.finish();
    let bench = refusing(403, &format!("<AccessDeniedException><Message>{SENTENCE}</Message></AccessDeniedException>"));
    says(
        bench.proxy().arg(HOST).run(),
        77,
        &format!("127.0.0.1 refused the session's WebSocket: 403 Forbidden ({SENTENCE})"),
        "nothing that IAM allows helps against it: the identity-based policy must not deny ssmmessages:OpenDataChannel \
         on your own sessions, arn:aws:ssm:*:*:session/${aws:userid}-*",
    );
    bench.finish();
}

#[test]
fn an_upgrade_that_fails() {
    for (status, text) in [(500, "500 Internal Server Error"), (503, "503 Service Unavailable"), (200, "200 OK")] {
        let bench = refusing(status, "<html><body>Something else</body></html>");
        says(
            bench.proxy().args(["--connect-timeout", "1", HOST]).run(),
            75,
            &format!(
                "the data channel could not be opened within 1 s: 127.0.0.1 refused the session's WebSocket: {text}"
            ),
            "try again in a moment; a proxy that does not let WebSockets through gives this too",
        );
        bench.finish();
    }
}

#[test]
fn an_upgrade_that_is_cut_off() {
    let bench = bench(Options { api_rules: vec![rule(OPEN, ApiFault::HangUp, u32::MAX)], ..Options::default() });
    says(
        bench.proxy().args(["--connect-timeout", "1", HOST]).run(),
        75,
        "the data channel could not be opened within 1 s: 127.0.0.1 did not open a WebSocket: WebSocket protocol error: \
         Handshake not finished",
        "try again; a proxy that breaks WebSockets gives this too",
    );
    bench.finish();
}

#[test]
fn an_upgrade_that_is_never_answered() {
    let slow = || rule(OPEN, ApiFault::Slow(Duration::from_secs(60)), u32::MAX);
    let bench = bench(Options { api_rules: vec![slow()], ..Options::default() });
    says(
        bench.proxy().args(["--connect-timeout", "1", HOST]).start().ended(),
        75,
        "the session's handshake was not completed in time",
        "check the target's agent and the network, or allow more time with --connect-timeout",
    );
    // What has failed for a while is told while it is tried again.
    let done = bench.proxy().args(["--connect-timeout", "16", HOST]).start().ended().code(75);
    let failed = "127.0.0.1 did not answer within 15 s";
    let hint = "check the network, or whether a proxy or VPC endpoint is needed";
    assert_eq!(
        done.stderr,
        format!(
            "ssm-proxy: no connection yet, trying again: {failed}; {hint}\nssm-proxy: {HOST}: the data channel could not be \
             opened within 16 s: {failed}\n  hint: {hint}\n"
        )
    );
    bench.finish();
}

#[test]
fn a_port_that_refuses() {
    let (address, _taken) = refused_port();
    let bench = bench(Options { ports: vec![(23, address)], ..Options::default() });
    says(
        bench.proxy().args([HOST, "23"]).run(),
        69,
        "the target's port refused the connection: Unable to connect to specified port: dial tcp 127.0.0.1:23: connect: \
         Connection refused (os error 111)",
        "check that something on the target listens on port 23; a server behind the target is reached through its sshd: \
         ssh -L 23:SERVER:23 HOST",
    );
    bench.finish();
}

#[test]
fn an_sshd_that_refuses() {
    let (address, _taken) = refused_port();
    let mut standin = Options { ports: vec![(22, address)], ..Options::default() };
    standin.agent.crash_on_refused_port = true;
    let bench = Bench::with(Setup { ssh_port: 2222, standin, ..Setup::default() });
    says(
        bench.proxy().arg(HOST).run(),
        69,
        "the target's port refused the connection",
        "check that sshd runs on the target and listens on that port",
    );
    bench.finish();
}

/// The session is up, and nothing comes. That is not the program's to judge, as not every protocol begins on the
/// target's side: ssh gives up by its ConnectTimeout, and `--check` by a limit of its own.
#[test]
fn an_sshd_that_does_not_answer() {
    let mute = Peer::mute();
    let bench = bench(Options { ports: vec![(24, mute.address())], ..Options::default() });
    let ssh = bench.ssh().args(["-o", "ConnectTimeout=2", "-p", "24", HOST, "true"]).run().code(255);
    assert!(ssh.stderr.contains("Connection timed out during banner exchange"), "{ssh}");
    let check = bench.proxy().args(["--check", HOST, "24"]).run().code(69);
    let text = check.text();
    let lines: Vec<_> = text.lines().skip_while(|line| !line.starts_with("✗ sshd")).take(2).collect();
    assert_eq!(
        lines,
        [
            "✗ sshd           the port takes connections, but says nothing within 10 s",
            "                 hint: check that it is sshd that listens on that port of the target",
        ],
        "{check}"
    );
    bench.finish();
}

/// A session is not given up for a permission that may come back: what is wrong is told once.
#[test]
fn a_resume_that_is_not_permitted() {
    let echo = Peer::echo();
    let bench = bench(Options { ports: vec![(7, echo.address())], ..Options::default() });
    let mut proxy = bench.proxy().args(["--resume-timeout", "1", HOST, "7"]).start();
    proxy.write(b"in\n");
    proxy.expect_stdout("in");
    bench.control().api_rule(rule("ResumeSession", ApiFault::AccessDenied, u32::MAX));
    bench.fault(Fault::bye());
    let done = proxy.ended().code(77);
    let session = bench.session().id;
    let failed = format!(
        "ResumeSession is not permitted (AccessDeniedException: User: arn:aws:iam::111122223333:user/standin is not \
         authorized to perform: ssm:ResumeSession on resource: arn:aws:ssm:us-east-1:111122223333:session/{session} \
         because no identity-based policy allows the ssm:ResumeSession action)"
    );
    let hint = "IAM must allow ssm:ResumeSession on your own sessions, arn:aws:ssm:*:*:session/${aws:userid}-*";
    let told = format!("ssm-proxy: connection lost, resuming it: {failed}; {hint}");
    let failed = format!("the connection was lost and could not be resumed within 1 s: {failed}");
    assert_eq!(done.stderr, format!("{told}\nssm-proxy: {HOST}: {failed}\n  hint: {hint}\n"));
    bench.finish();
}

/// The upload's larger messages are under way when a new connection leads to a cell that takes none of them: they cannot
/// be cut anew.
#[test]
fn a_cell_that_refuses_what_the_last_one_took() {
    let sink = Peer::sink();
    let uplink = LinkConfig { delay: Duration::from_millis(50), ..LinkConfig::default() };
    let bench = bench(Options { ports: vec![(7, sink.address())], uplink, ..Options::default() });
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    let mut stdin = proxy.take_stdin();
    // It ends in the middle, when the program does.
    let writer = thread::spawn(move || drop(stdin.write_all(&vec![7; 32 << 20])));
    bench.wait_for("many larger messages", |report| {
        report
            .sessions
            .iter()
            .any(|session| session.traffic.largest_payload > 1024 && session.traffic.bytes_from_client > 3 << 20)
    });
    bench.fault(Fault::SmallerCell(1024));
    says(
        proxy.ended(),
        1,
        "the service closes every new connection over messages of more than 1024 bytes, which it took before",
        "connect again: a new session begins with smaller messages",
    );
    writer.join().unwrap();
    let resumes = bench.session().resumes;
    assert!((5..=8).contains(&resumes), "{resumes} connections were tried");
    bench.finish();
}
