//! What can go wrong on request: faults of the channel and of the API, and when they happen.
//!
//! Plain values and their textual form for the command line; nothing here acts.

use crate::link::LinkConfig;
use std::time::Duration;

/// One thing that goes wrong, or merely happens, on a session.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The service closes the client's socket with this code and reason; the session goes on. The hourly close is
    /// 1000 "Bye" (§2).
    Close(u16, String),
    /// The service closes the client's socket as it does hourly, and the next ones lead to a cell that takes no payload of
    /// more than this many bytes: it forwards none, and closes the socket with 1009.
    SmallerCell(usize),
    /// The client's socket is reset (RST).
    Reset,
    /// The client's socket ends without a close frame (FIN).
    Drop,
    /// Nothing is read from or written to the client's socket for this long; no pong either.
    Silent(Duration),
    /// Nothing is read from the client's socket for this long (back-pressure).
    StopReading(Duration),
    /// `pause_publication` to the client.
    Pause,
    /// `start_publication` to the client.
    Start,
    /// `channel_closed` with this text; the session has failed.
    ChannelClosed(String),
    /// An administrator ends the session.
    Terminate,
    /// A text frame.
    Text(String),
    /// A binary frame, sent as it is.
    Binary(Vec<u8>),
    /// A stream message of this payload type from the agent, with its next sequence number.
    Inject(u32, Vec<u8>),
    /// The agent's own connection to the service is away for this long; what is under way is lost.
    AgentAway(Duration),
    /// The way from client to agent changes.
    Uplink(LinkConfig),
    /// The way from agent to client changes.
    Downlink(LinkConfig),
}

impl Fault {
    /// The service's hourly close (§2).
    pub fn bye() -> Self {
        Self::Close(1000, "Bye".into())
    }
}

/// When a scheduled fault happens, for each session on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This long after the first open message.
    After(Duration),
    /// Again and again, this long after the previous time.
    Every(Duration),
    /// When this many binary messages have come from the client; 0 is right after the first open message.
    Messages(u64),
    /// Each time that many more messages have come.
    EveryMessages(u64),
}

/// A fault with its time.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
}

/// The operation that stands for the upgrade of the WebSocket in an [`ApiRule`].
pub const OPEN_DATA_CHANNEL: &str = "OpenDataChannel";

/// How a call of the API fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiFault {
    /// `AccessDeniedException`, 400.
    AccessDenied,
    /// `ThrottlingException`, 400.
    Throttling,
    /// `TargetNotConnected`, 400.
    TargetNotConnected,
    /// `ExpiredTokenException`, 400.
    ExpiredToken,
    /// `InvalidDocument`, 400.
    InvalidDocument,
    /// `DoesNotExistException`, 400.
    DoesNotExist,
    /// 403 without a type that says more.
    Forbidden,
    /// `InternalServerError`, 500.
    ServerError,
    /// 503 with a body that is no JSON.
    Unavailable,
    /// The call works, but its answer comes this much later.
    Slow(Duration),
    /// The call works, but `TokenValue` is empty (§1).
    EmptyToken,
    /// The connection is closed without an answer.
    HangUp,
    /// This status, with this error's name and message; with an empty name the message is the whole body, and no JSON.
    Says(u16, String, String),
}

/// Which calls fail. `OpenDataChannel` stands for the upgrade of the WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRule {
    /// `StartSession`, `ResumeSession`, …, or [`OPEN_DATA_CHANNEL`].
    pub operation: String,
    /// How.
    pub fault: ApiFault,
    /// Calls that still work before.
    pub skip: u32,
    /// Calls that fail; `u32::MAX` for all that follow.
    pub times: u32,
}

/// A time such as `250ms`, `5s`, `2m`.
///
/// # Errors
/// A text that is not of this form.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is no time; try 250ms, 5s or 2m"))?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(format!("{text:?} needs a unit: us, ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{text:?}: {error}"))
}

/// Bytes of a message that end inside its header.
const TRUNCATED: usize = 50;

/// A well-formed message of a type that nobody knows.
fn unknown_type() -> Vec<u8> {
    let payload = bytes::Bytes::from_static(b"{}");
    crate::codec::Message::new("standin_unknown", 0, 0, 0, payload).encode().to_vec()
}

impl std::str::FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let close = || -> Result<Self, String> {
            let (code, reason) = value.split_once(':').unwrap_or((value, ""));
            Ok(Self::Close(code.parse().map_err(|_| format!("{code:?} is no close code"))?, reason.into()))
        };
        let inject = || -> Result<Self, String> {
            let (kind, payload) = value.split_once(':').unwrap_or((value, "?"));
            Ok(Self::Inject(kind.parse().map_err(|_| format!("{kind:?} is no payload type"))?, payload.into()))
        };
        Ok(match name {
            "bye" => Self::bye(),
            "close" => close()?,
            "smaller-cell" => Self::SmallerCell(value.parse().map_err(|_| format!("{value:?} is no number of bytes"))?),
            "reset" => Self::Reset,
            "drop" => Self::Drop,
            "silent" => Self::Silent(parse_duration(value)?),
            "stop-reading" => Self::StopReading(parse_duration(value)?),
            "pause" => Self::Pause,
            "start" => Self::Start,
            "channel-closed" => Self::ChannelClosed(value.into()),
            "terminate" => Self::Terminate,
            "text" => Self::Text(value.into()),
            "unknown-type" => Self::Binary(unknown_type()),
            "truncated" => Self::Binary(unknown_type().into_iter().take(TRUNCATED).collect()),
            "binary" => Self::Binary(hex::decode(value).map_err(|error| format!("{value:?}: {error}"))?),
            "inject" => inject()?,
            "agent-away" => Self::AgentAway(parse_duration(value)?),
            _ => return Err(format!("no fault is called {name:?}")),
        })
    }
}

