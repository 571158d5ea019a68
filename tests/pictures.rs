//! The pictures in docs/images are text in two looks, that does nothing but be seen. contrib/picture makes the recording and the
//! plot; the others are drawings.

#![allow(clippy::expect_used, clippy::panic, reason = "a test ends where a picture cannot be read")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// More than this is slow to load for a reader of the README.
const BYTES: usize = 150_000;

#[test]
fn a_picture_is_xml_with_two_looks_and_does_nothing() {
    for path in pictures() {
        let (name, text) = (path.display(), read(&path));
        python(&["-c", "import sys, xml.dom.minidom as xml; xml.parse(sys.argv[1])", &path.display().to_string()]);
        assert!(text.contains("@media (prefers-color-scheme:dark)"), "{name} has no dark look");
        assert!(text.contains("<title") && text.contains("</text>"), "{name} has nothing to be read aloud");
        assert!(text.len() <= BYTES, "{name} has {} bytes", text.len());
        // A page's picture runs nothing, and fetches nothing.
        let style = text.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap_or_default();
        for code in tags(&text).chain([style]) {
            for banned in ["script", "foreignObject", "image", "href=", "url(", "@import", " on"] {
                assert!(!code.contains(banned), "{name}: {banned} in {code}");
            }
        }
    }
}

#[test]
fn a_picture_is_on_a_page() {
    let files = fs::read_dir(root().join("docs")).expect("the folder of pages").flatten().map(|file| file.path());
    let files = files.chain([root().join("README.md")]);
    let pages: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "md")).map(|page| read(&page)).collect();
    for path in pictures() {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name in ASCII");
        assert!(pages.iter().any(|page| page.contains(&format!("images/{name})"))), "no page shows {name}");
    }
}

#[test]
fn the_plot_has_the_figures_of_the_page() {
    let page = root().join("docs/performance.md").display().to_string();
    let drawn = python(&["contrib/picture-plot.py", &page]);
    let kept = read(&root().join("docs/images/performance.svg"));
    assert!(drawn == kept, "the table was changed: contrib/picture performance docs/performance.md draws it anew");
    // And what is drawn follows the table.
    let text = read(&root().join("docs/performance.md"));
    let row = text.lines().find(|line| line.starts_with("| 10 login |")).expect("a row of a login");
    let result = row.split('|').nth(3).map(str::trim).expect("its result");
    assert!(kept.contains(&format!(">{result}</text>")), "{result} is not in the plot");
}

#[test]
fn the_recording_is_of_the_demo() {
    let (picture, demo) = (read(&root().join("docs/images/demo.svg")), read(&root().join("contrib/demo")));
    let quoted = demo.lines().filter_map(|line| line.trim_start().strip_prefix("title '")?.strip_suffix('\''));
    let shown: Vec<_> = quoted.filter(|title| picture.contains(&format!(">{title}</tspan>"))).collect();
    for title in ["Log in", "SHA-256"] {
        assert!(shown.contains(&title), "{title} is not among what is shown: {shown:?}");
    }
    assert!(picture.contains("nothing is left behind."), "the demo was not recorded to its end");
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn pictures() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("docs/images")).expect("the folder of pictures").flatten();
    let paths: Vec<_> = files.map(|file| file.path()).collect();
    assert!(paths.len() >= 2, "{paths:?}");
    paths
}

/// What stands between angle brackets.
fn tags(text: &str) -> impl Iterator<Item = &str> {
    text.split('<').skip(1).filter_map(|rest| rest.split('>').next())
}

/// What this command of Python prints; it has to end with 0.
fn python(arguments: &[&str]) -> String {
    let done = Command::new("python3").args(arguments).current_dir(root()).output();
    let done = done.expect("no python3 on this machine: tests/run installs it");
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}
