//! Web pages through a forward.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};

use fixtures::{Bench, Peer, noise};

use super::{Forward, bench, leads, total};

/// Answers each request by what `page` makes of its path, and goes on for as long as its client does.
fn server(page: fn(&str) -> Vec<u8>) -> Peer {
    Peer::each(move |_, stream| {
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        while let Some(request) = lines.next() {
            let headers: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let body = page(request.split(' ').nth(1).unwrap_or_default());
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            let is_last = headers.iter().any(|line| line.eq_ignore_ascii_case("connection: close"));
            if (&stream).write_all(&[head.as_bytes(), &body].concat()).is_err() || is_last {
                return;
            }
        }
    })
}

/// For `/LENGTH` so many bytes.
fn bytes(path: &str) -> Vec<u8> {
    noise(1, path.trim_start_matches('/').parse().unwrap_or(0))
}

/// A page with thirty scripts, and those, which count themselves.
#[cfg(target_os = "linux")]
fn scripts(path: &str) -> Vec<u8> {
    let text = match path {
        "/" => {
            let scripts: String = (0..30).map(|number| format!("<script src=/{number}></script>")).collect();
            format!("<!doctype html><p id=count>0</p>{scripts}")
        }
        // As large as scripts are.
        _ => format!("document.getElementById('count').textContent++ // {}", "x".repeat(10_000)),
    };
    text.into_bytes()
}

/// Runs curl for all these lengths, and fails unless each arrives.
fn curl(bench: &Bench, forward: &Forward, lengths: impl Iterator<Item = usize>, options: &[&str]) {
    let mut config = String::new();
    let mut wanted = 0;
    for length in lengths {
        let url = format!("http://127.0.0.1:{}/{length}", forward.ports[0]);
        writeln!(config, "url = {url}\noutput = /dev/null").unwrap();
        wanted += length;
    }
    let file = bench.folder().join("curl.config");
    std::fs::write(&file, config).unwrap();
    let done = bench
        .user()
        .tool("curl")
        .args(["-sS", "--fail", "-w", "%{size_download}\n", "-K"])
        .arg(&file)
        .args(options)
        .run()
        .ok();
    let came: usize = done.text().lines().map(|line| line.parse::<usize>().unwrap()).sum();
    assert_eq!(came, wanted, "{done}");
}

#[test]
fn a_thousand_short_connections() {
    let bench = bench(&[leads("web.internal:80", server(bytes).address())]);
    let forward = Forward::to(&bench, &["web.internal:80"], &[]);
    let options = ["--header", "Connection: close", "--parallel", "--parallel-max", "20"];
    curl(&bench, &forward, (0..1000).map(|number| number % 50), &options);
    let _ = forward.end();
    let report = bench.finish();
    assert_eq!((total(&report, |counts| counts.streams), total(&report, |counts| counts.refused)), (1000, 0));
}

/// As a browser loads them.
#[test]
fn a_page_with_thirty_resources() {
    let bench = bench(&[leads("web.internal:80", server(bytes).address())]);
    let forward = Forward::to(&bench, &["web.internal:80"], &[]);
    curl(&bench, &forward, (1..=30).map(|number| number * 1000), &["--parallel", "--parallel-max", "30"]);
    let _ = forward.end();
    bench.finish();
}

#[test]
#[cfg(target_os = "linux")]
fn a_browser_loads_a_page_with_thirty_scripts() {
    let bench = bench(&[leads("web.internal:80", server(scripts).address())]);
    let forward = Forward::to(&bench, &["web.internal:80"], &[]);
    let options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"];
    let profile = format!("--user-data-dir={}", bench.folder().join("chromium").display());
    let url = format!("http://127.0.0.1:{}/", forward.ports[0]);
    let done = bench.user().tool("chromium").args(options).args([profile, url]).run().ok();
    assert!(done.text().contains("<p id=\"count\">30</p>"), "{done}");
    let _ = forward.end();
    bench.finish();
}
