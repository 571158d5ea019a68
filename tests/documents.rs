//! What the documents name is there: tests, files, and the headings that links lead to.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where a document cannot be read")]

use std::fs;
use std::path::{Path, PathBuf};

/// The folders that have documents, from the repository's root.
const FOLDERS: [&str; 15] = [
    "",
    "benches",
    "contrib",
    "contrib/packaging",
    "crates/aws",
    "crates/bond",
    "crates/channel",
    "crates/gateway",
    "crates/join",
    "crates/net",
    "crates/session",
    "crates/smux",
    "docs",
    "fuzz",
    "tests",
];
/// As many lines as a reader scrolls through once.
const README_LINES: usize = 90;
/// What a path in a document begins with, if it is one of the repository.
const ROOMS: [&str; 9] = ["src/", "crates/", "tests/", "contrib/", "docs/", "benches/", "fuzz/", "xtask/", ".github/"];

#[test]
fn what_the_documents_name_is_there() {
    let documents = documents();
    assert!(documents.len() >= 5, "{documents:?}");
    let problems: Vec<_> = documents.iter().flat_map(|path| problems(path, &read(path))).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn each_page_is_linked_from_the_readme_and_the_index() {
    let pages: Vec<_> = fs::read_dir(root().join("docs")).expect("the folder of pages").flatten().collect();
    let names = pages.iter().filter_map(|page| page.file_name().into_string().ok());
    let names = names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md");
    let (readme, index) = (read(&root().join("README.md")), read(&root().join("docs/README.md")));
    let site = read(&root().join("docs/SUMMARY.md"));
    for name in names {
        assert!(site.contains(&format!("]({name})")), "docs/SUMMARY.md has no link to {name}");
        assert!(readme.contains(&format!("](docs/{name})")), "README.md has no link to docs/{name}");
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "docs/README.md has no link to {name}");
    }
}

#[test]
fn the_readme_is_one_screen() {
    let text = read(&root().join("README.md"));
    assert!(text.lines().count() <= README_LINES, "README.md has {} lines: make it a page", text.lines().count());
}

#[test]
fn the_page_of_options_has_each_option() {
    let page = read(&root().join("docs/options.md"));
    let mut command = ssm_proxy::cli::command();
    command.build();
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let names = shown.filter_map(|argument| argument.get_long());
    // The AWS CLI's, which have no effect, are on its page; help and version are everybody's.
    let rest = read(&root().join("docs/aws-cli.md"));
    let missing: Vec<_> = names
        .filter(|name| !["help", "version"].contains(name))
        .filter(|name| ![&page, &rest].iter().any(|text| text.contains(&format!("`--{name}"))))
        .collect();
    assert!(missing.is_empty(), "docs/options.md has no row for these: {missing:?}");
}

#[test]
fn the_commands_of_getting_started_are_known() {
    let page = read(&root().join("docs/getting-started.md"));
    let blocks = page.lines().filter_map(|line| line.strip_prefix("    "));
    let typed: Vec<_> = blocks.filter(|line| line.starts_with("ssm-proxy ")).collect();
    assert!(typed.len() >= 4, "{typed:?}");
    for line in typed {
        let words = line.split(" >> ").next().unwrap_or_default().split(' ');
        let read = ssm_proxy::cli::Invocation::parse_from(words, ssm_proxy::cli::StartedBy::Person);
        assert!(read.is_ok(), "{line}: {read:?}");
    }
    // tests/install runs these; each is to be an option that the script has.
    let script = read(&root().join("contrib/install.sh"));
    let spans = page.lines().flat_map(spans).filter(|code| code.starts_with("sh install.sh --"));
    let options: Vec<_> = spans.filter_map(|code| code.split(' ').nth(2)).collect();
    assert!(options.len() >= 3, "{options:?}");
    for option in options {
        assert!(script.contains(&format!("\n          {option}) ")), "contrib/install.sh has no {option}");
    }
}

#[test]
fn a_threat_has_a_test() {
    let text = read(&root().join("SECURITY.md"));
    // Each table of threats has a head of two lines.
    let tables = text.split("| threat |").skip(1).filter_map(|table| table.split("\n\n").next());
    let rows: Vec<_> = tables.flat_map(|table| table.trim_end().lines().skip(2)).collect();
    assert!(rows.len() > 20, "the tables of threats are not what is read here: {rows:?}");
    for row in rows {
        assert!(row.split('|').count() == 5, "a row is threat, defence and test: {row}");
        let shown_by = row.rsplit('|').nth(1).unwrap_or_default();
        assert!(spans(shown_by).next().is_some(), "no test shows it: {row}");
    }
}

#[test]
fn every_file_of_tests_is_a_module() {
    let main = read(&root().join("tests/main.rs"));
    let files = fs::read_dir(root().join("tests")).expect("the folder of tests").flatten();
    let names = files.filter_map(|file| Some(file.file_name().to_str()?.strip_suffix(".rs")?.to_owned()));
    let missing: Vec<_> = names.filter(|name| name != "main" && !main.contains(&format!("\nmod {name};\n"))).collect();
    assert!(missing.is_empty(), "tests/main.rs has no mod line for these, so they never run: {missing:?}");
}

