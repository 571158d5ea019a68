//! What is read from command lines, and what is refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ssm_aws::{Limits, Overrides};
use ssm_net::NO_LIMIT;

use super::*;
use crate::diagnostics::ExitStatus;
use crate::public_key::KeySource;
use crate::target::{Alias, Node};

fn parse(args: &[&str]) -> Result<Invocation, Refusal> {
    Invocation::parse_from(["ssm-proxy"].iter().chain(args), StartedBy::Program)
}

/// What a person asks for who types this at a terminal.
fn typed(args: &[&str]) -> Action {
    Invocation::parse_from(["ssm-proxy"].iter().chain(args), StartedBy::Person).unwrap().action
}

fn usage_error(args: &[&str]) -> String {
    match parse(args) {
        Err(Refusal::Usage(error)) if error.exit_code() == 2 => error.to_string(),
        other => panic!("{args:?}: {other:?}"),
    }
}

fn plain() -> Invocation {
    let connection = Connection {
        host: "i-02573cafcfEXAMPLE".to_owned(),
        node: Node::Id("i-02573cafcfEXAMPLE".to_owned()),
        port: 22,
        document: "AWS-StartSSHSession".to_owned(),
        parameters: Parameters::from([("portNumber".to_owned(), vec!["22".to_owned()])]),
        reason: None,
        push_key: None,
        wait: Duration::ZERO,
        connect_timeout: Duration::from_secs(60),
        resume_timeout: Duration::from_secs(600),
        paced: true,
        bond: None,
    };
    Invocation {
        action: Action::Connect(connection),
        overrides: Overrides::default(),
        verbosity: Verbosity::Quiet,
        log_file: None,
        color: Color::Auto,
        ends_options: false,
    }
}

/// What an entry has of a command line without options.
fn no_options() -> Entry {
    Entry { options: Vec::new(), user: None, resume_timeout: Duration::from_secs(600) }
}

fn connection(args: &[&str]) -> Connection {
    match parse(args).unwrap().action {
        Action::Connect(connection) => connection,
        action => panic!("{args:?}: {action:?}"),
    }
}

