//! The AWS CLI, unmodified, which starts the session and then calls the plugin that it finds.

use std::time::Duration;

use fixtures::{Bench, HOST, Peer, Terminal, Tool, aws_cli, free_port};
use serde_json::{Value, json};
use standin::{Options, SessionState};

use super::{PAGE, encrypting, with};

/// What gives the far side's shell a prompt of its own, and that prompt.
const SET_PROMPT: &str = "PS1=ready'> '\r";
const PROMPT: &str = "ready> ";

/// `aws`, as the user of the bench.
fn aws(bench: &Bench) -> Tool {
    let endpoint = bench.server().endpoint();
    let program = aws_cli();
    let tool = bench.user().tool(program.to_str().expect("a path in UTF-8"));
    // Its first version knows the region by this name alone.
    let tool = tool.env("AWS_DEFAULT_REGION", bench.server().region()).without("AWS_CA_BUNDLE");
    tool.env("AWS_ENDPOINT_URL_ECS", &endpoint).env("AWS_ENDPOINT_URL_KMS", endpoint)
}

fn start_session(bench: &Bench) -> Tool {
    aws(bench).args(["ssm", "start-session", "--target", HOST])
}

fn document(bench: &Bench, name: &str, parameters: &Value) -> Tool {
    start_session(bench).args(["--document-name", name, "--parameters", &parameters.to_string()])
}

/// Works in a shell on a terminal that `tool` opens, interrupts what runs in it, and leaves.
fn works_in_a_shell(tool: Tool) {
    let mut terminal = tool.on_terminal(24, 80);
    terminal.expect("Starting session with SessionId: ");
    terminal.press(SET_PROMPT);
    terminal.expect(PROMPT);
    terminal.press("echo $((6*7)); stty size\r");
    terminal.expect("42\r\n24 80\r\n");
    terminal.expect(PROMPT);
    assert!(!terminal.echoes());
    terminal.press("cat; echo $((6*8))\r");
    terminal.press("over\r");
    terminal.expect("over\r\nover\r\n");
    terminal.press("\u{3}");
    terminal.expect(PROMPT);
    terminal.press("echo $((6*9))\r");
    terminal.expect("54\r\n");
    terminal.expect(PROMPT);
    terminal.press("exit\r");
    terminal.expect("\n\r\nExiting session with sessionId: ");
    assert!(!terminal.screen().contains("WARNING"), "{}", terminal.screen());
    assert!(terminal.finish().success());
}

#[test]
fn a_shell_works_and_ctrl_c_is_its_own() {
    let bench = with(Options::default());
    works_in_a_shell(start_session(&bench));
    let report = bench.finish();
    assert_eq!((report.sessions.len(), report.sessions[0].target.as_str()), (1, HOST));
}

#[test]
fn an_encrypted_shell_works_the_same() {
    let bench = with(encrypting());
    works_in_a_shell(start_session(&bench));
    assert!(bench.finish().sessions[0].encrypted);
}

#[test]
fn ssh_works_by_the_line_of_awss_manual() {
    let bench = with(Options::default());
    let program = aws_cli();
    let proxy_command = format!(
        "ProxyCommand={} ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p",
        program.display()
    );
    let ssh = bench.ssh().env("AWS_DEFAULT_REGION", bench.server().region());
    let done = ssh.args(["-o", &proxy_command, HOST, "cat; exit 7"]).run_with("bytes\n").code(7);
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("bytes\n", ""));
    bench.finish();
}

#[test]
fn ports_are_forwarded_until_ctrl_c() {
    let web = Peer::server(Duration::ZERO, PAGE.to_vec());
    let to = |name: &str| format!("{name}={}", web.address()).parse().expect("a destination");
    let destinations = vec![to("localhost:80"), to("db.internal:8080")];
    let bench = with(Options { destinations, ..Options::default() });
    let remote = json!({ "portNumber": ["8080"], "host": ["db.internal"] });
    // Ctrl-Z ends it as well: nobody could let it go on.
    for (name, parameters, key) in [
        ("AWS-StartPortForwardingSession", json!({ "portNumber": ["80"] }), "\u{3}"),
        ("AWS-StartPortForwardingSessionToRemoteHost", remote, "\u{1a}"),
    ] {
        let port = free_port().to_string();
        let mut parameters = parameters;
        parameters["localPortNumber"] = json!([port]);
        let mut terminal = document(&bench, name, &parameters).on_terminal(24, 80);
        terminal.expect(&format!("Port {port} opened for sessionId "));
        terminal.expect("\r\nWaiting for connections...\r\n");
        let page = bench.user().tool("curl").args(["-sS", &format!("http://localhost:{port}/")]).run().ok();
        assert_eq!(page.text(), "hello\n");
        terminal.expect("\r\nConnection accepted for session [");
        terminal.press(key);
        terminal.expect("Terminate signal received, exiting.\r\n\r\n\r\nExiting session with sessionId: ");
        assert!(terminal.finish().success());
    }
    bench.finish();
}

