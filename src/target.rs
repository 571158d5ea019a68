//! What the HOST of a command line means: which node Session Manager is asked for.
//!
//! Pure text in, [`Target`] out. It must not know AWS's API, the network, files or the environment; whether a node
//! exists is the service's to say.

use std::fmt;

/// The longest target that StartSession takes, in characters (protocol §1).
pub const MAX_TARGET_CHARS: usize = 400;

/// The node that a session is to be started on.
///
/// What the service receives is the user's own text, byte for byte: ids are not case-folded or trimmed, since the
/// service knows best which of them exist.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    text: String,
}

impl Target {
    /// Reads a HOST: an instance id `i-…`, a hybrid node id `mi-…`, or an ECS task `ecs:cluster_task_runtimeid`
    /// (protocol §1).
    ///
    /// # Errors
    /// [`NotATarget`] for anything else.
    pub fn parse(host: &str) -> Result<Self, NotATarget> {
        let accepted = host.len() <= MAX_TARGET_CHARS && (is_node_id(host) || is_ecs_task(host));
        if accepted { Ok(Self { text: host.to_owned() }) } else { Err(NotATarget) }
    }

    /// The target as StartSession takes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text given as HOST is none of the forms that [`Target::parse`] takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is not an instance id")]
pub struct NotATarget;

impl NotATarget {
    /// What to give instead, one line.
    pub fn hint(self) -> &'static str {
        "give an instance id (i-0123456789abcdef0), a hybrid node id (mi-…) or an ECS task (ecs:cluster_task_runtimeid)"
    }
}

fn is_node_id(host: &str) -> bool {
    let Some(digits) = host.strip_prefix("i-").or_else(|| host.strip_prefix("mi-")) else { return false };
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// `ecs:` and three parts. A cluster's name may itself have underscores, so the parts are counted from the right.
fn is_ecs_task(host: &str) -> bool {
    let Some(rest) = host.strip_prefix("ecs:") else { return false };
    let mut parts = rest.rsplitn(3, '_');
    let part_count = parts.by_ref().take_while(|part| !part.is_empty()).count();
    part_count == 3 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_ids_unchanged() {
        let long = format!("i-{}", "a".repeat(MAX_TARGET_CHARS - 2));
        for host in [
            "i-1234567890abcdef0",
            "i-02573cafcfEXAMPLE",
            "mi-0a1b2c3d4e5f60718",
            "i-0",
            "ecs:web_0123456789abcdef0123456789abcdef_0123456789abcdef0123456789abcdef-2531612879",
            "ecs:my_cluster-1_task_runtime",
            &long,
        ] {
            assert_eq!(Target::parse(host).unwrap().as_str(), host);
        }
    }

    #[test]
    fn refuses_everything_else() {
        let long = format!("i-{}", "a".repeat(MAX_TARGET_CHARS - 1));
        for host in [
            "",
            "i-",
            "mi-",
            "I-0123",
            "web-1",
            "i-0123 ",
            " i-0123",
            "i-0123/x",
            "i-0123.eu-west-1",
            "i-é",
            "ec2-user@i-0123",
            "10.0.0.1",
            "ecs:",
            "ecs:cluster_task",
            "ecs:_task_runtime",
            "ecs:cluster__runtime",
            "ecs:cluster_task_",
            "ecs:cluster_task_run time",
            &long,
        ] {
            assert_eq!(Target::parse(host), Err(NotATarget), "{host:?}");
        }
    }
}