#[test]
fn many_ways_to_say_the_same() {
    let id = "i-02573cafcfEXAMPLE";
    let cases: &[&[&str]] = &[
        &[id],
        &[id, "22"],
        &["--target", id],
        &["--target", id, id, "22"],
        &["--target", id, "--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=22"],
        &["--target", id, "--parameters", r#"portNumber=["22"]"#],
        &["--target", id, "--parameters", r#"{"portNumber":["22"]}"#],
        &["--parameters", r#"{"portNumber":"22"}"#, id],
        &[&format!("--target={id}"), "--parameters=portNumber=022", id, "22"],
        &[id, "--parameters", "{}"],
    ];
    for args in cases {
        assert_eq!(parse(args).unwrap(), plain(), "{args:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_option_arrives() {
    let invocation = parse(&[
        "--document-name",
        "My-Document",
        "--parameters",
        "portNumber=2222,host=db",
        "--reason",
        "ticket 42",
        "--profile",
        "prod",
        "--region",
        "eu-west-1",
        "--endpoint-url",
        "http://127.0.0.1:4566",
        "--ca-bundle",
        "~/ca.pem",
        "--no-verify-ssl",
        "--no-sign-request",
        "--cli-connect-timeout",
        "3",
        "--cli-read-timeout",
        "0",
        "--no-credential-cache",
        "--color",
        "off",
        "--connect-timeout",
        "5",
        "--resume-timeout",
        "0",
        "--no-pace",
        "--wait=300",
        "--push-key",
        "k.pub",
        "--user",
        "ec2-user",
        "-v",
        "--log-file",
        "x.log",
        "mi-0123456789abcdef0",
    ])
    .unwrap();
    let parameters =
        [("host", "db"), ("portNumber", "2222")].map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
    let connection = Connection {
        host: "mi-0123456789abcdef0".to_owned(),
        node: Node::Id("mi-0123456789abcdef0".to_owned()),
        port: 2222,
        document: "My-Document".to_owned(),
        parameters: parameters.into(),
        reason: Some("ticket 42".to_owned()),
        push_key: Some(PushKey { key: KeySource::File("k.pub".into()), user: "ec2-user".to_owned() }),
        wait: Duration::from_secs(300),
        connect_timeout: Duration::from_secs(5),
        resume_timeout: Duration::ZERO,
        paced: false,
        bond: None,
    };
    let expected = Invocation {
        action: Action::Connect(connection),
        overrides: Overrides {
            profile: Some("prod".to_owned()),
            region: Some("eu-west-1".to_owned()),
            endpoint_url: Some("http://127.0.0.1:4566".to_owned()),
            ssmmessages_endpoint_url: None,
            ca_bundle: Some("~/ca.pem".to_owned()),
            no_verify_ssl: true,
            no_sign_request: true,
            no_credential_cache: true,
            limits: Limits { connect: Some(Duration::from_secs(3)), read: Some(NO_LIMIT) },
        },
        verbosity: Verbosity::Steps,
        log_file: Some("x.log".into()),
        color: Color::Off,
        ends_options: false,
    };
    assert_eq!(invocation, expected);
}

#[test]
fn verbosity_counts() {
    for (args, expected) in [
        (&["i-0"][..], Verbosity::Quiet),
        (&["-v", "i-0"], Verbosity::Steps),
        (&["-vv", "i-0"], Verbosity::Debug),
        (&["-v", "-v", "-v", "i-0"], Verbosity::Debug),
        (&["--debug", "i-0"], Verbosity::Debug),
        (&["--debug", "-v", "i-0"], Verbosity::Debug),
    ] {
        assert_eq!(parse(args).unwrap().verbosity, expected, "{args:?}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn refuses_with_status_2() {
    let long = "x".repeat(257);
    let long_reason = format!(r#"{{"Reason":"{long}"}}"#);
    let cases: &[(&[&str], &str)] = &[
        (&["-v"], "no target given"),
        (&["i-0", "--target", "i-1"], "name different targets"),
        (&["i-0", "22", "--parameters", "portNumber=2222"], "differ"),
        (&["i-0", "0"], "0 is not in 1..=65535"),
        (&["i-0", "65536"], "65536 is not in 1..=65535"),
        (&["i-0", "ssh"], "invalid value 'ssh'"),
        (&["i-0", "--parameters", "portNumber=0"], "must be one port"),
        (&["i-0", "--parameters", "portNumber=22,23"], "must be one port"),
        (&["i-0", "--parameters", "portNumber=[]"], "must be one port"),
        (&["i-0", "--parameters", "portNumber"], "expected NAME=VALUE"),
        (&["i-0", "--reason", ""], "1 to 256"),
        (&["i-0", "--reason", &long], "1 to 256"),
        (&["i-0", "--endpoint-url", "localhost:4566"], "expected http://HOST"),
        (&["i-0", "--endpoint-url", "https://"], "expected http://HOST"),
        (&["i-0", "--region", ""], "a value is required"),
        (&["i-0", "--color", "sometimes"], "[possible values: on, off, auto]"),
        (&["i-0", "--regoin", "x"], "--region"),
        (&["i-0", "22", "extra"], "unexpected argument"),
        (&["i-0", "--tag", "a=b"], "leave --tag out"),
        (&["--tag", "web"], "expected KEY=VALUE"),
        (&["i-0", "--push-key", "auto"], "--user <USER>"),
        (&["--wait=soon", "i-0"], "invalid value 'soon'"),
        (&["i-0", "--output", "xml"], "[possible values: json, table, text, yaml, yaml-stream, off]"),
        (&["--list", "--output", "text"], "--list shows nodes as table or json, not as text"),
        (&["--list", "--query", "x"], "cannot be used with"),
        (&["--list", "--no-paginate"], "cannot be used with"),
        (&["--list", "--cli-input-json", "{}"], "cannot be used with"),
        (&["--list", "--generate-cli-skeleton"], "cannot be used with"),
        (&["--check", "--generate-cli-skeleton", "input", "i-0"], "cannot be used with"),
        (&["--generate-cli-skeleton", "i-0"], "[possible values: input, output]"),
        (&["--generate-cli-skeleton", "output", "i-0", "--target", "i-1"], "name different targets"),
        (&["i-0", "--cli-connect-timeout=-1"], "invalid value '-1'"),
        (&["i-0", "--cli-read-timeout", "soon"], "invalid value 'soon'"),
        (&["i-0", "--ca-bundle", ""], "a value is required"),
        (&["--cli-input-json", "{}"], "no target given"),
        (&["--cli-input-json", r#"{"Target":"i-0","Port":22}"#], "--cli-input-json: unknown key \"Port\""),
        (&["--cli-input-json", r#"{"Target":1}"#], "--cli-input-json: Target must be a string"),
        (&["i-0", "--cli-input-json", "i-0"], "--cli-input-json: not JSON"),
        (&["i-0", "--cli-input-json", &long_reason], "--cli-input-json: Reason: 257 characters"),
        (&["i-0", "--cli-input-json", r#"{"Parameters":{"portNumber":["x"]}}"#], "must be one port"),
        (&["i-0", "--parameters", "file:///nowhere.json"], "/nowhere.json cannot be read: "),
        (&["--wait", "30", "web"], "--wait takes its number with '=': --wait=30"),
        (&["--target", "i-0", "--list"], "cannot be used with"),
        (&["--list", "web", "22"], "cannot be used with"),
        (&["--list", "--wait"], "cannot be used with"),
        (&["--check", "--wait", "i-0"], "cannot be used with"),
        (&["i-0", "--install-plugin"], "cannot be used with"),
        (&["--install-plugin", "--list"], "cannot be used with"),
        (&["i-0", "--force"], "--install-plugin"),
        (&["--check", "--list"], "cannot be used with"),
        (&["--check"], "no target given"),
        (&["i-0", "--region", "a", "--region", "b"], "cannot be used multiple times"),
        (&["--shell"], "no target given"),
        (&["--shell", "i-0", "22"], "'--shell' cannot be used with '[PORT]'"),
        (&["--shell", "--exec", "i-0", "--", "ls"], "cannot be used with"),
        (&["--shell", "--check", "i-0"], "cannot be used with"),
        (&["--shell", "--list"], "cannot be used with"),
        (&["--shell", "--print-ssh-config", "i-0"], "cannot be used with"),
        (&["--shell", "--push-key", "auto", "--user", "me", "i-0"], "cannot be used with"),
        (&["--shell", "--user", "me", "i-0"], "cannot be used with"),
        (&["--exec", "--check", "i-0", "--", "ls"], "cannot be used with"),
        (&["--exec", "i-0", "22", "--", "ls"], "'--exec' cannot be used with '[PORT]'"),
        (&["-t", "i-0"], "--exec"),
        (&["--exec", "--", "ls"], "no target given"),
        (&["--exec", "i-0"], "no COMMAND given: it stands behind '--'"),
        (&["--exec", "i-0", "--"], "no COMMAND given: it stands behind '--'"),
        (&["--exec", "i-0", "uptime"], "no COMMAND given: it stands behind '--'"),
        (&["--exec", "i-0", "ls", "-l"], "no COMMAND given: it stands behind '--'"),
        (&["--exec", "i-0", "--", ""], "no COMMAND is named"),
        (&["--exec", "i-0", "--parameters", "command=ls", "--", "ls"], "give one of them"),
    ];
    for (args, expected) in cases {
        let message = usage_error(args);
        assert!(message.contains(expected), "{args:?}: {message}");
    }
}

#[test]
fn no_arguments_show_the_short_help() {
    assert!(usage_error(&[]).contains("Usage: ssm-proxy [OPTIONS] [--shell] <HOST>\n"));
}

#[test]
fn a_malformed_host_is_no_target() {
    for (host, message, hint) in [
        ("ecs:web", "names no node", "give an instance id (i-0123456789abcdef0)"),
        ("ec2-user@i-0", "is not an instance id or name", "leave out 'ec2-user@': ssh passes the user itself"),
    ] {
        match parse(&[host]) {
            Err(Refusal::Target { host: named, error }) => {
                assert_eq!(named, host);
                assert_eq!((error.status, error.message.as_str()), (ExitStatus::NoTarget, message));
                assert!(error.hint.starts_with(hint), "{error:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_the_host_says_wins_over_the_flags() {
    let flags = ["--region", "us-east-1", "--profile", "dev"];
    for (host, region, profile) in [
        ("i-0", "us-east-1", "dev"),
        ("i-0.eu-west-1", "eu-west-1", "dev"),
        ("web.eu-west-1.Prod.Admin", "eu-west-1", "Prod.Admin"),
    ] {
        let invocation = parse(&[&flags[..], &[host]].concat()).unwrap();
        assert_eq!(
            (invocation.overrides.region.as_deref(), invocation.overrides.profile.as_deref()),
            (Some(region), Some(profile))
        );
    }
    assert_eq!(connection(&["web.eu-west-1"]).node, Node::Alias(Alias::Name("web".to_owned())));
}

#[test]
fn a_tag_stands_in_for_the_name() {
    let tags = Node::Alias(Alias::Tags(vec!["Role=web".parse().unwrap(), "Stage=a b".parse().unwrap()]));
    let flags = ["--tag", "Role=web", "--tag", "Stage=a b"];
    let alone = connection(&flags);
    assert_eq!((alone.host.as_str(), &alone.node), ("Role=web Stage=a b", &tags));
    let invocation = parse(&[&flags[..], &["build.eu-west-1", "2222"]].concat()).unwrap();
    assert_eq!(invocation.overrides.region.as_deref(), Some("eu-west-1"));
    let named = connection(&[&flags[..], &["build.eu-west-1", "2222"]].concat());
    assert_eq!((named.host.as_str(), &named.node, named.port), ("build.eu-west-1", &tags, 2222));
}

#[test]
fn what_is_left_of_the_clis_command_changes_nothing() {
    for words in [&["ssm", "start-session"][..], &["start-session"]] {
        assert_eq!(parse(&[words, &["--target", "i-02573cafcfEXAMPLE"]].concat()).unwrap(), plain(), "{words:?}");
    }
    assert_eq!(connection(&["--", "start-session"]).node, Node::Alias(Alias::Name("start-session".to_owned())));
}

#[test]
fn two_dashes_end_the_options() {
    for (args, ends_options) in [
        (&["i-0", "22"][..], false),
        (&["--", "i-0", "22"], true),
        (&["-v", "--wait=5", "--", "i-0", "22"], true),
        (&["--wait", "--", "i-0"], true),
    ] {
        let invocation = parse(args).unwrap();
        assert_eq!(invocation.ends_options, ends_options, "{args:?}");
        assert!(matches!(invocation.action, Action::Connect(Connection { host, .. }) if host == "i-0"), "{args:?}");
    }
    assert_eq!(connection(&["--", "web", "2222"]).port, 2222);
    assert!(
        matches!(parse(&["--", "--push-key=x"]), Ok(Invocation { action: Action::Connect(c), .. }) if c.push_key.is_none())
    );
}

#[test]
fn waiting_takes_no_host_for_its_number() {
    for (args, seconds) in
        [(&["i-0"][..], 0), (&["--wait", "i-0", "22"], 120), (&["--wait=5", "i-0"], 5), (&["i-0", "--wait"], 120)]
    {
        assert_eq!(connection(args).wait, Duration::from_secs(seconds), "{args:?}");
    }
}

#[test]
fn a_bond_takes_no_host_for_its_number() {
    for (args, most) in [
        (&["i-0"][..], None),
        (&["--bond", "i-0", "22"], Some(4)),
        (&["--bond=16", "i-0"], Some(16)),
        (&["--bond=1", "--document-name", "AWS-StartSSHSession", "i-0"], Some(1)),
        (&["i-0", "--bond"], Some(4)),
    ] {
        assert_eq!(connection(args).bond, most, "{args:?}");
    }
    assert!(usage_error(&["--bond", "8", "i-0"]).contains("--bond takes its number with '=': --bond=8"));
    for number in ["0", "17", "x"] {
        assert!(usage_error(&[&format!("--bond={number}"), "i-0"]).contains("--bond"), "{number}");
    }
}

#[test]
fn a_bond_is_for_connections_alone() {
    for args in [
        &["--shell", "i-0"][..],
        &["--exec", "i-0", "--", "ls"],
        &["--document-name", "My-Document", "i-0"],
        &["--cli-input-json", r#"{"Target":"i-0","DocumentName":"My-Document"}"#],
    ] {
        assert!(usage_error(&[&["--bond"], args].concat()).contains("--bond"), "{args:?}");
    }
    assert!(usage_error(&["--bond", "-L", "1:x:2", "--document-name", "My-Document", "i-0"]).contains("--bond"));
    assert!(matches!(typed(&["--bond", "i-0"]), Action::Connect(_)), "a person's, too");
    for (given, meant) in [("--bond=8", "--bond=8"), ("--bond", "--bond=4")] {
        let Action::SshConfig(_, entry) = parse(&[given, "--print-ssh-config"]).unwrap().action else { panic!() };
        assert_eq!(entry.options, [Platform::HERE.quote(meant).unwrap()]);
    }
}

#[test]
fn the_connections_of_a_forward_may_have_bonds() {
    let Action::Forward(forwarding) = parse(&["-L", "1:db:2", "--bond=8", "i-0"]).unwrap().action else { panic!() };
    let bond = forwarding.bond.unwrap();
    assert_eq!((bond.document.as_str(), bond.bond), ("AWS-StartSSHSession", Some(8)));
    assert_eq!(bond.parameters, Parameters::from([("portNumber".to_owned(), vec!["22".to_owned()])]));
    assert_eq!(forwarding.forwards[0].1.document, "AWS-StartPortForwardingSessionToRemoteHost");
    let Action::Forward(forwarding) = parse(&["-L", "1:db:2", "i-0"]).unwrap().action else { panic!() };
    assert_eq!(forwarding.bond, None);
}

#[test]
fn a_limit_of_0_is_none() {
    let limits = |args: &[&str]| parse(&[args, &["i-0"]].concat()).unwrap().overrides.limits;
    assert_eq!(limits(&["--cli-connect-timeout", "0"]), Limits { connect: Some(NO_LIMIT), read: None });
    assert_eq!(limits(&["--cli-read-timeout", "0"]), Limits { connect: None, read: Some(NO_LIMIT) });
}

#[test]
fn a_check_has_what_a_connection_has() {
    let line = ["--reason", "why", "--tag", "Role=web", "--user", "me", "web", "2222"];
    let Action::Check(checked, entry, None) = parse(&[&["--check"], &line[..]].concat()).unwrap().action else {
        panic!("no check")
    };
    assert_eq!(checked, connection(&line));
    let options = ["--reason", "why"].map(str::to_owned).into();
    assert_eq!(entry, Some(Entry { options, user: Some("me".to_owned()), ..no_options() }));
    let Action::Check(_, entry, None) = parse(&["--check", "--reason", "two\nlines", "web"]).unwrap().action else {
        panic!("no check")
    };
    assert_eq!(entry, None, "what comes next has no place for it");
}

#[test]
fn a_report_has_its_place_and_needs_a_check() {
    let report = |args: &[&str]| match parse(&[&["--check", "i-0"], args].concat()).unwrap().action {
        Action::Check(_, entry, report) => {
            assert_eq!(entry.unwrap().options, Vec::<String>::new(), "no connection has it");
            report
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(report(&[]), None);
    assert_eq!(report(&["--report"]), Some(ReportPlace::Folder));
    assert_eq!(report(&["--report=-"]), Some(ReportPlace::Stdout));
    assert_eq!(report(&["--report=a/b.txt"]), Some(ReportPlace::File("a/b.txt".into())));
    for args in [&["--report", "i-0"][..], &["--report=x", "--shell", "i-0"], &["--report", "--list"]] {
        let error = usage_error(args);
        assert!(error.contains("--report is what --check writes: ssm-proxy --check --report HOST"), "{error}");
    }
}

#[test]
fn listing_takes_a_filter_in_place_of_a_host() {
    let listing = |filter: Option<&str>, tags: &[&str], output| {
        let filter = filter.map(str::to_owned);
        Action::List(Listing {
            filter,
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            output,
            entry: None,
        })
    };
    for (args, expected) in [
        (&["--list"][..], listing(None, &[], Output::Table)),
        (&["--list", "web"], listing(Some("web"), &[], Output::Table)),
        (&["--list", "--output", "json"], listing(None, &[], Output::Json)),
        (&["--list", "--output", "json", "web"], listing(Some("web"), &[], Output::Json)),
        (&["web", "--output=json", "--list", "--tag", "a=b"], listing(Some("web"), &["a=b"], Output::Json)),
    ] {
        assert_eq!(parse(args).unwrap().action, expected, "{args:?}");
    }
}

#[test]
fn the_plugin_is_installed_somewhere() {
    for (args, folder, force) in [
        (&["--install-plugin"][..], None, false),
        (&["--force", "--install-plugin"], None, true),
        (&["--install-plugin", "/usr/local/bin", "--force"], Some("/usr/local/bin"), true),
    ] {
        let installing = InstallPlugin { folder: folder.map(PathBuf::from), force };
        assert_eq!(parse(args).unwrap().action, Action::InstallPlugin(installing), "{args:?}");
    }
}

#[test]
fn reason_counts_characters_not_bytes() {
    assert!(parse(&["i-0", "--reason", &"é".repeat(256)]).is_ok());
}

#[test]
fn color_is_known_before_parsing() {
    for (args, expected) in [
        (&["ssm-proxy"][..], ColorChoice::Auto),
        (&["ssm-proxy", "--color", "on"], ColorChoice::Always),
        (&["ssm-proxy", "i-0", "--color=off"], ColorChoice::Never),
        (&["ssm-proxy", "--color=on", "--color=maybe"], ColorChoice::Always),
        (&["ssm-proxy", "--", "--color=on"], ColorChoice::Auto),
    ] {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        assert_eq!(color_of(&args), expected, "{args:?}");
    }
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn short_help_fits_a_screen() {
    let help = command().term_width(80).render_help().to_string();
    assert!(help.lines().count() <= 24, "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
}

#[test]
fn long_help_lists_the_exit_statuses() {
    let help = command().render_long_help().to_string();
    for status in [0, 1, 2, 68, 69, 75, 77, 78] {
        assert!(help.lines().any(|line| line.starts_with(&format!("{status:4}  "))), "{status}: {help}");
    }
}

/// The connection of a command line that has this JSON, too.
fn with_json(json: &str, args: &[&str]) -> Connection {
    connection(&[&["--cli-input-json", json], args].concat())
}

#[test]
fn json_says_what_flags_say() {
    let json = r#"{"Target":"i-02573cafcfEXAMPLE","DocumentName":"Doc","Reason":"why","Parameters":{"portNumber":["2222"],"host":["db"]}}"#;
    let flags = ["--document-name", "Doc", "--reason", "why", "--parameters", "portNumber=2222,host=db"];
    assert_eq!(with_json(json, &[]), connection(&[&flags[..], &["i-02573cafcfEXAMPLE"]].concat()));
    let skeleton = r#"{"Target":"i-02573cafcfEXAMPLE","DocumentName":"","Reason":"","Parameters":{"KeyName":[""]}}"#;
    assert_eq!(parse(&["--cli-input-json", skeleton]).unwrap(), plain());
}

#[test]
fn flags_win_over_json() {
    let json =
        r#"{"Target":"i-0","DocumentName":"Doc","Reason":"why","Parameters":{"portNumber":["22"],"host":["db"]}}"#;
    let parameters = |entries: &[(&str, &str)]| -> Parameters {
        entries.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect()
    };
    let both = [("portNumber", "22"), ("host", "db")];
    let with_port = [("portNumber", "2222"), ("host", "db")];
    for (args, host, document, reason, expected) in [
        (&[][..], "i-0", "Doc", "why", &both[..]),
        (&["i-1"], "i-1", "Doc", "why", &both),
        (&["i-1", "2222"], "i-1", "Doc", "why", &with_port),
        (&["--target", "web"], "web", "Doc", "why", &both),
        (&["--tag", "Role=web"], "Role=web", "Doc", "why", &both),
        (&["--document-name", "Other", "--reason", "because"], "i-0", "Other", "because", &both),
        (&["--parameters", "portNumber=80"], "i-0", "Doc", "why", &[("portNumber", "80")]),
    ] {
        let found = with_json(json, args);
        assert_eq!(
            (found.host.as_str(), found.document.as_str(), found.reason.as_deref()),
            (host, document, Some(reason)),
            "{args:?}"
        );
        assert_eq!(found.parameters, parameters(expected), "{args:?}");
    }
}

#[test]
fn the_target_of_json_is_what_host_may_be() {
    let invocation = parse(&["--region", "us-east-1", "--cli-input-json", r#"{"Target":"web-1.eu-west-1.prod"}"#]);
    let overrides = invocation.unwrap().overrides;
    assert_eq!((overrides.region.as_deref(), overrides.profile.as_deref()), (Some("eu-west-1"), Some("prod")));
    assert!(matches!(
        parse(&["--cli-input-json", r#"{"Target":"ecs:web"}"#]),
        Err(Refusal::Target { host, .. }) if host == "ecs:web"
    ));
}

#[test]
fn json_comes_from_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let name = |path: &Path| format!("file://{}", path.display());
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        std::fs::write(&path, text).unwrap();
        path
    };
    let path = write("input.json", r#"{"Target":"i-0","Reason":"from a file"}"#);
    assert_eq!(connection(&["--cli-input-json", &name(&path)]).reason.as_deref(), Some("from a file"));
    let path = write("parameters.json", r#"{"portNumber":["2222"]}"#);
    assert_eq!(connection(&["i-0", "--parameters", &name(&path)]).port, 2222);
    let missing = name(&folder.path().join("missing.json"));
    match parse(&["i-0", "--cli-input-json", &missing]) {
        Err(Refusal::File { flag: "--cli-input-json", error }) => {
            assert_eq!(error.status, ExitStatus::Config);
            assert!(error.message.contains("missing.json cannot be read: "), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_skeleton_needs_nothing_else() {
    for (args, expected) in [
        (&["--generate-cli-skeleton"][..], Skeleton::Input),
        (&["--generate-cli-skeleton", "input"], Skeleton::Input),
        (&["--generate-cli-skeleton", "output"], Skeleton::Output),
        (&["--generate-cli-skeleton=output"], Skeleton::Output),
        (&["--generate-cli-skeleton", "--target", "i-0"], Skeleton::Input),
        (&["--generate-cli-skeleton", "output", "i-0", "22"], Skeleton::Output),
        (&["i-0", "22", "--generate-cli-skeleton"], Skeleton::Input),
    ] {
        assert_eq!(parse(args).unwrap().action, Action::Skeleton(expected), "{args:?}");
    }
}

#[test]
fn what_means_nothing_here_changes_nothing() {
    let id = "i-02573cafcfEXAMPLE";
    for args in [
        &["--query", "SessionId"][..],
        &["--query", "not [ JMESPath"],
        &["--no-paginate"],
        &["--output", "text"],
        &["--output", "yaml-stream"],
        &["--cli-binary-format", "raw-in-base64-out", "--no-cli-pager", "--no-cli-auto-prompt"],
    ] {
        assert_eq!(parse(&[args, &[id]].concat()).unwrap(), plain(), "{args:?}");
    }
}

#[test]
fn options_may_be_abbreviated_where_that_is_clear() {
    let invocation = parse(&["--targ", "i-0", "--prof", "prod", "--reg=eu-west-1", "--doc", "Doc"]).unwrap();
    assert_eq!(invocation.overrides.profile.as_deref(), Some("prod"));
    assert_eq!(invocation.overrides.region.as_deref(), Some("eu-west-1"));
    assert!(usage_error(&["i-0", "--re", "x"]).contains("unexpected argument '--re'"), "--region, --reason, …");
}

/// A connection's document and parameters.
fn start(connection: &Connection) -> (&str, Vec<(&str, &str)>) {
    let parameters = connection.parameters.iter().map(|(name, values)| match values.as_slice() {
        [value] => (name.as_str(), value.as_str()),
        values => panic!("{name}: {values:?}"),
    });
    (&connection.document, parameters.collect())
}

#[test]
fn a_shell_is_asked_for_by_name_or_by_a_person() {
    let shell = |action| match action {
        Action::Shell(connection) => connection,
        action => panic!("{action:?}"),
    };
    let plain = |connection: &Connection| start(connection) == ("SSM-SessionManagerRunShell", vec![]);
    for args in
        [&["--shell", "web"][..], &["web", "--shell"], &["--shell", "--", "web"], &["--shell", "--target", "web"]]
    {
        let connection = shell(parse(args).unwrap().action);
        assert!(plain(&connection) && connection.host == "web", "{args:?}: {connection:?}");
        assert_eq!(shell(typed(args)), connection);
    }
    for args in [&["web"][..], &["--", "web"], &["ssm", "start-session", "--target", "web"]] {
        let connection = shell(typed(args));
        assert!(plain(&connection) && connection.host == "web", "{args:?}: {connection:?}");
        assert!(matches!(parse(args).unwrap().action, Action::Connect(_)), "{args:?}");
    }
    let every = ["--reason", "why", "--wait=5", "--connect-timeout", "6", "--resume-timeout", "7", "--no-pace"];
    let connection = shell(typed(&[&every[..], &["--tag", "Role=web"]].concat()));
    let seconds = [connection.wait, connection.connect_timeout, connection.resume_timeout].map(|wait| wait.as_secs());
    assert_eq!((connection.host.as_str(), connection.reason.as_deref(), seconds), ("Role=web", Some("why"), [5, 6, 7]));
    assert!(!connection.paced);
}

#[test]
fn a_document_is_started_with_the_parameters_that_are_given_and_no_other() {
    let json = r#"{"Target":"web","DocumentName":"Doc","Parameters":{"name":["value"]}}"#;
    let ours = ["--document-name", "Doc", "--parameters", "name=value"];
    let expected = ("Doc", vec![("name", "value")]);
    for args in [&[&ours[..], &["web"]].concat()[..], &["--cli-input-json", json]] {
        for action in [typed(args), parse(&[args, &["--shell"]].concat()).unwrap().action] {
            assert!(matches!(&action, Action::Shell(connection) if start(connection) == expected), "{action:?}");
        }
        let action = parse(&[args, &["--exec"]].concat()).unwrap().action;
        assert!(matches!(&action, Action::Exec(c, CommandKind::Plain) if start(c) == expected), "{action:?}");
        // A tunnel needs a port.
        assert_eq!(start(&connection(args)), ("Doc", vec![("name", "value"), ("portNumber", "22")]));
    }
    let port = ["--document-name", "Doc", "--parameters", "portNumber=80", "web"];
    assert!(matches!(typed(&port), Action::Shell(c) if start(&c) == ("Doc", vec![("portNumber", "80")])));
}

#[test]
fn what_is_of_use_to_ssh_alone_is_no_shell() {
    for args in [
        &["web", "22"][..],
        &["web", "80"],
        &["web", "--parameters", "portNumber=22"],
        &["web", "--document-name", "AWS-StartSSHSession"],
        &["web", "--user", "me"],
        &["web", "--user", "me", "--push-key", "auto"],
        &["web", "--cli-input-json", r#"{"Parameters":{"portNumber":["22"]}}"#],
    ] {
        assert_eq!(typed(args), parse(args).unwrap().action, "{args:?}");
        assert!(matches!(typed(args), Action::Connect(_)), "{args:?}");
    }
    assert!(matches!(typed(&["--check", "web"]), Action::Check(..)));
    assert!(matches!(typed(&["--list", "web"]), Action::List(_)));
    assert!(matches!(typed(&["web", "--generate-cli-skeleton", "output"]), Action::Skeleton(Skeleton::Output)));
}

#[test]
fn a_command_stands_behind_two_dashes() {
    let exec = |args: &[&str]| match parse(args).unwrap().action {
        Action::Exec(connection, kind) => (connection, kind),
        action => panic!("{args:?}: {action:?}"),
    };
    let text = r#"ls -l 'a b' '' "it's""#;
    let words = ["--", "ls", "-l", "a b", "", "it's"];
    for args in [&["--exec", "web"][..], &["--exe", "web"], &["-v", "web", "--exec"], &["--exec", "--target", "web"]] {
        let (connection, kind) = exec(&[args, &words].concat());
        let expected = ("AWS-StartNonInteractiveCommand", vec![("command", text), ("separateOutputStream", "true")]);
        assert_eq!((start(&connection), kind, &*connection.host), (expected, CommandKind::Plain, "web"), "{args:?}");
    }
    for args in [&["--exec", "-t", "web"][..], &["-tv", "--exec", "web"], &["web", "--exec", "--tty"]] {
        let (connection, kind) = exec(&[args, &words].concat());
        let expected = ("AWS-StartInteractiveCommand", vec![("command", text)]);
        assert_eq!(
            (start(&connection), kind, &*connection.host),
            (expected, CommandKind::OnTerminal, "web"),
            "{args:?}"
        );
    }
    let (connection, _) = exec(&["--exec", "web", "--", "echo", "--", "--list", "-h"]);
    assert_eq!(start(&connection).1[0], ("command", "echo -- --list -h"));
    let (connection, _) = exec(&["--exec", "--tag", "Role=web", "--", "uptime"]);
    assert_eq!((&*connection.host, start(&connection).1[0]), ("Role=web", ("command", "uptime")));
}

#[test]
fn the_parameters_of_a_command_may_be_given_too() {
    for (args, document, parameters) in [
        (
            &["--parameters", "command=uname -a"][..],
            "AWS-StartNonInteractiveCommand",
            &[("command", "uname -a"), ("separateOutputStream", "true")][..],
        ),
        (
            &["--parameters", "separateOutputStream=false", "--", "id"],
            "AWS-StartNonInteractiveCommand",
            &[("command", "id"), ("separateOutputStream", "false")],
        ),
        (&["--document-name", "Doc", "--", "id"], "Doc", &[("command", "id")]),
        (&["--document-name", "Doc"], "Doc", &[]),
        (
            &["--document-name", "AWS-StartNonInteractiveCommand", "--", "id"],
            "AWS-StartNonInteractiveCommand",
            &[("command", "id"), ("separateOutputStream", "true")],
        ),
    ] {
        let action = parse(&[&["--exec", "web"], args].concat()).unwrap().action;
        let Action::Exec(connection, _) = action else { panic!("{action:?}") };
        assert_eq!(start(&connection), (document, parameters.to_vec()), "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_command_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStringExt;

    let args = ["ssm-proxy", "--exec", "i-0", "--", "ls"].map(OsString::from).into_iter();
    let args = args.chain([OsString::from_vec(vec![0xff])]);
    match Invocation::parse_from(args, StartedBy::Program) {
        Err(Refusal::Usage(error)) => assert!(error.to_string().contains("COMMAND is not UTF-8"), "{error}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_option_of_start_session_is_one_here() {
    let command = command();
    let names: Vec<&str> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
    for name in [
        "target",
        "document-name",
        "reason",
        "parameters",
        "cli-input-json",
        "generate-cli-skeleton",
        "debug",
        "endpoint-url",
        "no-verify-ssl",
        "no-paginate",
        "output",
        "query",
        "profile",
        "region",
        "color",
        "no-sign-request",
        "ca-bundle",
        "cli-read-timeout",
        "cli-connect-timeout",
    ] {
        assert!(names.contains(&name), "--{name}");
    }
}

#[test]
fn entries_have_the_options_beside_them() {
    let entry = |args: &[&str]| match parse(args).unwrap().action {
        Action::SshConfig(hosts, entry) => (hosts, entry),
        action => panic!("{args:?}: {action:?}"),
    };
    assert_eq!(entry(&["--print-ssh-config"]), (vec![], no_options()));
    let (_, made) = entry(&["--print-ssh-config", "--resume-timeout", "7"]);
    assert_eq!(made.resume_timeout, Duration::from_secs(7));
    let (hosts, made) = entry(&[
        "--print-ssh-config",
        "i-0abc",
        "Web-1.eu-west-1",
        "--wait=300",
        "--reason",
        "it's 100% me",
        "-vv",
        "--push-key",
        "auto",
        "--user",
        "ubuntu",
        "--tag",
        "Role=web",
        "--profile",
        "prod",
        "--no-credential-cache",
    ]);
    let host = |name: &str, is_id| Host { name: name.to_owned(), is_id };
    assert_eq!(hosts, [host("i-0abc", true), host("Web-1.eu-west-1", false)]);
    assert_eq!(made.user.as_deref(), Some("ubuntu"));
    let quote = |word: &str| Platform::HERE.quote(word).unwrap();
    let words = ["--tag", "Role=web", "--wait=300", "--push-key", "auto", "--reason", "it's 100% me"].map(quote);
    let rest = ["--no-credential-cache", "--verbose", "--verbose", "--user", "\"%r\""].map(str::to_owned);
    assert_eq!(made.options, [&words[..], &rest].concat());
    let (_, made) = entry(&["--print-ssh-config", "--push-key", "auto", "--user", "%r"]);
    assert_eq!(made.user, None);
}

#[test]
fn entries_are_of_hosts_that_are_targets_and_of_lists_with_one_filter() {
    let Action::List(listing) = parse(&["--list", "--print-ssh-config", "web", "--tag", "A=b"]).unwrap().action else {
        panic!("no list")
    };
    assert_eq!(listing.filter.as_deref(), Some("web"));
    assert_eq!(listing.entry, Some(no_options()), "tags say what is listed");
    assert!(usage_error(&["--list", "web", "--print-ssh-config", "db"]).contains("--list takes one FILTER"));
    for flag in ["--reason", "--profile", "--region", "--user"] {
        let message = usage_error(&["--print-ssh-config", flag, "two\nlines"]);
        assert!(message.contains("no place for a line's end"), "{flag}: {message}");
    }
    assert!(usage_error(&["--print-ssh-config", "--user", "me %h"]).contains("one word"));
    assert!(usage_error(&["--print-ssh-config", "web\" *"]).contains("a quote in its name"));
    assert!(usage_error(&["--print-ssh-config", "--check"]).contains("cannot be used with"));
    assert!(matches!(parse(&["--print-ssh-config", "ecs:web"]), Err(Refusal::Target { .. })));
}
