//! The rules of the multiplexer, one by one.

mod vectors;

use std::time::{Duration, Instant};

use super::*;
use crate::frame::{Command, Header};
use crate::limits::{SMALLEST_CUT, TURN};

const SYN: u8 = 0;
const FIN: u8 = 1;
const PSH: u8 = 2;
const NOP: u8 = 3;

fn frame(command: u8, id: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, command];
    frame.extend((data.len() as u16).to_le_bytes());
    frame.extend(id.to_le_bytes());
    frame.extend(data);
    frame
}

/// A multiplexer, with the calls that its contract asks for.
struct Client {
    mux: Mux,
    now: Instant,
}

impl Client {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { mux: Mux::new(config, now), now }
    }

    fn open(&mut self) -> StreamId {
        self.mux.open(self.now).unwrap()
    }

    fn transmit(&mut self, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(self.mux.poll_transmit(self.now, max, &mut out), out.len());
        assert!(out.len() <= max);
        out
    }

    /// The frames that go out until there are none: command, id, length.
    fn frames(&mut self, max: usize) -> Vec<(u8, u32, usize)> {
        let mut frames = Vec::new();
        loop {
            let bytes = self.transmit(max);
            if bytes.is_empty() {
                return frames;
            }
            frames.extend(split(&bytes).into_iter().map(|(command, id, data)| (command, id, data.len())));
        }
    }

    fn delivered(&mut self) {
        self.mux.delivered(self.now, self.mux.handed_over());
    }

    /// Everything goes out and is delivered.
    fn settle(&mut self) {
        loop {
            let sent = self.transmit(1 << 20).len();
            self.delivered();
            if sent == 0 {
                return;
            }
        }
    }

    fn receive(&mut self, command: u8, id: StreamId, data: &[u8]) {
        self.mux.handle_bytes(&frame(command, id.get(), data)).unwrap();
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.mux.poll_event()).collect()
    }

    fn read(&mut self, id: StreamId) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.mux.read(id).is_empty() {
            let bytes = self.mux.read(id).to_vec();
            self.mux.consume(id, bytes.len());
            all.extend(bytes);
        }
        all
    }

    fn pass(&mut self, time: Duration) -> Vec<Event> {
        let until = self.now + time;
        while let Some(at) = self.mux.poll_timeout().filter(|at| *at <= until) {
            assert!(at >= self.now, "a time that has been");
            self.now = at;
            self.mux.handle_timeout(at);
            assert!(self.mux.poll_timeout().is_none_or(|next| next > at), "it asks for the same time again");
        }
        self.now = until;
        self.events()
    }
}

/// Whole frames.
fn split(mut bytes: &[u8]) -> Vec<(u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(bytes[0], 1);
        let length = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let id = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
        frames.push((bytes[1], id, bytes[8..8 + length].to_vec()));
        bytes = &bytes[8 + length..];
    }
    frames
}

fn client() -> Client {
    Client::new(Config::default())
}

#[test]
fn ids_are_odd_from_3_and_run_out() {
    let mut client = client();
    let ids: Vec<u32> = (0..3).map(|_| client.open().get()).collect();
    assert_eq!(ids, [3, 5, 7]);
    client.mux.next_id = Some(u32::MAX);
    assert_eq!(client.open().get(), u32::MAX);
    assert_eq!(client.mux.open(client.now), Err(OpenError::Exhausted));
}

#[test]
fn streams_are_bounded_until_the_far_side_has_closed_them_too() {
    let mut client = client();
    let ids: Vec<StreamId> = (0..MAX_STREAMS).map(|_| client.open()).collect();
    assert_eq!(client.mux.open(client.now), Err(OpenError::TooMany));
    client.settle();
    client.mux.reset(ids[0]);
    client.settle();
    assert_eq!(client.mux.open(client.now), Err(OpenError::TooMany));
    client.receive(FIN, ids[0], b"");
    assert!(client.mux.open(client.now).is_ok());
    client.mux.reset(ids[1]);
    client.receive(FIN, ids[1], b"");
    assert_eq!(client.mux.open(client.now), Err(OpenError::TooMany), "its own FIN is not delivered");
}

#[test]
fn the_syn_goes_first_and_small_frames_share_a_chunk() {
    let mut client = client();
    let [a, b] = [client.open(), client.open()];
    client.mux.send(a, b"one");
    client.mux.close(a);
    client.mux.send(b, b"two");
    let sent = client.frames(1024);
    assert_eq!(sent, [(SYN, 3, 0), (SYN, 5, 0), (PSH, 3, 3), (PSH, 5, 3), (FIN, 3, 0)]);
    assert!(client.mux.handed_over() < 1024, "one message");
}

