//! `ssh i-…` does what ssh does anywhere: commands, their exit status, their input and output, terminals, shared
//! connections, jumps, many at once.

use std::thread;

use fixtures::{Bench, HOST, noise};

#[test]
fn a_command_runs_and_its_exit_status_arrives() {
    let bench = Bench::open();
    let done = bench.ssh().args([HOST, "echo out; echo err >&2"]).run().ok();
    assert_eq!(done.text(), "out\n");
    assert_eq!(done.stderr, "err\n", "ssm-proxy is silent on success");
    let _ = bench.ssh().args([HOST, "exit 3"]).run().code(3);
    let killed = bench.ssh().args([HOST, "kill -KILL $$"]).run();
    let _ = killed.code(255);
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 3, "each ssh is one session");
}

#[test]
fn input_goes_through_a_remote_cat_and_comes_back() {
    let bench = Bench::open();
    let input = noise(1, 300_000);
    let done = bench.ssh().args([HOST, "cat"]).run_with(input.clone()).ok();
    assert!(done.stdout == input, "{} bytes went, {} other ones came back", input.len(), done.stdout.len());
    bench.finish();
}

#[test]
fn a_terminal_has_its_size_and_ctrl_c_interrupts() {
    let bench = Bench::open();
    let mut terminal = bench.ssh().args(["-tt", HOST, "PS1='ready> ' exec /bin/sh -i"]).on_terminal(31, 97);
    terminal.expect("ready> ");
    terminal.press("stty size\n");
    terminal.expect("31 97");
    terminal.expect("ready> ");

    // The far side says by itself when the new size has come.
    terminal.press("trap 'echo resized: $(stty size)' WINCH; echo trap set\n");
    terminal.expect("trap set");
    terminal.expect("ready> ");
    terminal.resize(45, 120);
    // dash runs the trap after the next command.
    terminal.press("while :; do sleep 0.1; done\n");
    terminal.expect("resized: 45 120");

    terminal.press("\x03");
    terminal.expect("ready> ");
    terminal.press("echo still $((40 + 2)); exit 7\n");
    terminal.expect("still 42");
    assert_eq!(terminal.finish().code(), Some(7));
    bench.finish();
}

#[test]
fn eight_channels_share_one_session() {
    let bench = Bench::open();
    let control = bench.user().home().join("control");
    // Multiplexing is set up before the session's own command runs, so its first word says that it is there.
    let master = bench.ssh().arg("-M").arg("-S").arg(&control).args([HOST, "echo shared; cat"]).start();
    master.expect_stdout("shared");
    thread::scope(|scope| {
        for number in 0..8 {
            let (bench, control) = (&bench, &control);
            scope.spawn(move || {
                let input = noise(number, 40_000);
                let done = bench.ssh().arg("-S").arg(control).args([HOST, "cat"]).run_with(input.clone()).ok();
                assert!(done.stdout == input, "channel {number} brought back other bytes");
            });
        }
    });
    let shared = master.finish().ok();
    assert_eq!(shared.text(), "shared\n");
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 1);
}

#[test]
fn a_target_is_a_jump_host() {
    let bench = Bench::open();
    // `inner` is known to ssh_config by an address that only the target reaches.
    let done = bench.ssh().args(["-J", HOST, "inner", "echo far"]).run().ok();
    assert_eq!(done.text(), "far\n");
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 1);
}

#[test]
fn twenty_sessions_at_once() {
    let bench = Bench::open();
    let mut sessions: Vec<_> = (0..20)
        .map(|number| {
            let host = format!("i-0123456789abcde{number:02}");
            (noise(number, 20_000), bench.ssh().args([host.as_str(), "echo in; cat"]).start())
        })
        .collect();
    for (_, ssh) in &sessions {
        ssh.expect_stdout("in");
    }
    // From here on all twenty are open.
    for (input, ssh) in &mut sessions {
        ssh.write(input);
    }
    for (number, (input, ssh)) in sessions.into_iter().enumerate() {
        let done = ssh.finish().ok();
        assert!(done.stdout == [b"in\n", input.as_slice()].concat(), "session {number} brought back other bytes");
    }
    let report = bench.finish();
    assert_eq!(report.sessions.len(), 20);
}
