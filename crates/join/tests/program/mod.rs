//! The joiner's program.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ssm-proxy-join");

/// One that runs. It is killed when this is dropped.
pub(crate) struct Joiner {
    child: Child,
    first: SocketAddr,
    join: SocketAddr,
}

impl Joiner {
    /// One as `--bond-setup` starts it.
    pub(crate) fn with_secret(to: SocketAddr, secret: [u8; 32]) -> Self {
        Self::detached(to, secret, Duration::from_secs(3600))
    }

    /// One that ends after so many seconds without a bond.
    pub(crate) fn idle(to: SocketAddr, seconds: u64) -> Self {
        Self::detached(to, [1; 32], Duration::from_secs(seconds))
    }

    fn detached(to: SocketAddr, secret: [u8; 32], idle: Duration) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["--detached", "--to", &to.to_string(), "--idle", &idle.as_secs().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let digits: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        child.stdin.take().unwrap().write_all(format!("{digits}\n").as_bytes()).unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let ports: Vec<u16> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
        let address = |at: usize| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[at]));
        Self { child, first: address(0), join: address(1) }
    }

    /// One as systemd starts it, with its two sockets.
    pub(crate) fn of_systemd(to: SocketAddr) -> Self {
        const AS_SYSTEMD: &str =
            "exec 3<&0 4<&1 0</dev/null 1>&2; export LISTEN_FDS=2 LISTEN_PID=$$; exec \"$0\" \"$@\"";
        let [first, join] = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let addresses = [&first, &join].map(|listener| listener.local_addr().unwrap());
        let child = Command::new("/bin/sh")
            .args(["-c", AS_SYSTEMD, PROGRAM, "--systemd", "--to", &to.to_string()])
            .stdin(OwnedFd::from(first))
            .stdout(OwnedFd::from(join))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, first: addresses[0], join: addresses[1] }
    }

    /// Where bonds begin.
    pub(crate) fn first(&self) -> SocketAddr {
        self.first
    }

    /// Where links are added to them.
    pub(crate) fn join(&self) -> SocketAddr {
        self.join
    }

    /// What the kernel says of it in a file of its folder.
    pub(crate) fn of_proc(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(format!("/proc/{}/{name}", self.child.id())).unwrap()).into_owned()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Its peak memory, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let status = self.of_proc("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Ends it; gives its log.
    pub(crate) fn ends(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }

    /// Waits until it has ended by itself.
    pub(crate) fn has_ended(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Joiner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
