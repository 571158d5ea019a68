//! Whoever answers in the place of AWS's API or gateway can fail a connection, and no more: it leads no request to
//! another host, fills no memory, and does not write on the user's terminal what it likes.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot set its scene")]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fixtures::standin::{ApiFault, ApiRule, Fault, Options};
use fixtures::{Bench, Done, HOST, Peer, Setup};

/// The most that a test's server sends: much more than is ever to be read.
const ENDLESS: usize = 512 << 20;
/// The most that may be taken of it, socket buffers and repeated calls included.
const TAKEN: usize = 64 << 20;

/// What plays with a terminal: a title, a colour, a cleared screen, a return, and text in reverse.
const PLAY: &str = "\u{1b}]0;evil\u{7}\u{1b}[31m\u{9b}2J\rtold\u{202e}dlot\u{2066}";

/// A server that answers each request by `answer`, after its head has been read.
fn answering(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || {
                let head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                if head.count() > 0 {
                    answer(&mut stream);
                }
            });
        }
    });
    address
}

/// A server that sends `head` and then `part` again and again; how many bytes were taken of it.
fn endless(head: &'static str, part: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let address = answering(move |stream| {
        let mut sent = stream.write(head.as_bytes());
        while sent.is_ok() && count.load(Ordering::Relaxed) < ENDLESS {
            sent = stream.write(&part);
            count.fetch_add(*sent.as_ref().unwrap_or(&0), Ordering::Relaxed);
        }
    });
    (address, taken)
}

/// Fails unless this ended with a message, and stderr holds nothing but text.
#[track_caller]
fn assert_harmless(done: &Done) {
    let odd = |c: char| c != '\n' && (c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
    assert!(!done.stderr.contains(odd), "{:?}", done.stderr);
    assert!(done.stderr.len() < 20_000, "{} bytes were told", done.stderr.len());
}

#[test]
fn an_answer_without_an_end_is_not_read_to_it() {
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x10000, b' ');
    chunk.extend(b"\r\n");
    let body = endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk);
    let head = endless("HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n".repeat(1000));
    for (address, taken) in [body, head] {
        let bench = Bench::open();
        let done = bench.proxy().args([HOST, "--endpoint-url", &format!("http://{address}")]).run().code(75);
        assert_eq!(done.stderr.lines().count(), 2, "{done}");
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken < TAKEN, "{taken} bytes were read");
        bench.finish();
    }
}

#[test]
fn nobody_is_led_to_another_host() {
    let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let there = elsewhere.local_addr().unwrap();
    let moved = answering(move |stream| {
        let answer = format!("HTTP/1.1 307 Elsewhere\r\nLocation: http://{there}/\r\nContent-Length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes());
    });
    let bench = Bench::open();
    for flag in ["--endpoint-url", "--ssmmessages-endpoint-url"] {
        let done = bench.proxy().args([HOST, "--connect-timeout", "3", flag, &format!("http://{moved}")]).run();
        assert!(done.status.code().is_some_and(|code| code > 0), "{done}");
        assert_eq!(done.stdout, b"");
    }
    elsewhere.set_nonblocking(true).unwrap();
    assert!(elsewhere.accept().is_err(), "the redirect was followed");
    bench.finish();
}

#[test]
fn what_the_api_says_does_not_play_with_the_terminal() {
    let said = PLAY.repeat(2000);
    let fault = ApiFault::Says(400, "AccessDeniedException".to_owned(), said);
    let api_rules = vec![ApiRule { operation: "StartSession".to_owned(), fault, skip: 0, times: u32::MAX }];
    let bench = Bench::with(Setup { standin: Options { api_rules, ..Options::default() }, ..Setup::default() });
    let done = bench.proxy().arg(HOST).run().code(77);
    assert!(done.stderr.contains("told"), "{done}");
    assert_harmless(&done);
    bench.finish();
}

#[test]
fn what_agent_and_service_say_does_not_play_with_the_terminal() {
    let mut standin = Options { ports: vec![(7, Peer::echo().address())], ..Options::default() };
    standin.agent.customer_message = format!("{PLAY}\n").repeat(2000);
    let bench = Bench::with(Setup { standin, ..Setup::default() });
    let mut proxy = bench.proxy().args([HOST, "7"]).start();
    proxy.write(b"up\n");
    proxy.expect_stdout("up");
    bench.fault(Fault::ChannelClosed(PLAY.repeat(2000)));
    let done = proxy.ended().code(1);
    assert_eq!(done.text(), "up\n");
    assert!(done.stderr.contains("told"), "{done}");
    assert_harmless(&done);
    bench.finish();
}
