//! API calls by name, each with the facts that an error about it needs.

/// An API call.
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
    /// KMS's `GenerateDataKey`.
    GenerateDataKey {
        /// The KMS key's id or ARN, or an alias, as far as it fits into one bounded line without control characters.
        key_id: String,
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
            Self::GenerateDataKey { .. } => "GenerateDataKey",
        }
    }

    /// The name of the call's service, as people write it.
    pub fn service(&self) -> &'static str {
        match self {
            Self::StartSession { .. }
            | Self::ResumeSession
            | Self::TerminateSession
            | Self::DescribeInstanceInformation => "SSM",
            Self::SendSshPublicKey { .. } => "EC2 Instance Connect",
            Self::GenerateDataKey { .. } => "KMS",
        }
    }

    /// The action that IAM has to allow for the call.
    pub fn action(&self) -> &'static str {
        match self {
            Self::StartSession { .. } => "ssm:StartSession",
            Self::ResumeSession => "ssm:ResumeSession",
            Self::TerminateSession => "ssm:TerminateSession",
            Self::DescribeInstanceInformation => "ssm:DescribeInstanceInformation",
            Self::SendSshPublicKey { .. } => "ec2-instance-connect:SendSSHPublicKey",
            Self::GenerateDataKey { .. } => "kms:GenerateDataKey",
        }
    }
}
