//! The joiner as a program, against clients that are honest and clients that are not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it cannot set its scene, or where its connections fail"
)]

mod client;
mod program;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use ssm_bond::opening::{Refusal, Secret};

use client::{Client, Refused};
use program::Joiner;

/// A server that sends back what it gets, and how much each connection has brought it.
fn echo() -> SocketAddr {
    each(|mut stream| {
        let mut reader = stream.try_clone().unwrap();
        let _ = std::io::copy(&mut reader, &mut stream);
    })
}

/// A server that does this with each connection.
fn each(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn secret(byte: u8) -> Option<Secret> {
    Some(Secret::new([byte; 32]))
}

#[test]
fn bytes_come_back_over_one_link_and_over_several() {
    let joiner = Joiner::with_secret(echo(), [7; 32]);
    let mut client = Client::begin(joiner.first(), secret(7), "").unwrap();
    client.echoes(&noise(100_000));
    for link in 1..=4 {
        client.join(link).unwrap();
    }
    client.echoes(&noise(3_000_000));
    client.finishes();
}

#[test]
fn a_wrong_secret_is_refused_and_the_destination_gets_nothing() {
    let (sender, got) = mpsc::channel();
    let destination = each(move |mut stream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    let joiner = Joiner::with_secret(destination, [7; 32]);
    for _ in 0..20 {
        assert_eq!(Client::begin(joiner.first(), secret(8), "").err(), Some(Refused(Refusal::Proof)));
    }
    let mut honest = Client::begin(joiner.first(), secret(7), "").unwrap();
    honest.send(b"from the honest one");
    honest.finishes();
    let brought = got.iter().find(|bytes| !bytes.is_empty()).unwrap();
    assert_eq!(brought, b"from the honest one");
}

#[test]
fn a_bond_is_joined_by_its_id_and_its_key_alone() {
    let joiner = Joiner::with_secret(echo(), [7; 32]);
    let mut honest = Client::begin(joiner.first(), secret(7), "").unwrap();
    let stranger = Client::begin(joiner.first(), secret(7), "").unwrap();
    // The id is guessed.
    let guessed = honest.impostor([9; 16], &honest);
    assert_eq!(guessed.err(), Some(Refused(Refusal::NoSuchBond)));
    // It is known, but not the key.
    let known = honest.impostor(honest.bond_id(), &stranger);
    assert_eq!(known.err(), Some(Refused(Refusal::Proof)));
    honest.echoes(&noise(10_000));
}

#[test]
fn a_thousand_connections_that_say_nothing_are_bounded_and_harmless() {
    let joiner = Joiner::with_secret(echo(), [7; 32]);
    let mut honest = Client::begin(joiner.first(), secret(7), "").unwrap();
    let mut held = Vec::new();
    for number in 0..1000 {
        let port = if number % 2 == 0 { joiner.first() } else { joiner.join() };
        let Ok(mut stream) = TcpStream::connect(port) else { continue };
        match number % 4 {
            // Half an answer, and something else than an answer.
            1 => drop(stream.write_all(b"ssmjoin\x01half")),
            2 => drop(stream.write_all(b"GET / HTTP/1.1\r\n\r\n")),
            _ => {}
        }
        held.push(stream);
    }
    honest.echoes(&noise(50_000));
    Client::begin(joiner.first(), secret(7), "").unwrap().echoes(b"in spite of all");
    assert!(joiner.descriptors() < 120, "{} descriptors", joiner.descriptors());
    assert!(joiner.memory() < 8 << 20, "{} bytes", joiner.memory());
    let log = joiner.ends();
    assert!(log.contains("too many connections that prove nothing: the oldest is closed"), "{log}");
}

#[test]
fn a_bond_outlives_all_its_links() {
    let joiner = Joiner::with_secret(echo(), [7; 32]);
    let mut client = Client::begin(joiner.first(), secret(7), "").unwrap();
    client.join(1).unwrap();
    client.echoes(&noise(20_000));
    // What is under way is lost with the links.
    client.send(&noise(30_000));
    client.drop_links();
    client.join(2).unwrap();
    client.expects(&noise(30_000));
    client.finishes();
}

#[test]
fn links_die_in_the_middle_of_bulk() {
    let joiner = Joiner::with_secret(echo(), [7; 32]);
    let mut client = Client::begin(joiner.first(), secret(7), "").unwrap();
    for link in 1..=3 {
        client.join(link).unwrap();
    }
    for next in 4..20 {
        client.send(&noise(200_000));
        client.drop_link(next - 4);
        client.join(next).unwrap();
        client.expects(&noise(200_000));
    }
    client.finishes();
}

#[test]
fn without_a_secret_no_destination_is_named() {
    let joiner = Joiner::of_systemd(echo());
    let elsewhere = echo().to_string();
    let refused = Client::begin(joiner.first(), None, &elsewhere).err();
    assert_eq!(refused, Some(Refused(Refusal::Destination)));
    Client::begin(joiner.first(), None, "").unwrap().echoes(b"its own");
}

#[test]
fn with_one_it_leads_where_it_is_told_to_and_nothing_of_its_own_destination_comes() {
    let banner = each(|mut stream| drop(stream.write_all(b"SSH-2.0-of-its-own\r\n")));
    let joiner = Joiner::with_secret(banner, [7; 32]);
    let mut client = Client::begin(joiner.first(), secret(7), &echo().to_string()).unwrap();
    client.echoes(b"elsewhere");
    client.finishes();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let refused = Client::begin(joiner.first(), secret(7), &closed.to_string()).err();
    assert_eq!(refused, Some(Refused(Refusal::Destination)));
}

#[test]
fn a_destination_that_reads_nothing_costs_a_bounded_memory() {
    let joiner = Joiner::with_secret(each(|stream| drop((thread::park(), stream))), [7; 32]);
    let mut client = Client::begin(joiner.first(), secret(7), "").unwrap();
    client.join(1).unwrap();
    let taken = client.pours(64 << 20);
    assert!(taken < 32 << 20, "{taken} bytes were taken");
    assert!(joiner.memory() < 24 << 20, "{} bytes", joiner.memory());
    // Others do not notice.
    let mut other = Client::begin(joiner.first(), secret(7), &echo().to_string()).unwrap();
    other.echoes(&noise(100_000));
}

#[test]
fn frames_that_no_client_sends_end_their_link_alone() {
    let joiner = Joiner::with_secret(echo(), [7; 32]);
    let mut client = Client::begin(joiner.first(), secret(7), "").unwrap();
    client.join(1).unwrap();
    client.raw(1, &[1, 0, 9, 255, 255, 255, 255, 255, 255, 255, 255, 0]);
    client.echoes(&noise(50_000));
    client.finishes();
}

#[test]
fn the_secret_is_not_to_be_seen() {
    let joiner = Joiner::with_secret(echo(), [0x5e; 32]);
    let hex = "5e".repeat(32);
    Client::begin(joiner.first(), secret(0x5e), "").unwrap().echoes(b"in");
    let seen = format!("{}{}", joiner.of_proc("cmdline"), joiner.of_proc("environ"));
    assert!(!seen.contains(&hex), "{seen}");
    let log = joiner.ends();
    assert!(!log.contains(&hex) && !log.contains("5e5e"), "{log}");
}

#[test]
fn it_ends_when_nobody_has_needed_it() {
    let joiner = Joiner::idle(echo(), 0);
    assert!(joiner.has_ended().success());
}
