//! The page of all errors, `docs/errors.md`, which is made of what these tests see: `contrib/errors` makes it anew.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Fails unless this error, with this status, is on the page. With `ERRORS` set it is filed in that folder instead, in a file
/// of the test's name.
#[track_caller]
pub(super) fn has(code: i32, said: &str) {
    let block = format!("Exit status {code}:\n\n{}", indented(&without_what_differs(said)));
    if let Some(folder) = std::env::var_os("ERRORS") {
        let thread = std::thread::current();
        let path = Path::new(&folder).join(thread.name().unwrap());
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        return file.write_all(format!("{block}\n").as_bytes()).unwrap();
    }
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).unwrap();
    assert!(page.contains(&block), "contrib/errors makes docs/errors.md anew, which lacks this:\n{block}");
}

/// As Markdown shows it word for word.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// With words in capitals for ports and folders that are others in each run.
fn without_what_differs(text: &str) -> String {
    let folder = std::env::temp_dir().join("ssm-proxy-test-").display().to_string();
    let mut pieces = text.split(&folder);
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.find(|c: char| !c.is_ascii_alphanumeric()).map_or("", |at| &piece[at..]);
        whole.extend(["FOLDER", rest]);
    }
    without_ports(&whole)
}

/// Ports below 1000 are those that the user has named; what has more than five digits is no port.
fn without_ports(text: &str) -> String {
    let mut pieces = text.split(':');
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let port = if (4..=5).contains(&digits) { "PORT" } else { &piece[..digits] };
        whole.extend([":", port, &piece[digits..]]);
    }
    whole
}

#[test]
fn what_differs_is_left_out() {
    let folder = std::env::temp_dir().join("ssm-proxy-test-aB3").display().to_string();
    let said = format!("127.0.0.1:40123 refused; {folder}/home/.aws is not localhost:22");
    assert_eq!(without_what_differs(&said), "127.0.0.1:PORT refused; FOLDER/home/.aws is not localhost:22");
    assert_eq!(without_what_differs("arn:aws:iam::111122223333:user/me"), "arn:aws:iam::111122223333:user/me");
}
