//! The early connection: made to the host that the stream will be on, if that is known, while the session is started.
//!
//! It saves the round trips of name, TCP and TLS. If it fails or leads elsewhere, the stream is dialled as any other.

use std::fmt;

use ssm_aws::Aws;
use ssm_net::{Address, Transport};
use tokio::task::JoinHandle;

use crate::limits;

/// A connection to the message gateway that is under way, or made. Dropping it ends it.
pub struct Early {
    address: Address,
    dialling: JoinHandle<Option<Box<dyn Transport>>>,
}

impl Early {
    /// Begins to connect, unless where to is not known. Within a tokio runtime only: the connection is a task of its own.
    pub async fn begin(aws: &Aws) -> Option<Self> {
        let address = aws.stream_address().await?;
        let (dialer, to, limit) = (aws.dialer().clone(), address.clone(), limits::connection(aws));
        let dialling = tokio::spawn(async move {
            let dialled = dialer.dial(&to, limit).await;
            dialled.inspect_err(|cause| tracing::debug!("no early connection: {cause}")).ok()
        });
        Some(Self { address, dialling })
    }

    /// The connection, if it came about and is to `address`.
    pub(crate) async fn to(mut self, address: &Address) -> Option<Box<dyn Transport>> {
        if self.address != *address {
            return None;
        }
        (&mut self.dialling).await.ok().flatten()
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.dialling.abort();
    }
}

impl fmt::Debug for Early {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Early").field("address", &self.address).finish_non_exhaustive()
    }
}
