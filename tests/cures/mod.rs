//! Every error in full: what provokes it, the line that says what failed, and the hint that says what cures it.
//!
//! A reader sees here what a user reads at three in the morning. Each text is that of the real binary, byte for byte;
//! what is in capitals stands for what differs from run to run.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

mod answers;
mod channel;
mod credentials;
mod kms;
mod network;
mod node;
mod page;
mod proxies;

use fixtures::standin::{ApiFault, ApiRule, Options};
use fixtures::{Bench, Done, HOST, Setup};

/// Fails unless this was said, of [`HOST`], and nothing else.
#[track_caller]
fn says(done: Done, code: i32, failed: &str, hint: &str) {
    says_of(HOST, done, code, failed, hint);
}

/// Fails unless this was said, and nothing else.
#[track_caller]
fn says_of(host: &str, done: Done, code: i32, failed: &str, hint: &str) {
    let done = done.code(code);
    let expected = format!("ssm-proxy: {host}: {failed}\n  hint: {hint}\n");
    assert!(done.stderr == expected, "these two lines were to be said:\n{expected}and these were:\n{}", done.stderr);
    assert!(done.stdout.is_empty(), "{done}");
    page::has(code, &expected);
}

fn bench(standin: Options) -> Bench {
    Bench::with(Setup { standin, ..Setup::default() })
}

fn rule(operation: &str, fault: ApiFault, times: u32) -> ApiRule {
    ApiRule { operation: operation.to_owned(), fault, skip: 0, times }
}
