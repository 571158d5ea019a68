//! The calls of AWS's APIs: what each is called, and what an error about it has to know.

/// A call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Call {
    /// SSM's `StartSession`.
    StartSession {
        /// The session document's name.
        document: String,
    },
    /// SSM's `ResumeSession`.
    ResumeSession,
    /// SSM's `TerminateSession`.
    TerminateSession,
    /// SSM's `DescribeInstanceInformation`.
    DescribeInstanceInformation,
    /// EC2 Instance Connect's `SendSSHPublicKey`.
    SendSshPublicKey {
        /// The user on the instance that the key is for.
        user: String,
    },
}

impl Call {
    /// The operation's name.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::StartSession { .. } => "StartSession",
            Self::ResumeSession => "ResumeSession",
            Self::TerminateSession => "TerminateSession",
            Self::DescribeInstanceInformation => "DescribeInstanceInformation",
            Self::SendSshPublicKey { .. } => "SendSSHPublicKey",
        }
    }
}
