//! The crates that the program is linked with, and the licences that they are given under, word for word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The packages whose crates these are: the program, and the joiner that goes with it.
const PROGRAMS: [&str; 2] = ["ssm-proxy", "ssm-proxy-join"];

/// How the names of files with licences begin, in upper case.
const LICENCE_FILES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// MIT's text, for crates that name this licence without enclosing it.
const MIT: &str = include_str!("../../LICENSE-MIT");

/// What the joiner is linked with, and a program that needs no libc of the system.
const MUSL: &str = "musl: MIT, https://musl.libc.org, Copyright (c) 2005-2020 Rich Felker, et al.\n";

/// What `cargo metadata` says, as far as it matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    /// Ours, by their ids.
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    manifest_path: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// Nothing for what is linked, else `dev` or `build`.
    kind: Option<String>,
}

/// The notices to go with the program as it is built for `target`, or for this machine.
///
/// # Errors
/// cargo's, those of reading the crates' sources, and a crate without a licence's text.
pub(crate) fn notices(target: Option<&str>) -> io::Result<String> {
    let target = target.map_or_else(
        || output(Command::new("rustc").args(["--print", "host-tuple"])),
        |target| Ok(target.to_owned()),
    )?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version=1", "--locked", "--filter-platform", &target]);
    let metadata = output(metadata.arg("--manifest-path").arg(manifest))?;
    let metadata: Metadata = serde_json::from_str(&metadata)?;
    let crates = linked(&metadata);
    Ok(list(&crates) + MUSL + &texts(&crates)?)
}

/// What a command prints.
fn output(command: &mut Command) -> io::Result<String> {
    let done = command.stderr(Stdio::inherit()).output()?;
    if !done.status.success() {
        return Err(io::Error::other(format!("{command:?} failed: {}", done.status)));
    }
    String::from_utf8(done.stdout).map_err(io::Error::other)
}

/// The crates of others that are linked with the program, by name.
fn linked(metadata: &Metadata) -> Vec<&Package> {
    let nodes: BTreeMap<_, _> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut open: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| PROGRAMS.contains(&&*package.name))
        .map(|package| package.id.as_str())
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let dependencies = nodes.get(id).into_iter().flat_map(|node| &node.deps);
            let linked = dependencies.filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none()));
            open.extend(linked.map(|dependency| dependency.pkg.as_str()));
        }
    }
    let mut crates: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| seen.contains(package.id.as_str()) && !metadata.workspace_members.contains(&package.id))
        .collect();
    crates.sort_by_key(|package| (&package.name, &package.version));
    crates
}

/// The crates, one a line.
fn list(crates: &[&Package]) -> String {
    let mut list = format!(
        "ssm-proxy and its joiner are linked with Rust's standard library (https://www.rust-lang.org, MIT OR Apache-2.0) and with \
         these {} crates.\nTheir licences follow, word for word, each with the crates that enclose it.\n\n",
        crates.len()
    );
    for package in crates {
        let license = package.license.as_deref().unwrap_or("see below");
        list.push_str(&format!("{} {}: {license}", package.name, package.version));
        if let Some(repository) = &package.repository {
            list.push_str(&format!(", {repository}"));
        }
        list.push('\n');
    }
    list
}

/// The licences, each once.
fn texts(crates: &[&Package]) -> io::Result<String> {
    // By their words: the same text comes with other line breaks.
    let mut texts: BTreeMap<Vec<String>, (String, Vec<String>)> = BTreeMap::new();
    for package in crates {
        for text in texts_of(package)? {
            let words = text.split_whitespace().map(str::to_owned).collect();
            let crates = &mut texts.entry(words).or_insert_with(|| (text, Vec::new())).1;
            let name = format!("{} {}", package.name, package.version);
            if crates.last() != Some(&name) {
                crates.push(name);
            }
        }
    }
    let mut texts: Vec<_> = texts.into_values().collect();
    texts.sort_by(|one, other| one.1.cmp(&other.1));
    let rule = "-".repeat(80);
    Ok(texts
        .iter()
        .map(|(text, crates)| format!("\n{rule}\n{}\n{rule}\n\n{}\n", crates.join(", "), text.trim_end()))
        .collect())
}

/// The licences that a crate encloses.
fn texts_of(package: &Package) -> io::Result<Vec<String>> {
    let folder = Path::new(&package.manifest_path).parent().unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        if LICENCE_FILES.iter().any(|start| name.starts_with(start)) && entry.file_type()?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    if !files.is_empty() {
        return files.iter().map(fs::read_to_string).collect();
    }
    match package.license.as_deref() {
        Some("MIT") => Ok(vec![mit(&package.name)]),
        other => Err(io::Error::other(format!("{} encloses no licence; it names {other:?}", package.name))),
    }
}

/// MIT's text, of the authors of a crate that does not say who they are.
fn mit(name: &str) -> String {
    let line = |line: &str| {
        if line.starts_with("Copyright") {
            format!("Copyright (c) the authors of {name}\n")
        } else {
            format!("{line}\n")
        }
    };
    MIT.lines().map(line).collect()
}
