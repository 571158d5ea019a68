//! The early connection: made to the host that the stream will be on, if that is known, while the session is started.
//!
//! It saves the round trips of name, TCP and TLS. Whatever becomes of it is no failure: without it the stream is dialled
//! as any other.

use tokio::task::JoinHandle;

use super::limits;
use ssm_aws::Aws;
use ssm_net::{Address, Transport};

/// A connection that is under way, or made.
pub(super) struct Early {
    address: Address,
    dialling: JoinHandle<Option<Box<dyn Transport>>>,
}

impl Early {
    /// Begins to connect, unless where to is not known. Within a tokio runtime only.
    pub(super) async fn begin(aws: &Aws) -> Option<Self> {
        let address = aws.stream_address().await?;
        let (dialer, to, limit) = (aws.dialer().clone(), address.clone(), limits::connection(aws));
        let dialling = tokio::spawn(async move {
            let dialled = dialer.dial(&to, limit).await;
            dialled.inspect_err(|cause| tracing::debug!("no early connection: {cause}")).ok()
        });
        Some(Self { address, dialling })
    }

    /// The connection, if it came about and is to `address`.
    pub(super) async fn to(mut self, address: &Address) -> Option<Box<dyn Transport>> {
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