impl std::str::FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (every, rest) = text.strip_prefix("every-").map_or((false, text), |rest| (true, rest));
        if let Some(count) = rest.strip_suffix("msg") {
            let count = count.parse().map_err(|_| format!("{count:?} is no number of messages"))?;
            return Ok(if every { Self::EveryMessages(count) } else { Self::Messages(count) });
        }
        let time = parse_duration(rest)?;
        Ok(if every { Self::Every(time) } else { Self::After(time) })
    }
}

impl std::str::FromStr for Scheduled {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (when, fault) = text.split_once('=').ok_or("write WHEN=FAULT, such as 5s=bye")?;
        Ok(Self { when: when.parse()?, fault: fault.parse()? })
    }
}

impl std::str::FromStr for ApiFault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let says = || -> Result<Self, String> {
            let mut parts = value.splitn(3, ':');
            let status = parts.next().unwrap_or_default();
            let status = status.parse().map_err(|_| format!("{status:?} is no HTTP status"))?;
            let mut text = || parts.next().unwrap_or_default().to_owned();
            Ok(Self::Says(status, text(), text()))
        };
        Ok(match name {
            "access-denied" => Self::AccessDenied,
            "throttling" => Self::Throttling,
            "target-not-connected" => Self::TargetNotConnected,
            "expired-token" => Self::ExpiredToken,
            "invalid-document" => Self::InvalidDocument,
            "does-not-exist" => Self::DoesNotExist,
            "forbidden" => Self::Forbidden,
            "server-error" => Self::ServerError,
            "unavailable" => Self::Unavailable,
            "slow" => Self::Slow(parse_duration(value)?),
            "empty-token" => Self::EmptyToken,
            "hang-up" => Self::HangUp,
            "key-not-found" => Self::Says(400, "NotFoundException".into(), "The key does not exist".into()),
            "key-disabled" => Self::Says(400, "DisabledException".into(), "The key is disabled.".into()),
            "says" => says()?,
            _ => return Err(format!("no failure of the API is called {name:?}")),
        })
    }
}

impl std::str::FromStr for ApiRule {
    type Err = String;

    /// `OPERATION=FAULT`, with `@SKIP` and `xTIMES` behind it if wanted: `ResumeSession=throttling@1x3`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (operation, rest) = text.split_once('=').ok_or("write OPERATION=FAILURE, such as ResumeSession=slow:3s")?;
        let (rest, times) = match rest.rsplit_once('x').map(|(head, tail)| (head, tail.parse())) {
            Some((head, Ok(times))) => (head, times),
            _ => (rest, u32::MAX),
        };
        let (fault, skip) = match rest.rsplit_once('@') {
            Some((head, tail)) => (head, tail.parse().map_err(|_| format!("{tail:?} is no number of calls"))?),
            None => (rest, 0),
        };
        Ok(Self { operation: operation.into(), fault: fault.parse()?, skip, times })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_a_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5m"), Ok(Duration::from_secs(90)));
        assert!(parse_duration("5").is_err());
        assert!(parse_duration("s").is_err());
    }

    #[test]
    fn schedules_are_read() {
        let scheduled: Scheduled = "every-60s=bye".parse().unwrap();
        assert_eq!(scheduled.when, When::Every(Duration::from_secs(60)));
        assert!(matches!(scheduled.fault, Fault::Close(1000, reason) if reason == "Bye"));
        let scheduled: Scheduled = "100msg=close:1011:oops".parse().unwrap();
        assert_eq!(scheduled.when, When::Messages(100));
        assert!(matches!(scheduled.fault, Fault::Close(1011, reason) if reason == "oops"));
        let scheduled: Scheduled = "9s=smaller-cell:1024".parse().unwrap();
        assert!(matches!(scheduled.fault, Fault::SmallerCell(1024)));
        assert!("5s=nonsense".parse::<Scheduled>().is_err());
        assert!("bye".parse::<Scheduled>().is_err());
    }

    #[test]
    fn api_rules_are_read() {
        let rule: ApiRule = "ResumeSession=throttling@1x3".parse().unwrap();
        assert_eq!((rule.fault, rule.skip, rule.times), (ApiFault::Throttling, 1, 3));
        let rule: ApiRule = "StartSession=expired-token".parse().unwrap();
        assert_eq!((rule.fault, rule.skip, rule.times), (ApiFault::ExpiredToken, 0, u32::MAX));
        let rule: ApiRule = "StartSession=slow:3s".parse().unwrap();
        assert_eq!(rule.fault, ApiFault::Slow(Duration::from_secs(3)));
        let rule: ApiRule = "StartSession=says:400:InvalidDocument:Document: none".parse().unwrap();
        assert_eq!(rule.fault, ApiFault::Says(400, "InvalidDocument".into(), "Document: none".into()));
        assert!("StartSession=says:no".parse::<ApiRule>().is_err());
    }
}
