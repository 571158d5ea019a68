//! `--bond-setup`: a joiner on the node by real ssh, from nothing; its secret; what goes wrong.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fixtures::standin::{Options, Report};
use fixtures::{Bench, Done, HOST, Setup, Tool, joiner_program};
use rustix::process::{Pid, Signal, kill_process};

use super::{FOUR, Way, copies, ports};

/// A bench whose node has ports that are this machine's.
struct Node {
    bench: Bench,
    /// The folder of the programs that are copied there.
    programs: PathBuf,
}

impl Node {
    fn open() -> Self {
        let standin = Options { own_ports: true, ..Options::default() };
        let bench = Bench::with(Setup { proxy_command: FOUR, standin, ..Setup::default() });
        let programs = bench.folder().join("programs");
        fs::create_dir(&programs).unwrap();
        let program = programs.join(format!("ssm-proxy-join-{}", std::env::consts::ARCH));
        fs::copy(joiner_program(), program).unwrap();
        let node = Self { bench, programs };
        let port = node.bench.sshd().address().port();
        node.configure(&format!("Host i-*\n  Port {port}\n"));
        node
    }

    /// Adds to the user's configuration of ssh.
    fn configure(&self, lines: &str) {
        let file = self.bench.user().ssh_config();
        fs::write(&file, fs::read_to_string(&file).unwrap() + lines).unwrap();
    }

    /// Lines that set a joiner up where one is needed.
    fn configure_match(&self) {
        let config = self.bench.user().ssh_config();
        let command = "ssm-proxy --bond-setup --if-needed -- '%n' -l '%r' -p %p";
        self.configure(&format!("Match final host i-*,mi-* exec \"{command} -F {}\"\n", config.display()));
    }

    fn setup(&self, options: &[&str]) -> Tool {
        let tool = self.bench.proxy().env("SSM_PROXY_JOINERS", &self.programs).args(options);
        tool.args(["--bond-setup", HOST, "-F"]).arg(self.bench.user().ssh_config())
    }

    fn ssh(&self) -> Tool {
        self.bench.ssh().env("SSM_PROXY_JOINERS", &self.programs)
    }

    /// The joiner's program on the node.
    fn program(&self) -> PathBuf {
        self.bench.sshd().home().join(concat!(".cache/ssm-proxy/ssm-proxy-join-", env!("CARGO_PKG_VERSION")))
    }

    /// What is remembered of the node.
    fn known(&self) -> Option<PathBuf> {
        let files = fs::read_dir(self.bench.user().home().join(".cache/ssm-proxy/joiners")).ok()?;
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(files.len() < 2, "{files:?}");
        files.into_iter().next()
    }

    fn secret_and_port(&self) -> (String, String) {
        let text = fs::read_to_string(self.known().unwrap()).unwrap();
        let field = |name: &str| {
            let (_, rest) = text.split_once(&format!("\"{name}\":")).unwrap();
            rest.split([',', '}']).next().unwrap().trim_matches('"').to_owned()
        };
        (field("secret"), field("first_port"))
    }

    fn is_running(&self) -> bool {
        !self.joiners().is_empty()
    }

    fn joiners(&self) -> Vec<Pid> {
        let program = self.program().display().to_string();
        let is_it = |folder: &Path| {
            fs::read_link(folder.join("exe")).is_ok_and(|exe| exe.display().to_string().starts_with(&program))
        };
        let folders = processes().filter(|folder| is_it(folder));
        folders.filter_map(|folder| Pid::from_raw(folder.file_name()?.to_str()?.parse().ok()?)).collect()
    }

    /// Ends the joiner, as a node that is booted anew does.
    fn kill(&self) {
        for joiner in self.joiners() {
            let _ = kill_process(joiner, Signal::KILL);
        }
        let gone = fixtures::until(std::time::Duration::from_secs(10), || (!self.is_running()).then_some(()));
        assert!(gone.is_some(), "the joiner lives on");
    }

    fn logins(&self) -> usize {
        self.bench.sshd().log().matches("Accepted publickey").count()
    }

    fn finish(self) -> Report {
        self.kill();
        self.bench.finish()
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let all = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|b| b.is_ascii_digit())))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn logs_in(node: &Node) -> Done {
    let done = node.ssh().args([HOST, "echo in"]).run().ok();
    assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""));
    done
}

