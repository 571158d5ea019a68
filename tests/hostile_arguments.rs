//! A host, an option or a name that somebody else has chosen stays a word: it becomes no option, no command of a shell
//! and no line of a configuration.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot set its scene")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fixtures::standin::{Node, Options};
use fixtures::{Bench, Done, HOST, Setup};

/// A host that ssh takes, as a repository may name it, and that the names below fit as a pattern.
const PATTERN: &str = "?-*[.aa-z-1.]";
/// Files of that repository: options, and a node to use them on.
const FILES: [&str; 3] = ["--push-key=mykey.pub", "--user=root", "i-0aaaaaaaaaaaaaaaa"];

/// A folder as a hostile repository leaves it.
fn hostile_folder(bench: &Bench) -> PathBuf {
    let folder = bench.folder().join("repository");
    fs::create_dir(&folder).unwrap();
    for name in FILES {
        fs::write(folder.join(name), "").unwrap();
    }
    let key = folder.join("mykey");
    let _ = bench.user().tool("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).run().ok();
    folder
}

/// ssh, started in that folder with this ProxyCommand, for a host and a user that are patterns. `shell` is the user's,
/// `bin` comes first on the PATH.
fn ssh_in(bench: &Bench, folder: &Path, shell: &str, bin: &Path, proxy_command: &str) -> Done {
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths([bin.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let ssh = bench.user().tool("sh").args(["-c", "cd \"$1\" && shift && exec \"$@\"", "sh"]).arg(folder);
    let ssh = ssh.args(["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o"]);
    let ssh = ssh.arg(format!("ProxyCommand={proxy_command}")).args(["-l", PATTERN, "--", PATTERN, "true"]);
    ssh.env("SHELL", shell).env("PATH", path).run().code(255)
}

/// The ProxyCommands with tokens that a text shows: as lines of a configuration and as options of ssh.
fn proxy_commands(text: &str) -> Vec<String> {
    let commands = text.lines().filter_map(|line| line.split_once("ProxyCommand").and_then(command));
    let ours = commands.filter(|command| command.contains("ssm-proxy") && command.contains('%'));
    ours.map(|command| command.replace(r#""C:\Users\you\bin\ssm-proxy.exe""#, "ssm-proxy")).collect()
}

/// What stands behind the word ProxyCommand of a line, up to the quote that closes it, if one opens it.
fn command<'a>((before, after): (&str, &'a str)) -> Option<&'a str> {
    let after = after.strip_prefix(['=', ' '])?.trim_start();
    let quote = [before.chars().last(), after.chars().next()].into_iter().flatten().find(|c| "'`".contains(*c));
    match quote {
        Some(quote) => after.trim_start_matches(quote).split(quote).next(),
        None => Some(after),
    }
}

/// Each text that shows ProxyCommands, with its name: files of the repository, and what the program prints.
fn texts(bench: &Bench) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| (name.to_owned(), fs::read_to_string(root.join(name)).unwrap());
    let files = ["README.md", "contrib/recipes.md", "contrib/ssh_config.example", "contrib/demo"].map(read);
    let pages = fs::read_dir(root.join("docs")).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let pages: Vec<_> = pages.filter(|page| page.ends_with(".md")).map(|page| read(&format!("docs/{page}"))).collect();
    let of_pages = pages.into_iter().filter(|(_, text)| !proxy_commands(text).is_empty());
    let (name, page) = read("xtask/src/sections.man");
    let page = (name, page.replace("\\-", "-").replace("\\(aq", "'"));
    let print = |args: &[&str]| {
        (args.join(" "), bench.proxy().args(args).stdin(fs::File::open("/dev/null").unwrap()).run().ok().text())
    };
    let printed = [
        &["--help"][..],
        &["--print-ssh-config"],
        &["--print-ssh-config", "web-1", "i-0abc", "--push-key", "auto", "--user", "me", "--reason", "it's 100% me"],
        &["--list", "--print-ssh-config"],
        &["--check", HOST],
    ]
    .map(print);
    files.into_iter().chain(of_pages).chain([page]).chain(printed).collect()
}

#[test]
fn names_of_files_become_no_options_by_any_line_that_is_shown() {
    let standin = Options { nodes: vec![Node::online(HOST, "web")], ..Options::default() };
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let folder = hostile_folder(&bench);
    let (bin, log) = (bench.folder().join("recorder"), bench.folder().join("arguments"));
    fs::create_dir(&bin).unwrap();
    let recorder = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >{}\n", log.display());
    fs::write(bin.join("ssm-proxy"), recorder).unwrap();
    fs::set_permissions(bin.join("ssm-proxy"), fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = |shell: &str, command: &str| {
        let _ = fs::remove_file(&log);
        let done = ssh_in(&bench, &folder, shell, &bin, command);
        let text = fs::read_to_string(&log).unwrap_or_else(|_| panic!("{command} was not started: {done}"));
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let has_files = |arguments: &[String]| arguments.iter().any(|argument| FILES.contains(&&**argument));
    assert!(has_files(&arguments("/bin/sh", "ssm-proxy %n %p")), "the scene is set: a bare token is a pattern");
    let shells = ["/bin/sh", "/bin/bash", "/bin/zsh"].into_iter().filter(|shell| Path::new(shell).exists());
    for shell in shells {
        for (name, text) in texts(&bench) {
            let commands = proxy_commands(&text);
            assert!(!commands.is_empty(), "{name} shows no ProxyCommand");
            for command in commands {
                let arguments = arguments(shell, &command);
                assert!(!has_files(&arguments), "{name}: {command} with {shell}: {arguments:?}");
                let hosts = arguments.iter().filter(|argument| *argument == PATTERN).count();
                assert_eq!(hosts, 1 + usize::from(command.contains("%r")), "{name}: {command}: {arguments:?}");
                assert!(command.contains("-- \"%") || command.contains("--target"), "{name}: {command}");
            }
        }
    }
    bench.finish();
}

#[test]
fn a_repository_has_no_key_pushed() {
    let bench = Bench::open();
    let folder = hostile_folder(&bench);
    let bin = bench.user().home().join("bin");
    for (command, pushed) in [("ssm-proxy -- \"%n\" %p", 0), ("ssm-proxy --target \"%h\"", 0), ("ssm-proxy %n %p", 1)] {
        let done = ssh_in(&bench, &folder, "/bin/sh", &bin, command);
        assert_eq!(bench.server().report().pushed_keys.len(), pushed, "{command}: {done}");
    }
    bench.finish();
}

#[test]
fn a_proxy_command_that_does_not_end_its_options_is_warned_of() {
    let bench = Bench::open();
    let warning = "this ProxyCommand does not end its options";
    let count = |proxy_command: &str| {
        let ssh = bench.ssh().args(["-o", &format!("ProxyCommand={proxy_command}"), HOST, "true"]);
        let done = ssh.run();
        (done.stderr.matches(warning).count(), done)
    };
    for (proxy_command, warnings) in [
        ("ssm-proxy -v %h %p", 1),
        ("ssm-proxy -v --target \"%h\"", 1),
        ("sh -c \"ssm-proxy -v --target '%h'; exit 1\"", 1),
        ("ssm-proxy --check %h %p", 1),
        ("ssm-proxy -v -- \"%h\" %p", 0),
        ("ssm-proxy --check -- \"%h\" %p", 0),
        ("ssm-proxy %h %p", 0),
    ] {
        let (found, done) = count(proxy_command);
        assert_eq!(found, warnings, "{proxy_command}: {done}");
    }
    let by_hand = bench.proxy().args(["-v", HOST]).run().ok();
    assert!(!by_hand.stderr.contains(warning), "{by_hand}");
    bench.finish();
}

#[test]
fn ssh_passes_no_host_on_that_is_an_option_or_a_command() {
    let bench = Bench::open();
    let log = bench.folder().join("pwned");
    fs::write(bench.user().ssh_config(), "Host *\n  ProxyCommand ssm-proxy -- \"%n\" %p\n").unwrap();
    let pwned = log.display();
    for host in [format!("--log-file={pwned}"), format!("i-0;touch {pwned}"), format!("$(touch${{IFS}}{pwned})")] {
        let done = bench.ssh().args(["--", &host, "true"]).run().code(255);
        assert!(!log.exists(), "{host}: {done}");
    }
    assert!(bench.finish().calls.is_empty(), "nothing was asked of the service");
}

#[test]
fn behind_two_dashes_a_host_is_no_option() {
    let bench = Bench::open();
    let log = bench.folder().join("pwned");
    let host = format!("--log-file={}", log.display());
    let done = bench.proxy().args(["--", &host, "22"]).run();
    assert!(done.status.code().is_some_and(|code| code > 2), "it is looked up as a name: {done}");
    assert!(!log.exists());
    bench.finish();
}

#[test]
fn a_printed_entry_holds_what_was_given_and_nothing_that_runs() {
    let bench = Bench::open();
    let pwned = bench.folder().join("pwned");
    let run = format!("touch {}", pwned.display());
    let commands = format!("$({run}) `{run}`;{run}& '$({run})' \"%h %% \\ !! #");
    let entries = bench.proxy().args(["--print-ssh-config", "--reason", &commands]).run().ok();
    let path = bench.user().ssh_config();
    let own = fs::read_to_string(&path).unwrap().replace("ProxyCommand ssm-proxy -- \"%h\" %p", "ProxyCommand false");
    fs::write(&path, format!("{}\n{own}", entries.text())).unwrap();
    assert_eq!(bench.ssh().args([HOST, "echo in"]).run().ok().text(), "in\n");
    assert!(!pwned.exists(), "a part of the option was run");
    let report = bench.finish();
    assert_eq!(report.sessions.first().unwrap().reason.as_deref(), Some(&*commands));
}

#[test]
fn an_entry_takes_no_second_line() {
    let bench = Bench::open();
    for [flag, value] in [
        ["--reason", "x\nProxyCommand touch pwned"],
        ["--profile", "x\nProxyCommand touch pwned"],
        ["--region", "x\nProxyCommand touch pwned"],
        ["--user", "x\nProxyCommand touch pwned"],
        ["--", "i-0\nProxyCommand touch pwned"],
        ["--", "web\" *"],
    ] {
        let done = bench.proxy().args(["--print-ssh-config", flag, value]).run();
        assert!(done.status.code().is_some_and(|code| code > 0), "{flag}: {done}");
        assert_eq!(done.text(), "", "{flag}");
    }
    bench.finish();
}

#[test]
fn a_file_that_nobody_writes_to_holds_nothing_up() {
    let bench = Bench::encrypted(Options::default());
    let fifo = bench.folder().join("fifo").display().to_string();
    let _ = bench.user().tool("mkfifo").arg(&fifo).run().ok();
    let profile = bench.user().home().join(".aws/config");
    fs::create_dir(profile.parent().unwrap()).unwrap();
    fs::write(&profile, format!("[profile fifo]\nca_bundle = {fifo}\n")).unwrap();
    let as_file = format!("file://{fifo}");
    let tool = |args: &[&str]| bench.proxy().args(args).arg(HOST).limit(Duration::from_secs(20));
    for (tool, code, said) in [
        (tool(&["--push-key", &fifo, "--user", "me"]), 78, format!("the public key {fifo} cannot be read")),
        (tool(&["--ca-bundle", &fifo]), 78, format!("the CA file {fifo} cannot be used")),
        (tool(&[]).env("AWS_CA_BUNDLE", &fifo), 78, format!("the CA file {fifo} cannot be used")),
        (
            tool(&[]).without("AWS_CA_BUNDLE").env("AWS_PROFILE", "fifo"),
            78,
            format!("the CA file {fifo} cannot be used"),
        ),
        (tool(&["--cli-input-json", &as_file]), 78, format!("{fifo} cannot be read")),
        (tool(&["--parameters", &as_file]), 2, format!("{fifo} cannot be read")),
    ] {
        let done = tool.run().code(code);
        assert!(done.stderr.contains(&format!("{said}: it is no regular file\n")), "{done}");
    }
    assert!(bench.finish().sessions.is_empty());
}
