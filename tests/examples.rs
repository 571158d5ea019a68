//! The files in `contrib/` that people paste are what they claim to be.

#![allow(clippy::expect_used, reason = "a test ends where a file cannot be read")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fixtures::{Bench, Tool};
use serde_json::Value;

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(name)
}

/// What ssh makes of this configuration for `host`: `ssh -G` prints it without connecting.
fn options_of(configuration: &Path, host: &str) -> BTreeSet<String> {
    let path = std::env::var_os("PATH").expect("a PATH");
    let ssh = Tool::new("ssh").env("PATH", path).arg("-F").arg(configuration);
    ssh.args(["-G", host]).run().ok().text().lines().map(str::to_owned).collect()
}

#[test]
fn ssh_reads_the_example_of_an_ssh_config() {
    let example = contrib("ssh_config.example");
    for (host, command, keys) in [
        ("i-0abc", "ssm-proxy -- \"%h\" %p", "accept-new"),
        ("mi-0abc", "ssm-proxy -- \"%h\" %p", "accept-new"),
        ("i-0abc.eu-west-1.prod", "ssm-proxy -- \"%h\" %p", "accept-new"),
        ("Web-1.eu-west-1", "ssm-proxy -- \"%n\" %p", "ask"),
        ("web-1.us-gov-west-1.prod.admin", "ssm-proxy -- \"%n\" %p", "ask"),
        ("10.0.1.17.ap-southeast-2.prod", "ssm-proxy -- \"%n\" %p", "ask"),
    ] {
        let options = options_of(&example, host);
        let wanted = [
            format!("proxycommand {command}"),
            format!("stricthostkeychecking {keys}"),
            "user ec2-user".to_owned(),
            "serveraliveinterval 30".to_owned(),
            "serveralivecountmax 20".to_owned(),
            // It hides what ssm-proxy says.
            "controlpersist no".to_owned(),
        ];
        for wanted in wanted {
            assert!(options.contains(&wanted), "{host} has no {wanted:?} but {options:#?}");
        }
    }
    let elsewhere = options_of(&example, "example.com");
    assert!(!elsewhere.iter().any(|option| option.starts_with("proxycommand")), "other hosts are left alone");
}

#[test]
fn the_blocks_that_are_commented_out_work_as_well() {
    let text = std::fs::read_to_string(contrib("ssh_config.example")).expect("the example");
    // A "#" right before a word is an option that waits; prose has a space there.
    let options = text.lines().map(|line| match line.strip_prefix('#') {
        Some(option) if option.starts_with("Host ") || option.starts_with("  ") && !option.starts_with("   ") => option,
        _ => line,
    });
    let folder = tempfile::tempdir().expect("a folder");
    let configuration = folder.path().join("ssh_config");
    std::fs::write(&configuration, options.collect::<Vec<_>>().join("\n")).expect("room for it");
    for (host, wanted) in [
        ("build", "hostname i-0123456789abcdef0"),
        ("build", "proxycommand ssm-proxy --profile staging --region eu-central-1 -- \"%h\" %p"),
        ("web", "proxycommand ssm-proxy --tag Role=web --tag Stage=prod -- \"%h\" %p"),
        ("fresh", "proxycommand ssm-proxy --wait=300 -- \"%n\" %p"),
        ("guest", "proxycommand ssm-proxy --push-key auto --user \"%r\" -- \"%h\" %p"),
        ("i-0abc.eu-west-1.prod", "proxycommand ssm-proxy -- \"%h\" %p"),
        ("i-0abc", "proxycommand ssm-proxy -- \"%h\" %p"),
    ] {
        let options = options_of(&configuration, host);
        assert!(options.contains(wanted), "{host} has no {wanted:?} but {options:#?}");
    }
}

#[test]
fn the_iam_policy_allows_what_is_needed_and_no_more() {
    let text = std::fs::read_to_string(contrib("iam-policy.json")).expect("the policy");
    let policy: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(policy["Version"], "2012-10-17");
    let statements = policy["Statement"].as_array().expect("statements");
    let list = |value: &Value| -> Vec<String> {
        let one = value.as_str().map(|one| vec![one.to_owned()]);
        one.unwrap_or_else(|| serde_json::from_value(value.clone()).expect("a string or strings"))
    };
    let actions: BTreeSet<_> = statements.iter().flat_map(|statement| list(&statement["Action"])).collect();
    let wanted = [
        "ssm:StartSession",
        "ssm:ResumeSession",
        "ssm:TerminateSession",
        "ssmmessages:OpenDataChannel",
        "ssm:DescribeInstanceInformation",
        "ec2-instance-connect:SendSSHPublicKey",
        "kms:GenerateDataKey",
    ];
    assert_eq!(actions, wanted.map(str::to_owned).into());
    // The look-up is the one action that IAM cannot restrict to resources.
    let (anywhere, somewhere): (Vec<_>, Vec<_>) =
        statements.iter().partition(|statement| list(&statement["Resource"]) == ["*"]);
    let anywhere: Vec<_> = anywhere.iter().flat_map(|statement| list(&statement["Action"])).collect();
    assert_eq!(anywhere, ["ssm:DescribeInstanceInformation"]);
    let resources: BTreeSet<_> = somewhere.iter().flat_map(|statement| list(&statement["Resource"])).collect();
    assert!(resources.iter().all(|resource| resource.starts_with("arn:aws:") && !resource.ends_with(":*")));
    assert!(resources.contains("arn:aws:ssm:*:*:document/AWS-StartSSHSession"));
    assert!(resources.contains("arn:aws:ssm:*:*:document/AWS-StartNonInteractiveCommand"));
    assert!(resources.contains("arn:aws:ssm:*:*:document/AWS-StartInteractiveCommand"));
    // This one is the account's own.
    assert!(resources.contains("arn:aws:ssm:*:111122223333:document/SSM-SessionManagerRunShell"));
    assert!(resources.contains("arn:aws:ssm:*:*:session/${aws:userid}-*"));
}

/// The lines of docs/shells.md, typed as they stand there. What is seen is the page's, but for the shell's prompt and the name
/// and system of the node.
#[test]
fn the_page_of_shells_shows_what_is_seen() {
    const NODE: &str = "Linux ip-10-0-1-17.ec2.internal 6.1.112-122.189.amzn2023.x86_64 #1 SMP x86_64 GNU/Linux";
    const SHELL: &str = "echo 'uname -a' | ssm-proxy --shell i-02573cafcfEXAMPLE";
    const COMMAND: &str = "ssm-proxy --exec i-02573cafcfEXAMPLE -- sh -c 'exit 7'; echo $?";
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/shells.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let bench = Bench::open();
    let see = |line: &str| bench.user().tool("sh").args(["-c", line]).run().ok().text().replace('\r', "");
    let (node, seen) = (see("uname -a"), see(SHELL));
    let prompt = seen.split("uname").next().unwrap_or_default();
    let shell = seen.replace(node.trim_end(), NODE).replace(prompt, "$ ");
    let typed = format!("$ {SHELL}\n{shell}$ {COMMAND}\n{}", see(COMMAND));
    let block: String = typed.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
    assert!(page.contains(&block), "docs/shells.md is to have\n{block}");
    bench.finish();
}
