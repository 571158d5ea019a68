//! The man page and the completions are what their readers, man and the shells, make of them.

#![allow(clippy::expect_used, reason = "a test ends where its files cannot be written or read")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use fixtures::{Done, Tool};
use tempfile::TempDir;

/// What `xtask dist` has made.
struct Dist {
    folder: TempDir,
}

impl Dist {
    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let task = tool(env!("CARGO_BIN_EXE_xtask")).args(["dist", "--out"]).arg(folder.path());
        let _ = task.run().ok();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("xtask has written it")
    }
}

/// A tool with nothing of the environment but where programs and cargo's files are.
fn tool(program: &str) -> Tool {
    ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .fold(Tool::new(program), |tool, (name, value)| tool.env(name, value))
        .env("LC_ALL", "C.UTF-8")
        .env("TERM", "dumb")
}

/// The page as `man` shows it, in lines of one width, and what it complains of.
fn shown(dist: &Dist) -> Done {
    tool("man").env("MANWIDTH", "100").args(["--warnings", "-l"]).arg(dist.path("ssm-proxy.1")).run().ok()
}

/// The `--options` that a text names.
fn options_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.len() > 2 && word.starts_with("--")).map(str::to_owned).collect()
}

/// The `--options` that people are told of.
fn options() -> BTreeSet<String> {
    let mut command = ssm_proxy::cli::command();
    command.build();
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    shown.filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

#[test]
fn the_man_page_names_every_option_and_no_other() {
    let text = shown(&Dist::make()).text();
    assert!(options().contains("--profile"));
    assert_eq!(options_in(&text), options(), "{text}");
}

#[test]
fn the_man_page_has_its_sections_and_a_text_for_each_option() {
    let text = shown(&Dist::make()).text();
    let sections: Vec<_> = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    // The first and the last line are the page's head and foot.
    let wanted = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "ARGUMENTS",
        "OPTIONS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "SIGNALS",
        "EXAMPLES",
        "SEE ALSO",
    ];
    assert_eq!(sections[1..], wanted, "{text}");
    let lines: Vec<_> = text.lines().collect();
    let silent = lines.windows(2).find(|pair| pair[0].trim_start().starts_with("--") && pair[1].trim().is_empty());
    assert_eq!(silent, None, "an option without a text");
}

#[test]
fn formatters_have_nothing_to_complain_of() {
    let dist = Dist::make();
    let page = dist.path("ssm-proxy.1");
    assert_eq!(shown(&dist).stderr, "");
    for device in ["-Tutf8", "-Tascii", "-Tps"] {
        let done = tool("groff").args(["-ww", "-man", device]).arg(&page).run().ok();
        assert_eq!(done.stderr, "", "groff {device}");
    }
}

#[test]
fn bash_completes_an_option() {
    let dist = Dist::make();
    let mut bash = tool("bash").args(["--norc", "--noprofile", "-i"]).on_terminal(24, 100);
    bash.press(&format!("source {} && echo loa''ded\n", dist.path("completions/ssm-proxy.bash").display()));
    bash.expect("loaded");
    bash.press("ssm-proxy --prof\t");
    bash.expect("--profile ");
    bash.press("\x15exit 7\n");
    assert_eq!(bash.finish().code(), Some(7));
}

#[test]
fn zsh_completes_an_option() {
    let dist = Dist::make();
    let mut zsh = tool("zsh").args(["-f", "-i"]).on_terminal(24, 100);
    let folder = dist.path("completions");
    zsh.press(&format!(
        "fpath=({} $fpath); autoload -U compinit && compinit -u -D && echo loa''ded\n",
        folder.display()
    ));
    zsh.expect("loaded");
    zsh.press("ssm-proxy --prof\t");
    zsh.expect("--profile");
    zsh.press("\x15exit 7\n");
    assert_eq!(zsh.finish().code(), Some(7));
}

#[test]
fn fish_completes_an_option() {
    let dist = Dist::make();
    let home = dist.path("home");
    fs::create_dir(&home).expect("room for it");
    let script =
        format!("source {}; complete -C 'ssm-proxy --prof'", dist.path("completions/ssm-proxy.fish").display());
    let done = tool("fish").env("HOME", home).args(["--no-config", "--command", &script]).run().ok();
    assert!(done.text().starts_with("--profile\t"), "{done}");
    assert_eq!(done.stderr, "");
}

#[test]
fn shells_that_no_package_brings_get_every_option_too() {
    let dist = Dist::make();
    for name in ["completions/_ssm-proxy.ps1", "completions/ssm-proxy.elv"] {
        let missing: Vec<_> = options().difference(&options_in(&dist.text(name))).cloned().collect();
        assert_eq!(missing, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn third_parties_are_the_crates_that_are_linked_and_their_licences() {
    let text = Dist::make().text("THIRD-PARTY");
    for linked in ["\nrustls 0.", "\nring 0.", "\naws-sdk-ssm 1.", "\ntokio 1."] {
        assert!(text.contains(linked), "{linked:?} is missing");
    }
    // Used by tests, by the bench and for building alone.
    for other in ["\nrcgen ", "\ncriterion ", "\ncc ", "\nclap_mangen ", "\nssm-proxy ", "\nssm-aws "] {
        assert!(!text.contains(other), "{other:?} is not linked");
    }
    for licence in ["Apache License", "Permission is hereby granted", "Mozilla Public License", "UNICODE LICENSE V3"] {
        assert!(text.contains(licence), "no text of {licence:?}");
    }
}
