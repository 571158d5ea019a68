//! Both ends of an opening, on a table.

use super::*;

const BOND: [u8; 16] = [2; 16];

fn greeting(port: Port, needs_secret: bool) -> Greeting {
    let nonce = match port {
        Port::First => [1; 32],
        Port::Join => [6; 32],
    };
    Greeting { needs_secret, any_destination: needs_secret, port, join_port: 10123, nonce }
}

fn secret() -> Secret {
    Secret::new([5; 32])
}

fn first(destination: &str) -> FirstLink {
    FirstLink { bond_id: BOND, client_nonce: [3; 32], seed: [4; 32], destination: destination.to_owned() }
}

/// A greeting with a secret, and what answers it.
fn guarded(destination: &str) -> (Greeting, Vec<u8>, BondKey) {
    let greeting = greeting(Port::First, true);
    let (answer, key) = answer_first(&greeting, Some(&secret()), &first(destination)).unwrap();
    (greeting, answer, key)
}

fn read(greeting: &Greeting, answer: &[u8]) -> Result<AnswerReader, OpeningError> {
    let mut reader = AnswerReader::new(greeting.clone());
    reader.take(answer)?;
    Ok(reader)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_are_those_of_the_tables() {
    let (greeting, answer, key) = guarded("localhost:1");
    assert_eq!(greeting.encode(), *[b"ssmjoin\x01\x03\x00\x27\x8b", &[1; 32][..]].concat());
    let claim = [b"ssmjoin\x01", &BOND[..], &[0; 4], &[3; 32], &[4; 32], b"\x0blocalhost:1"].concat();
    let (written, written_tag) = answer.split_at(answer.len() - 32);
    assert_eq!(written, claim);

    // Computed with Python's hmac and hashlib.
    assert_eq!(hex(written_tag), "106a182fb19d7cc10b140764d2d9deea83d75729146a9db796a240c8598d8b5c");
    assert_eq!(hex(&*key.0), "da9e63baf42946d065b0b9eab852bc59b20e968af7e91805edd65deea3be3ecb");
    let proven = read(&greeting, &answer).unwrap().prove_first(Some(&secret())).unwrap();
    assert_eq!(hex(&proven.accept_tag), "5108c0a2f8f3f4023c7f5a982439c8481dcda77c403c83301bc06e9a8fdf460e");

    let join = self::greeting(Port::Join, true);
    let further = answer_join(&join, &key, &BOND, 7, [8; 32]);
    let (written, written_tag) = further.split_at(60);
    assert_eq!(written, [b"ssmjoin\x01", &BOND[..], &[0, 0, 0, 7], &[8; 32]].concat());
    assert_eq!(hex(written_tag), "84e25fb481c852ccc84330907ce221e3090696800f876200b43fcc2ade9e7002");
    let proven = read(&join, &further).unwrap().prove_join(&key).unwrap();
    assert_eq!(hex(&proven.accept_tag), "c950df6957b3a0be3a9330e65d246437276955a96d441f43b87126a4c14bb1b0");

    let (answer, key) = answer_first(&self::greeting(Port::First, false), None, &first("")).unwrap();
    assert_eq!(hex(&answer[93..]), "2f03d34552503b7c1fb9c111c588bbe52af7acea6f48afcc33dc3df9e253d677");
    assert_eq!(hex(&*key.0), "102d5aab950697ec47d8ffd7abb783976e4005f981886bfaa4299b2897980f8d");
}

#[test]
fn greetings_come_back() {
    for bits in 0..8 {
        let port = if bits & 4 == 0 { Port::First } else { Port::Join };
        let (needs_secret, any_destination) = (bits & 1 != 0, bits & 2 != 0);
        let greeting = Greeting { needs_secret, any_destination, port, join_port: 0xfedc, nonce: [9; 32] };
        let mut bytes = greeting.encode().to_vec();
        for length in 0..GREETING {
            assert_eq!(Greeting::decode(&bytes[..length]), Ok(None), "{length} bytes");
        }
        assert_eq!(Greeting::decode(&bytes), Ok(Some(greeting.clone())));
        bytes.extend_from_slice(b"frames");
        assert_eq!(Greeting::decode(&bytes), Ok(Some(greeting)));
    }
}

#[test]
fn what_is_no_joiner_is_known_by_its_first_wrong_byte() {
    assert_eq!(Greeting::decode(b"S"), Err(OpeningError::NotAJoiner), "a server of ssh begins with a capital");
    assert_eq!(Greeting::decode(b"ssh"), Err(OpeningError::NotAJoiner));
    assert_eq!(Greeting::decode(b"ssmjoiN"), Err(OpeningError::NotAJoiner));
    assert_eq!(Greeting::decode(b"ssmjoin\x02"), Err(OpeningError::Version(2)));
    let bytes = greeting(Port::First, true).encode();
    for (place, byte) in [(8, 4), (8, 0x80), (9, 2)] {
        let mut bytes = bytes;
        bytes[place] = byte;
        assert_eq!(Greeting::decode(&bytes), Err(OpeningError::Malformed));
    }
}

#[test]
fn both_ends_of_a_first_link_make_one_key() {
    for destination in ["", "localhost:80", "[::1]:65535", "db.example:1"] {
        let (greeting, answer, key) = guarded(destination);
        let reader = read(&greeting, &answer).unwrap();
        assert!(reader.is_whole());
        assert_eq!((reader.bond_id(), reader.link()), (Some(BOND), Some(0)));
        assert_eq!(reader.destination(), Some(destination).filter(|text| !text.is_empty()));
        let proven = reader.prove_first(Some(&secret())).unwrap();
        assert_eq!(*proven.key.0, *key.0);
        assert!(accepts(&key, &greeting, &answer, &proven.accept_tag));
    }
}

#[test]
fn without_a_secret_the_seed_still_makes_the_key() {
    let greeting = greeting(Port::First, false);
    let (answer, key) = answer_first(&greeting, None, &first("")).unwrap();
    let proven = read(&greeting, &answer).unwrap().prove_first(None).unwrap();
    assert_eq!(*proven.key.0, *key.0);
    assert!(accepts(&key, &greeting, &answer, &proven.accept_tag));
    let mut other = first("");
    other.seed = [44; 32];
    assert_ne!(*answer_first(&greeting, None, &other).unwrap().1.0, *key.0);
}

#[test]
fn a_further_link_is_proven_with_the_key_of_its_bond_alone() {
    let (_, _, key) = guarded("");
    let greeting = greeting(Port::Join, true);
    let answer = answer_join(&greeting, &key, &BOND, u32::MAX, [8; 32]);
    let reader = read(&greeting, &answer).unwrap();
    assert_eq!((reader.bond_id(), reader.link(), reader.destination()), (Some(BOND), Some(u32::MAX), None));
    let proven = reader.prove_join(&key).unwrap();
    assert!(accepts(&proven.key, &greeting, &answer, &proven.accept_tag));
    for other in [BondKey(Zeroizing::new([0; 32])), BondKey(Zeroizing::new([5; 32]))] {
        assert_eq!(reader.prove_join(&other).unwrap_err(), OpeningError::Proof);
        assert!(!accepts(&other, &greeting, &answer, &proven.accept_tag));
    }
}

#[test]
fn the_tag_of_acceptance_is_that_of_its_link() {
    let (first_greeting, first_answer, key) = guarded("");
    let accepted = read(&first_greeting, &first_answer).unwrap().prove_first(Some(&secret())).unwrap().accept_tag;
    let greeting = greeting(Port::Join, true);
    let answers = [1, 2].map(|link| answer_join(&greeting, &key, &BOND, link, [8; 32]));
    let tags = answers.each_ref().map(|answer| read(&greeting, answer).unwrap().prove_join(&key).unwrap().accept_tag);
    for (answer, tag) in [(0, 0), (1, 1)] {
        assert!(accepts(&key, &greeting, &answers[answer], &tags[tag]));
    }
    assert!(!accepts(&key, &greeting, &answers[0], &tags[1]));
    assert!(!accepts(&key, &greeting, &answers[0], &accepted));
    assert!(!accepts(&key, &first_greeting, &answers[0], &tags[0]));
    let own_tag: [u8; 32] = answers[0][60..].try_into().unwrap();
    assert!(!accepts(&key, &greeting, &answers[0], &own_tag), "the client's own tag, sent back to it");
    for bit in 0..256 {
        let mut flipped = tags[0];
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(&key, &greeting, &answers[0], &flipped));
    }
}

