//! The kind of a session: what its document has started, as far as a client can tell.

/// Which sessions the caller can make use of. The agent is told that others are not supported, and ends them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Accepts {
    /// [`Kind::Port`] alone.
    #[default]
    Port,
    /// Every [`Kind`].
    All,
}

/// The kind of a session. How the agent starts each kind is known from its code, and was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Raw bytes to and from a TCP port of the node (`Port`).
    Port,
    /// Connections to a port of the node, or to one behind it (`Port`, of type `LocalPortForwarding`): one after the other,
    /// or with newer agents as many as wanted, as streams of smux.
    Forward,
    /// A shell or a command on a terminal of the node (`Standard_Stream`, `InteractiveCommands`). Unless it is encrypted it
    /// begins without a handshake, so that nothing says which of the two it is.
    Terminal,
    /// A command without a terminal and without stdin (`NonInteractiveCommands`).
    Command,
}

impl Kind {
    /// Whether it leads to a port: then flags mean something, and there is neither stderr nor an exit status.
    pub(super) fn leads_to_port(self) -> bool {
        matches!(self, Self::Port | Self::Forward)
    }

    /// The kind that the handshake calls so, if it is one that is known here.
    pub(super) fn of_session_type(name: &str, is_forward: bool) -> Option<Self> {
        match name {
            "Port" if is_forward => Some(Self::Forward),
            "Port" => Some(Self::Port),
            "Standard_Stream" | "InteractiveCommands" => Some(Self::Terminal),
            "NonInteractiveCommands" => Some(Self::Command),
            _ => None,
        }
    }
}

/// The properties of a forward, as its document has them; one that is left out or empty is `None`. AWS's client reads them by
/// these names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ForwardProperties {
    /// `localPortNumber`: the port to listen on; 0 is any.
    pub local_port: Option<u16>,
    /// `localUnixSocket`, of a document whose `localConnectionType` is `unix`: the path to listen on.
    pub local_socket: Option<String>,
    /// `host`: the server behind the node; the node itself without it.
    pub host: Option<String>,
    /// `portNumber`: the port there.
    pub port: Option<u16>,
}
