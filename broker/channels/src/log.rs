//! The program's log as a channel: for a start, and for the demo.

use async_trait::async_trait;
use ebbgate_broker_ports::{Channel, ChannelError, store::OutboxItem};
use ebbgate_domain::{Timestamp, names::ChannelName};

/// Writes each notice as one line of the program's log.
#[derive(Debug, Clone)]
pub struct LogChannel {
    name: ChannelName,
}

impl LogChannel {
    /// A log channel of this name.
    pub fn new(name: ChannelName) -> Self {
        Self { name }
    }
}

#[async_trait]
impl Channel for LogChannel {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    async fn deliver(&self, item: &OutboxItem, _: Timestamp) -> Result<(), ChannelError> {
        let notice = &item.notice;
        let channels = notice.channels.iter().map(|name| format!("channel:{name}"));
        let to: Vec<_> = notice.to.iter().map(ToString::to_string).chain(channels).collect();
        tracing::info!(
            notice.id = %item.id,
            notice.event = notice.event,
            notice.to = to.join(","),
            request.id = %notice.request,
            text = notice.text,
            "notice"
        );
        Ok(())
    }
}