#[test]
fn fin_is_sent_once_behind_the_data_and_ends_sending() {
    let mut client = client();
    let id = client.open();
    client.mux.send(id, &[1; 5000]);
    client.mux.close(id);
    client.mux.close(id);
    assert_eq!((client.mux.send(id, b"more"), client.mux.send_capacity(id)), (0, 0));
    let sent = client.frames(1024);
    assert_eq!(sent.iter().filter(|(command, ..)| *command == FIN).count(), 1);
    assert_eq!(sent.last(), Some(&(FIN, 3, 0)));
    assert_eq!(sent.iter().map(|(_, _, length)| length).sum::<usize>(), 5000);
    client.mux.close(id);
    client.mux.reset(id);
    assert_eq!(client.frames(1024), []);
}

#[test]
fn what_the_agent_sent_before_it_got_the_fin_is_received() {
    let mut client = client();
    let id = client.open();
    client.mux.close(id);
    client.settle();
    client.receive(PSH, id, b"late");
    client.receive(FIN, id, b"");
    assert_eq!(client.events(), [Event::Readable(id)]);
    assert_eq!(client.read(id), b"late");
    assert_eq!(client.events(), [Event::Finished(id)]);
    assert_eq!(client.mux.stats(), Stats::default(), "nothing is left of it");
}

#[test]
fn the_far_sides_fin_is_answered_and_drops_what_was_queued() {
    let mut client = client();
    let id = client.open();
    client.receive(PSH, id, b"bye");
    client.settle();
    client.mux.send(id, b"nobody takes this");
    client.receive(FIN, id, b"");
    client.receive(FIN, id, b"");
    client.receive(PSH, id, b"after the end");
    assert_eq!(client.frames(1024), [(FIN, 3, 0)]);
    assert_eq!(client.events(), [Event::Readable(id)]);
    assert_eq!(client.read(id), b"bye");
    assert_eq!(client.events(), [Event::Finished(id)]);
    assert_eq!(client.mux.stats().dropped, 13);
}

#[test]
fn a_reset_drops_both_directions_and_says_nothing_more() {
    let mut client = client();
    let [unsent, id] = [client.open(), client.open()];
    client.mux.send(unsent, b"x");
    client.mux.reset(unsent);
    client.settle();
    client.mux.send(id, b"queued");
    client.receive(PSH, id, b"unread");
    client.mux.reset(id);
    client.receive(PSH, id, b"and more");
    assert_eq!(client.frames(1024), [(FIN, 5, 0)], "the far side never heard of the first");
    client.delivered();
    client.receive(FIN, id, b"");
    assert_eq!(client.events(), []);
    assert_eq!(client.read(id), b"");
    assert_eq!(client.mux.stats(), Stats { dropped: 8, ..Stats::default() });
}

#[test]
fn a_refused_dial_is_told_from_an_end() {
    let mut client = client();
    let [refused, hung_up, ended, closed] = std::array::from_fn(|_| client.open());
    client.settle();
    client.receive(PSH, ended, b"");
    client.receive(PSH, ended, b"x");
    client.read(ended);
    client.mux.close(closed);
    client.events();
    client.mux.connect_failed();
    client.receive(FIN, ended, b"");
    client.receive(FIN, refused, b"");
    client.receive(FIN, hung_up, b"");
    client.receive(FIN, closed, b"");
    let expected = [
        Event::Finished(ended),
        Event::Refused { id: refused, reported: true },
        Event::Refused { id: hung_up, reported: false },
        Event::Finished(closed),
    ];
    assert_eq!(client.events(), expected);
}

#[test]
fn a_failed_dial_of_a_stream_that_was_reset_is_not_anothers() {
    let mut client = client();
    let [gone, other] = [client.open(), client.open()];
    client.settle();
    client.mux.reset(gone);
    client.mux.connect_failed();
    client.receive(FIN, gone, b"");
    client.receive(FIN, other, b"");
    assert_eq!(client.events(), [Event::Refused { id: other, reported: false }]);
}

