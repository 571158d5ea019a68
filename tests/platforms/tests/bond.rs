//! `--bond` with the joiner of another platform as well: a connection over several sessions.

use fixtures::standin::Options;
use fixtures::{Bench, JoinerPorts, Setup};

#[test]
#[ignore = "contrib/platforms runs it"]
fn ssh_and_scp_over_several_sessions() {
    let ports = JoinerPorts::open();
    let standin = Options { ports: ports.leads().into(), ..Options::default() };
    let bench = Bench::with(Setup { proxy_command: "ssm-proxy --bond -- \"%h\" %p", standin, ..Setup::default() });
    let joiner = ports.start(bench.sshd().address());
    platforms::ssh_and_scp(&bench);
    drop(joiner);
    // Two for ssh, which finds the joiner at its port and joins it, and more than one for each of the copies.
    let sessions = bench.finish().sessions.len();
    assert!(sessions >= 2 + 2 + 2, "{sessions}");
}