#[test]
fn what_is_not_there_is_found() {
    let text = "\
# A heading: of `its` own\n\
`tests/documents.rs: what_is_not_there_is_found` `tests/run documents` `tests/run what_is_not` [b](README.md#start)\n\
`tests/documents.rs` `contrib/demo --shell` [here](#a-heading-of-its-own) [there](https://example.com/x#y)\n\
`tests/documents.rs: read` `tests/documents.rs: nothing` `tests/nothing.rs: read` `tests/run nothing_of_this_name`\n\
`contrib/nothing --shell` [x](nothing.md) [y](README.md#nothing) [z](#nothing)\n\n    \
tests/run nothing_of_that_name\n";
    let mut found = problems(&root().join("a.md"), text);
    let expected = [
        "tests/documents.rs has no test read",
        "tests/documents.rs has no test nothing",
        "tests/nothing.rs has no test read",
        "tests/run nothing_of_this_name runs nothing",
        "contrib/nothing is no file",
        "nothing.md is no file",
        "README.md has no heading nothing",
        "a.md has no heading nothing",
        "tests/run nothing_of_that_name runs nothing",
    ];
    let mut expected = expected.map(|problem| format!("a.md: {problem}"));
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents() -> Vec<PathBuf> {
    let files = FOLDERS.iter().filter_map(|folder| fs::read_dir(root().join(folder)).ok()).flatten().flatten();
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// All that `text`, the document at `path`, names and that is not there.
fn problems(path: &Path, text: &str) -> Vec<String> {
    let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    let code = text.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with("tests/run "));
    let mut problems: Vec<_> = code.filter_map(|code| missing(path, code)).collect();
    problems.extend(text.lines().flat_map(spans).filter_map(|code| missing(path, code)));
    problems.extend(text.lines().flat_map(links).filter_map(|link| astray(path, text, link)));
    problems.into_iter().map(|problem| format!("{name}: {problem}")).collect()
}

/// What stands between backticks in a line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// What the links of a line lead to.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// What is wrong with the test or file that a piece of code in the document at `path` names, if it names one.
fn missing(path: &Path, code: &str) -> Option<String> {
    if let Some((file, function)) = code.split_once(".rs: ") {
        let text = fs::read_to_string(root().join(format!("{file}.rs"))).unwrap_or_default();
        return (!tests(&text).any(|test| test == function)).then(|| format!("{file}.rs has no test {function}"));
    }
    if let Some(test) = code.strip_prefix("tests/run ").and_then(|rest| rest.split(' ').next()) {
        return (!runs(test)).then(|| format!("tests/run {test} runs nothing"));
    }
    let word = code.split(' ').next().filter(|word| ROOMS.iter().any(|room| word.starts_with(room)))?;
    // What builds make, and patterns, are not files of the repository.
    let is_kept = !word.contains(['*', '…', '<']);
    let is_there = [Some(&*root()), path.parent()].into_iter().flatten().any(|folder| folder.join(word).exists());
    (is_kept && !is_there).then(|| format!("{word} is no file"))
}

/// Whether `tests/run NAME` runs a test: an option, a file of tests, or a part of a test's name. In capitals it stands
/// for any.
fn runs(name: &str) -> bool {
    let files = ["tests/NAME.rs", "tests/NAME/mod.rs", "crates/channel/tests/NAME/main.rs", "xtask/tests/NAME.rs"];
    let is_file = files.iter().any(|file| root().join(file.replace("NAME", name)).is_file());
    name.starts_with('-')
        || name.bytes().all(|byte| byte.is_ascii_uppercase())
        || is_file
        || test_files(&root().join("tests")).any(|text| tests(&text).any(|test| test.contains(name)))
}

/// The programs of tests in a folder.
fn test_files(folder: &Path) -> impl Iterator<Item = String> {
    let files = fs::read_dir(folder).expect("the folder of tests").flatten().map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).map(|path| read(&path))
}

/// The names of the tests in a Rust source.
fn tests(source: &str) -> impl Iterator<Item = &str> {
    source.split("test]\n").skip(1).filter_map(|rest| {
        let (_, function) = rest.split_once("fn ")?;
        function.split('(').next()
    })
}

/// What is wrong with a link of the document at `path`, if it leads into the repository.
fn astray(path: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { path.to_owned() } else { path.parent()?.join(file) };
    if !file.is_empty() && !target.exists() {
        return Some(format!("{file} is no file"));
    }
    let target_text = if file.is_empty() { text.to_owned() } else { fs::read_to_string(&target).unwrap_or_default() };
    let name = target.file_name()?.display();
    (!anchor.is_empty() && !headings(&target_text).any(|heading| heading == anchor))
        .then(|| format!("{name} has no heading {anchor}"))
}

/// The anchors of a document's headings, as code hosts make them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|heading| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    })
}