#[test]
fn the_queue_and_the_bytes_in_flight_are_bounded() {
    let mut client = Client::new(Config { in_flight_limit: 10_000, ..Config::default() });
    let [bulk, other] = [client.open(), client.open()];
    assert_eq!(client.mux.send(bulk, &[0; 1 << 20]), QUEUE_LIMIT);
    assert_eq!(client.mux.send_capacity(bulk), 0);
    let sent: usize = client.frames(1024).iter().map(|(_, _, length)| 8 + length).sum();
    assert!((10_000..10_000 + 8 + SMALLEST_CUT + 16).contains(&sent), "{sent}");
    client.mux.send(other, b"passes");
    assert_eq!(client.frames(1024), [(PSH, 5, 6)]);
    assert_eq!(client.events(), []);
    client.delivered();
    while client.mux.stats().queued > 0 {
        client.settle();
    }
    assert_eq!(client.events(), [Event::Writable(bulk)], "once");
    assert_eq!(client.mux.undelivered(bulk), 0);
}

#[test]
fn streams_take_turns_and_small_ones_go_first() {
    let mut client = client();
    let bulk: Vec<StreamId> = (0..3).map(|_| client.open()).collect();
    for id in &bulk {
        client.mux.send(*id, &[0; QUEUE_LIMIT]);
    }
    let mut sent = vec![0; 3];
    for _ in 0..60 {
        for (_, id, data) in split(&client.transmit(1024)) {
            sent[(id as usize - 3) / 2] += data.len();
        }
    }
    let (least, most) = (*sent.iter().min().unwrap(), *sent.iter().max().unwrap());
    assert!(most - least <= TURN, "{sent:?}");
    let small = client.open();
    client.mux.send(small, b"key");
    let next = split(&client.transmit(1024));
    assert_eq!(next[..2], [(SYN, small.get(), vec![]), (PSH, small.get(), b"key".to_vec())]);
}

#[test]
fn a_chunk_has_no_frame_that_is_mostly_header_at_its_end() {
    let mut client = client();
    let [a, b] = [client.open(), client.open()];
    client.settle();
    client.mux.send(a, &[0; 980]);
    client.mux.send(b, &[0; 2000]);
    let frames = client.frames(1024);
    assert_eq!(frames, [(PSH, 3, 980), (PSH, 5, 1016), (PSH, 5, 984)]);
}

#[test]
fn a_nop_is_sent_only_if_told_and_only_in_silence() {
    let mut idle = client();
    idle.open();
    idle.settle();
    // Only the answer is waited for.
    idle.pass(DIAL_LIMIT);
    assert_eq!(idle.mux.poll_timeout(), None);

    let mut client = Client::new(Config { keep_alive: true, ..Config::default() });
    client.pass(Duration::from_secs(9));
    assert_eq!(client.frames(1024), []);
    client.pass(Duration::from_secs(1));
    client.mux.handle_timeout(client.now);
    assert_eq!(client.frames(1024), [(NOP, 0, 0)]);
    client.delivered();
    client.pass(Duration::from_secs(9));
    client.open();
    client.settle();
    client.pass(Duration::from_secs(9));
    assert_eq!(client.frames(1024), []);
    client.pass(Duration::from_secs(3600));
    assert_eq!(client.frames(1024), [(NOP, 0, 0)], "one, however late");
}

#[test]
fn what_means_nothing_is_passed_over() {
    let mut client = client();
    let id = client.open();
    client.mux.handle_bytes(&frame(SYN, 2, b"")).unwrap();
    client.mux.handle_bytes(&frame(SYN, id.get(), b"")).unwrap();
    client.mux.handle_bytes(&frame(PSH, 2, b"to nobody")).unwrap();
    client.mux.handle_bytes(&frame(FIN, 2, b"")).unwrap();
    client.mux.handle_bytes(&frame(4, id.get(), &[0; 8])).unwrap();
    client.mux.handle_bytes(&frame(NOP, 0, b"")).unwrap();
    client.mux.handle_bytes(&frame(NOP, 77, b"")).unwrap();
    assert_eq!(client.events(), []);
    let stats = client.mux.stats();
    assert_eq!((stats.dropped, stats.ignored), (9, 3));
    client.receive(PSH, id, &[9; 65535]);
    assert_eq!(client.read(id), [9; 65535]);
}

#[test]
fn after_a_breach_of_the_protocol_nothing_moves() {
    for (bytes, failure) in [
        (vec![2, 0, 0, 0, 3, 0, 0, 0], ProtocolError::Version(2)),
        (frame(5, 3, b""), ProtocolError::Command(5)),
        (frame(FIN, 3, b"x"), ProtocolError::Length { command: 1, length: 1 }),
    ] {
        let mut client = Client::new(Config { keep_alive: true, ..Config::default() });
        let id = client.open();
        client.receive(PSH, id, b"before");
        assert_eq!(client.mux.handle_bytes(&bytes), Err(failure));
        assert_eq!(client.mux.handle_bytes(&frame(PSH, 3, b"after")), Err(failure));
        assert_eq!(client.mux.open(client.now), Err(OpenError::Protocol(failure)));
        assert_eq!(client.mux.send(id, b"x"), 0);
        assert_eq!(client.transmit(1024), b"");
        assert_eq!(client.mux.poll_timeout(), None);
        assert_eq!(client.read(id), b"before", "what was in order is not lost");
    }
}

