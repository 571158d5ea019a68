//! Ctrl-C on a Windows console ends a session in order, while nothing flows and in the middle of a download.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test ends where its files cannot be written, and says its figures"
)]

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use fixtures::standin::SessionState;
use fixtures::{Bench, HOST, until};
use platforms::Scene;

/// How often it comes. A listener that is not there at each moment lets five of six kill the program.
const RUNS: usize = 10;

/// How long the moment may take to come in an emulator on a busy machine, and how long a session may take to end on the service.
const LIMIT: Duration = Duration::from_secs(60);
const ENDED: Duration = Duration::from_secs(5);

#[test]
#[ignore = "contrib/platforms runs it"]
fn while_nothing_flows() {
    in_order(&Scene::quiet());
}

#[test]
#[ignore = "contrib/platforms runs it"]
fn in_the_middle_of_a_download() {
    in_order(&Scene::download());
}

/// Lets Ctrl-C come at the moment of the scene.
fn in_order(scene: &Scene) {
    let bench = scene.bench();
    let ends: Vec<_> = (0..RUNS).map(|_| end(&bench, scene)).collect();
    let well = ends.iter().filter(|end| **end == (Some(0), SessionState::EndedByFlag)).count();
    println!("{well} of {RUNS} ended in order");
    assert_eq!(well, RUNS, "{ends:?}");
    bench.finish();
}

/// The exit status of the program that Ctrl-C comes to, and how its session ended.
fn end(bench: &Bench, &Scene { first, arrived, .. }: &Scene) -> (Option<i32>, SessionState) {
    let folder = bench.folder().join("console");
    let [input, output, now] = ["in", "out", "now"].map(|name| folder.join(name));
    fs::create_dir(&folder).unwrap();
    let _ = bench.user().tool("mkfifo").arg(&input).run().ok();
    // Open both ways, it waits for nobody and has no end.
    let mut stdin = File::options().read(true).write(true).open(&input).unwrap();
    stdin.write_all(first).unwrap();

    let starter = std::env::var("CTRL_C").expect("contrib/platforms sets CTRL_C");
    let arguments = ["sh", &folder.display().to_string(), &starter, HOST].map(str::to_owned);
    let line = r#"cd "$1" && exec "$2" now "$3" 7 <in >out"#;
    let terminal = bench.user().tool("sh").args(["-c", line]).args(arguments).on_terminal(24, 80);
    let has_arrived = || (fs::metadata(&output).ok()?.len() >= arrived as u64).then_some(());
    assert!(until(LIMIT, has_arrived).is_some(), "less than {arrived} bytes in {LIMIT:?}:\n{}", terminal.screen());
    fs::write(&now, "").unwrap();
    let status = terminal.finish().code();

    let _ = until(ENDED, || (bench.session().state != SessionState::Open).then_some(()));
    fs::remove_dir_all(&folder).unwrap();
    (status, bench.session().state)
}
