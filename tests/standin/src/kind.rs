//! The kinds of sessions (sessions §1.2): what a document makes of a session, by the names that the handshake uses.
//!
//! Plain values; nothing here acts.

use serde::{Serialize, Serializer};

/// What a session is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SessionKind {
    /// A TCP port; the SSH document is of this kind.
    #[default]
    Port,
    /// A shell on a terminal.
    Shell,
    /// A command on a terminal.
    InteractiveCommand,
    /// A command without a terminal and without input.
    NonInteractiveCommand,
}

impl SessionKind {
    /// The name that documents and the handshake have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Port => "Port",
            Self::Shell => "Standard_Stream",
            Self::InteractiveCommand => "InteractiveCommands",
            Self::NonInteractiveCommand => "NonInteractiveCommands",
        }
    }

    /// Whether the far side is a terminal.
    pub fn has_terminal(self) -> bool {
        matches!(self, Self::Shell | Self::InteractiveCommand)
    }

    /// Whether the agent shakes hands although nothing is encrypted (sessions §1.2).
    pub fn always_shakes_hands(self) -> bool {
        matches!(self, Self::Port | Self::NonInteractiveCommand)
    }
}

impl Serialize for SessionKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl std::str::FromStr for SessionKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Port, Self::Shell, Self::InteractiveCommand, Self::NonInteractiveCommand];
        all.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            format!("{text:?} is none of Port, Standard_Stream, InteractiveCommands, NonInteractiveCommands")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in ["Port", "Standard_Stream", "InteractiveCommands", "NonInteractiveCommands"] {
            assert_eq!(name.parse::<SessionKind>().unwrap().name(), name);
        }
        assert!("standard_stream".parse::<SessionKind>().is_err());
    }
}
