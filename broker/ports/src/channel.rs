//! Ways to tell people something.

use std::time::Duration;

use async_trait::async_trait;
use ebbgate_domain::{Timestamp, names::ChannelName};

use crate::store::OutboxItem;

/// A channel could not deliver; the outbox tries again.
#[derive(Debug, thiserror::Error)]
#[error("could not deliver through {channel}")]
pub struct ChannelError {
    /// The channel's name.
    pub channel: ChannelName,
    /// How long its other side asked us to wait, where it did.
    pub wait: Option<Duration>,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// One way to tell people something. Delivery is at least once: the id lets a receiver drop what
/// it has seen.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Its name in settings and logs.
    fn name(&self) -> &ChannelName;

    /// Delivers one notice; `now` is the time of this attempt.
    ///
    /// # Errors
    /// It is tried again later.
    async fn deliver(&self, item: &OutboxItem, now: Timestamp) -> Result<(), ChannelError>;
}