#[test]
fn a_slow_reader_is_reset_when_others_would_wait_for_it() {
    let mut client = Client::new(Config { unread_limit: 10_000, ..Config::default() });
    let [slow, slower, quick] = std::array::from_fn(|_| client.open());
    client.settle();
    client.receive(PSH, slow, &[0; 4_000]);
    client.receive(PSH, slower, &[0; 5_000]);
    client.events();
    client.receive(PSH, quick, &[7; 3_000]);
    assert_eq!(client.events(), [Event::Reset(slower, ResetReason::Overrun), Event::Readable(quick)]);
    assert!(client.mux.wants_input());
    assert_eq!(client.read(quick), [7; 3_000]);
    assert_eq!(client.read(slow).len(), 4_000);
    assert_eq!(client.frames(1024), [(FIN, slower.get(), 0)]);
}

#[test]
fn a_slow_reader_that_is_alone_has_its_own_pace() {
    let mut client = Client::new(Config { unread_limit: 10_000, ..Config::default() });
    let id = client.open();
    client.settle();
    client.receive(PSH, id, &[0; 10_000]);
    assert!(!client.mux.wants_input());
    client.receive(PSH, id, &[0; 10_000]);
    assert_eq!(client.events(), [Event::Readable(id)], "a pause takes its time");
    client.mux.consume(id, 10_001);
    assert!(client.mux.wants_input());
    client.receive(PSH, id, &[0; 10_002]);
    assert_eq!(client.events(), [Event::Reset(id, ResetReason::Overrun)]);
    assert_eq!(client.mux.stats().unread, 0);
    assert!(client.mux.wants_input());
}

#[test]
fn a_dial_without_an_answer_is_noticed() {
    let mut client = client();
    let [hung, behind] = [client.open(), client.open()];
    client.settle();
    // The client need not have said anything: it may wait for the far side's first word.
    assert_eq!(client.pass(DIAL_LIMIT - Duration::from_millis(1)), []);
    let both = [hung, behind].map(|id| Event::Stalled(id, Stall::Unanswered));
    assert_eq!(client.pass(Duration::from_millis(1)), both);
    assert!(client.mux.is_stalled());
    assert_eq!(client.pass(Duration::from_secs(60)), [], "once");
    client.mux.reset(hung);
    assert!(client.mux.is_stalled(), "the agent dials on");
    client.receive(PSH, behind, b"x");
    assert!(!client.mux.is_stalled(), "the agent has come to the next one");
}

#[test]
fn bytes_that_are_not_delivered_are_noticed() {
    let mut client = client();
    let id = client.open();
    client.settle();
    client.receive(PSH, id, b"welcome");
    client.events();
    client.mux.send(id, &[0; 5_000]);
    client.frames(1024);
    client.pass(DELIVERY_LIMIT - Duration::from_secs(1));
    client.mux.delivered(client.now, client.mux.handed_over() - 1);
    assert_eq!(client.pass(DELIVERY_LIMIT - Duration::from_secs(1)), []);
    assert_eq!(client.pass(Duration::from_secs(1)), [Event::Stalled(id, Stall::Undelivered)]);
    assert!(client.mux.is_stalled());
    client.delivered();
    assert!(!client.mux.is_stalled());
    client.mux.send(id, b"x");
    client.frames(1024);
    client.now += Duration::from_secs(3600);
    client.mux.resumed(client.now);
    assert_eq!(client.pass(DELIVERY_LIMIT - Duration::from_secs(1)), [], "it was asleep");
}

#[test]
fn of_a_finished_stream_no_stall_is_told() {
    let mut client = client();
    let id = client.open();
    client.settle();
    client.receive(PSH, id, b"x");
    client.receive(FIN, id, b"");
    client.read(id);
    client.frames(1024);
    assert_eq!(client.events(), [Event::Readable(id), Event::Finished(id)]);
    assert_eq!(client.pass(DELIVERY_LIMIT), []);
    assert!(client.mux.is_stalled(), "its FIN is not delivered: the session stands");
}

#[test]
fn an_encoded_header_has_eight_bytes() {
    assert_eq!(frame(PSH, 5, b""), Header { command: Command::Psh, length: 0, id: 5 }.encode());
}