#[test]
fn an_answer_may_come_in_any_pieces() {
    let (first_greeting, first_answer, key) = guarded("localhost:80");
    let join_greeting = greeting(Port::Join, true);
    let join_answer = answer_join(&join_greeting, &key, &BOND, 3, [8; 32]);
    let default = guarded("");
    for (greeting, answer) in
        [(&first_greeting, &first_answer), (&join_greeting, &join_answer), (&default.0, &default.1)]
    {
        let wire = [&answer[..], b"frames"].concat();
        for split in 0..=wire.len() {
            let mut reader = AnswerReader::new(greeting.clone());
            let (before, after) = wire.split_at(split);
            assert_eq!(reader.take(before), Ok(split.min(answer.len())));
            assert_eq!(reader.is_whole(), split >= answer.len());
            assert_eq!(reader.bond_id().is_some(), split >= answer.len());
            assert_eq!(reader.take(after), Ok(answer.len().saturating_sub(split)));
            assert!(reader.is_whole());
            assert_eq!(reader.take(b"more"), Ok(0));
        }
        let mut reader = AnswerReader::new(greeting.clone());
        for (at, byte) in answer.iter().enumerate() {
            assert!(!reader.is_whole(), "{at} bytes");
            assert_eq!(reader.take(&[*byte]), Ok(1));
        }
        assert!(reader.is_whole());
        let proof = match greeting.port {
            Port::First => reader.prove_first(Some(&secret())),
            Port::Join => reader.prove_join(&key),
        };
        assert!(proof.is_ok());
    }
}