#[test]
fn from_nothing_to_a_copy_over_several_sessions() {
    let node = Node::open();
    let done = node.setup(&[]).run().ok();
    assert!(done.stderr.contains(&format!("the joiner runs on {HOST}")) && done.stdout.is_empty(), "{done}");
    assert_eq!((mode(&node.program()), mode(&node.known().unwrap())), (0o700, 0o600));
    assert_eq!(fs::read(node.program()).unwrap(), fs::read(joiner_program()).unwrap());
    let (_, port) = node.secret_and_port();
    copies(&node.bench, Way::Down, 6 << 20, |_| {});
    let asked = ports(&node.finish());
    assert_eq!(asked.iter().filter(|asked| **asked == port).count(), 1, "{asked:?}");
    assert_eq!(asked.len(), 1 + 4, "one for the setup: {asked:?}");
}

#[test]
fn where_a_joiner_answers_nothing_is_done() {
    let node = Node::open();
    let _ = node.setup(&[]).run().ok();
    let before = (node.logins(), fs::read(node.known().unwrap()).unwrap());
    assert_eq!(node.setup(&[]).run().ok().stderr, "");
    let done = node.setup(&["-v"]).run().ok();
    assert!(done.stderr.contains("the joiner answers: nothing is to be done"), "{done}");
    assert_eq!((node.logins(), fs::read(node.known().unwrap()).unwrap()), before);
    let report = node.finish();
    assert_eq!(report.sessions.len(), 1 + 2);
}

#[test]
fn another_program_of_its_name_is_replaced_and_the_right_one_kept() {
    let node = Node::open();
    fs::create_dir_all(node.program().parent().unwrap()).unwrap();
    fs::write(node.program(), "#!/bin/sh\necho listening 1 2 3\n").unwrap();
    fs::set_permissions(node.program(), fs::Permissions::from_mode(0o755)).unwrap();
    let _ = node.setup(&[]).run().ok();
    assert_eq!(fs::read(node.program()).unwrap(), fs::read(joiner_program()).unwrap());
    let written = || fs::metadata(node.program()).unwrap().modified().unwrap();
    let before = written();
    node.kill();
    let _ = node.setup(&[]).run().ok();
    assert!(node.is_running());
    assert_eq!(written(), before, "it is copied once");
    node.finish();
}

#[test]
fn the_secret_is_shown_to_nobody() {
    let node = Node::open();
    let (is_over, mut seen) = (AtomicBool::new(false), BTreeSet::new());
    let done = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let files = processes().flat_map(|process| ["cmdline", "environ"].map(|name| process.join(name)));
                seen.extend(files.filter_map(|file| fs::read(file).ok()));
            }
            seen
        });
        let done = node.setup(&["-vv"]).run();
        is_over.store(true, Ordering::Relaxed);
        seen = watch.join().unwrap();
        done
    })
    .ok();
    let (secret, _) = node.secret_and_port();
    assert_eq!(secret.len(), 64);
    let shows = |bytes: &[u8]| bytes.windows(64).any(|window| window == secret.as_bytes());
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(seen.iter().any(|text| has(text, "--background")), "the scene is set: the joiner's start was seen");
    assert!(!seen.iter().any(|text| shows(text)), "it is among the arguments or in an environment");
    assert!(!shows(done.stderr.as_bytes()) && !shows(&done.stdout), "it is in the log");
    assert!(!shows(node.bench.sshd().log().as_bytes()), "it is in sshd's log");
    for file in fs::read_dir(node.program().parent().unwrap()).unwrap() {
        assert!(!shows(&fs::read(file.unwrap().path()).unwrap()), "it is in a file of the node");
    }
    node.finish();
}

#[test]
fn a_joiner_that_is_gone_is_forgotten_and_brought_back() {
    let node = Node::open();
    let _ = node.setup(&[]).run().ok();
    let (secret, port) = node.secret_and_port();
    node.kill();
    logs_in(&node);
    assert_eq!(node.known(), None);
    let _ = node.setup(&[]).run().ok();
    let (other, again) = node.secret_and_port();
    assert_ne!(secret, other, "each has a secret of its own");
    logs_in(&node);
    let asked = ports(&node.finish());
    let count = |port: &str| asked.iter().filter(|asked| *asked == port).count();
    assert!(count(&port) >= 1 && count(&again) >= 1, "{asked:?}");
}

