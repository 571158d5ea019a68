//! An upload to sshd in a live check, without a login: packets that SSH servers read and pass over, at any time
//! (`SSH_MSG_IGNORE`, RFC 4253, 11.2).

use std::time::{Duration, Instant};

use ssm_session::LargerMessages;

use super::visit::Visit;
use crate::{
    commands::steps::Steps,
    diagnostics::{Error, human::Bytes},
    report::Happened,
};

/// Packets that are sent: 3 MB, some seconds at the service's pace, in which larger messages are tried too.
const PACKETS: usize = 96;
/// Bytes of one packet. Servers take 35,000.
const PACKET: usize = 32 << 10;
/// The message number of `SSH_MSG_IGNORE`.
const IGNORE: u8 = 2;
/// Bytes of the length of a packet, of the length of its padding, of the message number and of the length of its data.
const FRAME: [usize; 4] = [4, 1, 1, 4];
/// Padding, 4 bytes at least.
const PADDING: u8 = 6;
/// How long the upload may take.
const UPLOADED: Duration = Duration::from_secs(60);

/// Takes the steps.
pub(super) async fn upload(visit: &mut Visit<'_>, steps: &mut Steps) {
    let text = |took: &Duration| {
        let bytes = (PACKETS * PACKET) as f64;
        let rate = bytes / took.as_secs_f64().max(f64::MIN_POSITIVE);
        format!("{} at {}/s", Bytes(bytes), Bytes(rate))
    };
    if steps.timed("upload", send(visit), text).await.is_none() {
        return;
    }
    let larger = visit.session().channel().larger_messages();
    visit.record().larger(larger);
    match larger {
        LargerMessages::Taken => steps.passed("larger", "messages of 1536 bytes are taken"),
        LargerMessages::GivenUp => steps.skipped("larger", "messages of 1536 bytes are not taken, or not tried"),
        LargerMessages::Asked => steps.skipped("larger", "a message of 1536 bytes was not answered"),
        LargerMessages::Untried => {
            steps.skipped("larger", "messages of 1536 bytes were not tried: the way is too slow")
        }
    }
}

/// Sends all packets, and gives the time until the agent had them.
async fn send(visit: &mut Visit<'_>) -> Result<Duration, Error> {
    let begun = Instant::now();
    visit.send(&packet().repeat(PACKETS), UPLOADED).await?;
    let is_there = |visit: &mut Visit<'_>| (visit.session().undelivered_bytes() == 0).then_some(());
    visit.until(UPLOADED, "the agent to have taken all", is_there).await?;
    let took = begun.elapsed();
    visit.note(Happened::Took("the upload was taken", took));
    Ok(took)
}

/// One packet, of zeros.
fn packet() -> Vec<u8> {
    let [length, padding, number, data] = FRAME;
    let data_bytes = PACKET - length - padding - number - data - usize::from(PADDING);
    let mut packet = Vec::with_capacity(PACKET);
    packet.extend_from_slice(&((PACKET - length) as u32).to_be_bytes());
    packet.extend_from_slice(&[PADDING, IGNORE]);
    packet.extend_from_slice(&(data_bytes as u32).to_be_bytes());
    packet.resize(PACKET, 0);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_as_ssh_has_it() {
        let packet = packet();
        assert_eq!((packet.len(), packet.len() % 8), (PACKET, 0));
        assert_eq!(packet[..10], [0, 0, 0x7f, 0xfc, 6, 2, 0, 0, 0x7f, 0xf0]);
        assert_eq!(10 + 0x7ff0 + 6, PACKET);
    }
}