#[test]
fn a_wrong_secret_proves_nothing() {
    let (greeting, answer, _) = guarded("localhost:80");
    let reader = read(&greeting, &answer).unwrap();
    assert_eq!(reader.prove_first(Some(&Secret::new([0; 32]))).unwrap_err(), OpeningError::Proof);
    assert_eq!(reader.prove_first(None).unwrap_err(), OpeningError::SecretNeeded);
    let unguarded = self::greeting(Port::First, false);
    let (answer, _) = answer_first(&unguarded, None, &first("")).unwrap();
    assert_eq!(
        read(&unguarded, &answer).unwrap().prove_first(Some(&secret())).unwrap_err(),
        OpeningError::SecretNotNeeded
    );
}

#[test]
fn a_client_with_a_secret_does_without_it_for_nobody() {
    let unguarded = greeting(Port::First, false);
    let answer = answer_first(&unguarded, Some(&secret()), &first(""));
    assert_eq!(answer.unwrap_err(), OpeningError::SecretNotNeeded);
    let guarded = greeting(Port::First, true);
    assert_eq!(answer_first(&guarded, None, &first("")).unwrap_err(), OpeningError::SecretNeeded);
}

#[test]
fn an_answer_to_another_greeting_proves_nothing() {
    let (greeting, answer, key) = guarded("localhost:80");
    let mut join = self::greeting(Port::Join, true);
    let further = answer_join(&join, &key, &BOND, 1, [8; 32]);
    for bit in 0..256 {
        let mut other = greeting.clone();
        other.nonce[bit / 8] ^= 1 << (bit % 8);
        let replayed = read(&other, &answer).unwrap();
        assert_eq!(replayed.prove_first(Some(&secret())).unwrap_err(), OpeningError::Proof);
        join.nonce[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(read(&join, &further).unwrap().prove_join(&key).unwrap_err(), OpeningError::Proof);
        join.nonce[bit / 8] ^= 1 << (bit % 8);
    }
    let other = Greeting { any_destination: false, ..greeting.clone() };
    assert_eq!(read(&other, &answer).unwrap().prove_first(Some(&secret())).unwrap_err(), OpeningError::Proof);
    let other = Greeting { join_port: 22, ..greeting };
    assert_eq!(read(&other, &answer).unwrap().prove_first(Some(&secret())).unwrap_err(), OpeningError::Proof);
}

#[test]
fn a_flipped_bit_anywhere_fails() {
    let (first_greeting, first_answer, key) = guarded("localhost:80");
    let join_greeting = greeting(Port::Join, true);
    let join_answer = answer_join(&join_greeting, &key, &BOND, 3, [8; 32]);
    for (greeting, answer) in [(first_greeting, first_answer), (join_greeting, join_answer)] {
        for bit in 0..answer.len() * 8 {
            let mut flipped = answer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Enough behind it for any length of a destination.
            flipped.resize(ANSWER_MAX, b'1');
            let proof = read(&greeting, &flipped).and_then(|reader| match greeting.port {
                Port::First => reader.prove_first(Some(&secret())),
                Port::Join => reader.prove_join(&key),
            });
            assert!(proof.is_err(), "bit {bit}");
        }
    }
}

#[test]
fn each_port_has_its_own_answer_and_proof() {
    let (greeting, answer, key) = guarded("");
    let join = self::greeting(Port::Join, true);
    assert_eq!(answer_first(&join, Some(&secret()), &first("")).unwrap_err(), OpeningError::WrongPort);
    assert_eq!(read(&greeting, &answer).unwrap().prove_join(&key).unwrap_err(), OpeningError::WrongPort);
    let further = answer_join(&join, &key, &BOND, 1, [8; 32]);
    let reader = read(&join, &further).unwrap();
    assert_eq!(reader.prove_first(Some(&secret())).unwrap_err(), OpeningError::WrongPort);
    let misplaced = read(&greeting, &further).unwrap();
    assert!(!misplaced.is_whole());
    assert_eq!(misplaced.prove_first(Some(&secret())).unwrap_err(), OpeningError::Incomplete);
}

#[test]
fn destinations_are_bounded_and_of_one_form() {
    let greeting = greeting(Port::First, true);
    let answered = |destination: &str| answer_first(&greeting, Some(&secret()), &first(destination));
    let longest = format!("{}:22", "h".repeat(252));
    let (answer, _) = answered(&longest).unwrap();
    assert_eq!(answer.len(), ANSWER_MAX);
    assert_eq!(read(&greeting, &answer).unwrap().destination(), Some(longest.as_str()));
    assert_eq!(answered(&format!("h{longest}")).unwrap_err(), OpeningError::DestinationTooLong);

    let seeded = |text: &[u8]| {
        let mut answer = begin_answer(&BOND, 0, &[3; 32]);
        answer.extend_from_slice(&[4; 32]);
        answer.push(u8::try_from(text.len()).unwrap());
        answer.extend_from_slice(text);
        let proof = tag(mac(&[5; 32], FIRST_LABEL, &greeting.encode(), &answer));
        answer.extend_from_slice(&proof);
        answer
    };
    assert!(read(&greeting, &seeded(b"host:22")).is_ok());
    for text in ["host", ":22", "host:", "host:0", "host:+1", "host:65536", "ho st:22", "host:22\n", "h\u{f6}st:22"] {
        assert_eq!(answered(text).unwrap_err(), OpeningError::DestinationForm, "{text:?}");
        assert_eq!(read(&greeting, &seeded(text.as_bytes())).unwrap_err(), OpeningError::Malformed, "{text:?}");
    }
    assert_eq!(read(&greeting, &seeded(b"h\xff:22")).unwrap_err(), OpeningError::Malformed);
}

#[test]
fn a_destination_that_is_not_allowed_is_refused_after_the_proof() {
    let greeting = Greeting { any_destination: false, ..greeting(Port::First, true) };
    let answered = answer_first(&greeting, Some(&secret()), &first("host:22"));
    assert_eq!(answered.unwrap_err(), OpeningError::DestinationNotAllowed);
    let mut answer = begin_answer(&BOND, 0, &[3; 32]);
    answer.extend_from_slice(&[4; 32]);
    answer.extend_from_slice(b"\x07host:22");
    let proof = tag(mac(&[5; 32], FIRST_LABEL, &greeting.encode(), &answer));
    answer.extend_from_slice(&proof);
    let reader = read(&greeting, &answer).unwrap();
    assert_eq!(reader.prove_first(Some(&secret())).unwrap_err(), OpeningError::DestinationNotAllowed);
    assert_eq!(reader.prove_first(Some(&Secret::new([0; 32]))).unwrap_err(), OpeningError::Proof);
}

#[test]
fn a_first_link_has_the_number_0() {
    let (greeting, mut answer, _) = guarded("");
    answer[27] = 1;
    assert_eq!(read(&greeting, &answer).unwrap_err(), OpeningError::Malformed);
}

#[test]
fn an_error_stays() {
    let mut reader = AnswerReader::new(greeting(Port::First, true));
    assert_eq!(reader.take(b"SSH-2.0"), Err(OpeningError::NotAClient));
    let (_, answer, _) = guarded("");
    assert_eq!(reader.take(&answer), Err(OpeningError::NotAClient));
    assert_eq!(reader.prove_first(Some(&secret())).unwrap_err(), OpeningError::NotAClient);
    let mut reader = AnswerReader::new(greeting(Port::First, true));
    assert_eq!(reader.take(b"ssmjoin"), Ok(7));
    assert_eq!(reader.take(b"\x09"), Err(OpeningError::Version(9)));
}

#[test]
fn garbage_is_bounded_and_proves_nothing() {
    let mut random = fastrand::Rng::with_seed(18);
    let key = guarded("").2;
    for round in 0..4000 {
        let mut bytes = vec![0; random.usize(..2 * ANSWER_MAX)];
        random.fill(&mut bytes);
        if round % 4 != 0 {
            for (place, byte) in bytes.iter_mut().zip(b"ssmjoin\x01") {
                *place = *byte;
            }
        }
        let _ = Greeting::decode(&bytes);
        let port = if round % 2 == 0 { Port::First } else { Port::Join };
        if port == Port::First && bytes.len() > 93 && round % 3 == 0 {
            bytes[24..28].fill(0);
            bytes[92] = 0;
        }
        let mut reader = AnswerReader::new(greeting(port, true));
        let (mut rest, mut used) = (&bytes[..], 0);
        while !rest.is_empty() {
            let piece = random.usize(1..=rest.len());
            match reader.take(&rest[..piece]) {
                Ok(taken) => used += taken,
                Err(_) => break,
            }
            rest = &rest[piece..];
        }
        assert!(used <= ANSWER_MAX && reader.bytes.len() <= ANSWER_MAX && reader.bytes.capacity() == ANSWER_MAX);
        let _ = (reader.bond_id(), reader.link(), reader.destination());
        assert!(reader.prove_first(Some(&secret())).is_err());
        assert!(reader.prove_join(&key).is_err());
    }
}

#[test]
fn reasons_come_back() {
    let all = [Refusal::Version, Refusal::Proof, Refusal::NoSuchBond, Refusal::Limit, Refusal::Destination];
    for reason in all {
        assert_eq!(Refusal::from_wire(reason.to_wire()), Some(reason));
    }
    let known = (0..=u8::MAX).filter(|number| Refusal::from_wire(*number).is_some());
    assert_eq!(known.count(), all.len());
    assert_eq!(OpeningError::Proof.refusal(), Some(Refusal::Proof));
    assert_eq!(OpeningError::Version(7).refusal(), Some(Refusal::Version));
    assert_eq!(OpeningError::NotAClient.refusal(), None);
}

#[test]
fn nothing_secret_is_shown() {
    let (greeting, answer, key) = guarded("localhost:80");
    let reader = read(&greeting, &answer).unwrap();
    let proven = reader.prove_first(Some(&secret())).unwrap();
    let shown = format!("{:?} {key:?} {:?} {reader:?} {proven:?}", secret(), first("localhost:80"));
    assert!(shown.starts_with("Secret(..) BondKey(..) FirstLink { bond_id: [2, 2,"), "{shown}");
    for hidden in [&[5; 32][..], &*key.0, &[4; 32], &proven.accept_tag] {
        let list = format!("{hidden:?}");
        assert!(!shown.contains(&list[1..20]), "{list} in {shown}");
    }
}