#[test]
fn a_node_without_a_joiner_for_its_processor_is_named() {
    let node = Node::open();
    let bin = node.bench.folder().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("uname"), "#!/bin/sh\n[ \"$1\" = -m ] && echo riscv64 || echo Linux\n").unwrap();
    fs::set_permissions(bin.join("uname"), fs::Permissions::from_mode(0o755)).unwrap();
    let file = node.bench.folder().join("sshd/sshd_config");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replacen("PATH=\"", &format!("PATH=\"{}:", bin.display()), 1)).unwrap();
    let done = node.setup(&[]).run().code(69);
    let said = format!("ssm-proxy: {HOST}: there is no joiner for the node, which is Linux on riscv64\n  hint: ");
    assert!(done.stderr.contains(&said), "{done}");
    assert_eq!(node.known(), None);
    node.finish();
}

#[test]
fn a_login_that_fails_and_a_program_that_is_missing_are_said() {
    let node = Node::open();
    let empty = node.bench.folder().join("empty");
    fs::create_dir(&empty).unwrap();
    let done = node.setup(&[]).env("SSM_PROXY_JOINERS", &empty).run().code(78);
    assert!(done.stderr.contains("ssm-proxy-join-") && done.stderr.contains("is not in"), "{done}");
    let done = node.setup(&["-v"]).args(["-o", "User=nobody-of-this-name"]).run().code(69);
    assert!(done.stderr.contains(&format!("ssm-proxy: {HOST}: ssh has not logged in\n")), "{done}");
    node.finish();
}

#[test]
fn a_line_of_ssh_config_sets_it_up_at_the_first_ssh_and_costs_no_session_after() {
    let node = Node::open();
    node.configure_match();
    logs_in(&node);
    assert!(node.is_running());
    assert_eq!(node.logins(), 2, "one to set it up");
    let before = node.bench.server().report().sessions.len();
    logs_in(&node);
    assert_eq!(node.logins(), 3);
    let (_, port) = node.secret_and_port();
    let asked = ports(&node.finish());
    assert_eq!(asked.len(), before + 1, "{asked:?}");
    assert_eq!(asked[asked.len() - 2..], [port.clone(), port]);
}

#[test]
fn a_node_that_cannot_be_set_up_is_connected_to_all_the_same() {
    let node = Node::open();
    node.configure_match();
    let empty = node.bench.folder().join("empty");
    fs::create_dir(&empty).unwrap();
    for logins in [2, 3] {
        let done = node.ssh().env("SSM_PROXY_JOINERS", &empty).args([HOST, "echo in"]).run().ok();
        assert_eq!((done.text().as_str(), done.stderr.as_str()), ("in\n", ""));
        assert_eq!(node.logins(), logins, "it is tried once");
    }
    assert!(!node.is_running());
    node.finish();
}

#[test]
fn a_host_is_no_option_of_ssh() {
    let node = Node::open();
    let trap = node.bench.folder().join("trap");
    let host = format!("-oProxyCommand=touch {}", trap.display());
    let done = node.bench.proxy().args(["--bond-setup", "--", &host]).run().code(78);
    assert!(done.stderr.contains("ssh does not say how it connects"), "{done}");
    assert!(!trap.exists());
    node.finish();
}

#[test]
fn a_line_of_ssh_config_takes_a_pattern_for_a_host() {
    let node = Node::open();
    let (bin, log) = (node.bench.folder().join("recorder"), node.bench.folder().join("arguments"));
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("ssm-proxy"), format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >{}\n", log.display())).unwrap();
    fs::set_permissions(bin.join("ssm-proxy"), fs::Permissions::from_mode(0o755)).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lines = ["docs/faster-transfers.md", "contrib/ssh_config.example"].map(|name| {
        let text = fs::read_to_string(root.join(name)).unwrap();
        let line = text.lines().find(|line| line.contains("Match final ")).unwrap();
        line.trim_start_matches([' ', '#']).replace("host i-*,mi-*", "host *")
    });
    let config = node.bench.folder().join("config");
    let path = std::env::var("PATH").unwrap();
    for line in lines {
        fs::write(&config, format!("{line}\n")).unwrap();
        fs::write(node.bench.folder().join("i-0"), "").unwrap();
        let ssh =
            node.bench.user().tool("sh").args(["-c", "cd \"$1\" && exec ssh -F \"$2\" -G -l me -- \"i-*\"", "sh"]);
        let ssh = ssh.arg(node.bench.folder()).arg(&config).env("PATH", format!("{}:{path}", bin.display()));
        let _ = ssh.run().ok();
        let arguments = fs::read_to_string(&log).unwrap();
        assert_eq!(arguments, "--bond-setup\n--if-needed\n--\ni-*\n-l\nme\n-p\n22\n", "{line}");
    }
    node.finish();
}