#[test]
fn a_forward_ends_with_its_session_and_says_what_cannot_be_reached() {
    let bench = with(Options { destinations: Vec::new(), ..Options::default() });
    let port = free_port().to_string();
    let parameters = json!({ "portNumber": ["81"], "localPortNumber": [port] });
    let running = document(&bench, "AWS-StartPortForwardingSession", &parameters).start();
    running.expect_stdout("Waiting for connections...");
    drop(bench.user().tool("curl").args(["-sS", &format!("http://localhost:{port}/")]).run());
    running.expect_stdout("Connection to destination port failed, check SSM Agent logs.");
    super::api(&bench, "TerminateSession", &json!({ "SessionId": bench.session().id }));
    let done = running.ended().ok();
    let text = done.text();
    assert!(text.contains("\n\nExiting session with sessionId: ") || text.contains("\n\nSessionId: "), "{done}");
    bench.finish();
}

#[test]
fn commands_run_with_and_without_a_terminal() {
    for options in [Options::default(), encrypting()] {
        let bench = with(options);
        let parameters = json!({ "command": ["sh -c 'echo out; exit 5'"] });
        let done = document(&bench, "AWS-StartNonInteractiveCommand", &parameters).run().ok();
        assert!(done.text().contains("\nout\n\n\nExiting session") && done.stderr.is_empty(), "{done}");
        let parameters = json!({ "command": ["stty size; read x; echo $x$x"] });
        let mut terminal = document(&bench, "AWS-StartInteractiveCommand", &parameters).on_terminal(30, 90);
        terminal.press("ab\r");
        terminal.expect("abab\r\n");
        terminal.expect("Exiting session with sessionId: ");
        assert!(terminal.finish().success());
        bench.finish();
    }
}

#[test]
fn a_command_is_interrupted_by_ctrl_c() {
    let bench = with(Options::default());
    let parameters = json!({ "command": ["sleep 600"] });
    let mut terminal = document(&bench, "AWS-StartNonInteractiveCommand", &parameters).on_terminal(24, 80);
    bench.wait_for("a running command", |report| report.sessions.iter().any(|session| session.program_started));
    terminal.press("\u{3}");
    terminal.expect("Exiting session with sessionId: ");
    assert!(terminal.finish().success());
    bench.finish();
}

#[test]
fn a_container_is_reached_by_ecs_execute_command() {
    let bench = with(Options::default());
    let tool = aws(&bench).args(["ecs", "execute-command", "--interactive", "--cluster", "shop", "--task", "0f1e2d3c"]);
    let mut terminal = tool.args(["--command", "/bin/sh"]).on_terminal(24, 80);
    terminal.expect("The Session Manager plugin was installed successfully.");
    terminal.expect("Starting session with SessionId: ecs-execute-command-");
    terminal.press(SET_PROMPT);
    terminal.expect(PROMPT);
    terminal.press("sh -c 'echo be''gun; exec sleep 600'\r");
    terminal.expect("begun\r\n");
    terminal.press("\u{3}");
    terminal.expect(PROMPT);
    terminal.press("echo $((6*9))\r");
    terminal.expect("54\r\n");
    terminal.press("exit\r");
    terminal.expect("Exiting session with sessionId: ecs-execute-command-");
    assert!(terminal.finish().success());
    let report = bench.finish();
    assert_eq!(report.sessions[0].target, "ecs:shop_0f1e2d3c_0123456789abcdef-527074092");
}

#[test]
fn an_interactive_command_gets_ctrl_c_and_ends_its_session() {
    let bench = with(Options::default());
    let command = "sh -c 'trap \"echo caught; exit 4\" INT; echo ready; while :; do sleep 0.1; done'";
    let mut terminal = interactive(&bench, command);
    terminal.expect("ready\r\n");
    terminal.press("\u{3}");
    terminal.expect("caught\r\n");
    // The session ends with the command, and nobody has to end it.
    assert_eq!(ended(bench, terminal), SessionState::EndedByProgram);
}

#[test]
fn an_interactive_command_that_shows_nothing_is_ended_by_ctrl_c() {
    let bench = with(Options::default());
    let terminal = interactive(&bench, "sleep 600");
    bench.wait_for("a running command", |report| report.sessions.iter().any(|session| session.program_started));
    terminal.press("\u{3}");
    // Whether the session is encrypted is not known before its first output, and a key that is not then deafens an agent that
    // expects it to be.
    assert_eq!(ended(bench, terminal), SessionState::EndedByApi);
}

fn interactive(bench: &Bench, command: &str) -> Terminal {
    let terminal = document(bench, "AWS-StartInteractiveCommand", &json!({ "command": [command] })).on_terminal(24, 80);
    bench.wait_for("a session", |report| !report.sessions.is_empty());
    terminal
}

/// How the session has ended, once the terminal is as it was.
fn ended(bench: Bench, mut terminal: Terminal) -> SessionState {
    terminal.expect("Exiting session with sessionId: ");
    assert!(terminal.ended().success());
    assert_eq!(terminal.modes(), terminal.modes_before());
    bench.finish().sessions[0].state
}
