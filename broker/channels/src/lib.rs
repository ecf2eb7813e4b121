//! Channels to people. So far one: the log, for a start and for the demo.

use async_trait::async_trait;
use ebbgate_broker_ports::{Channel, ChannelError};
use ebbgate_domain::{ids::NoticeId, notice::Notice};

/// Writes each notice as one line of the program's log.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogChannel;

#[async_trait]
impl Channel for LogChannel {
    fn name(&self) -> &str {
        "log"
    }

    async fn deliver(&self, id: NoticeId, notice: &Notice) -> Result<(), ChannelError> {
        let channels = notice.channels.iter().map(|name| format!("channel:{name}"));
        let to: Vec<_> = notice.to.iter().map(ToString::to_string).chain(channels).collect();
        tracing::info!(
            notice.id = %id,
            notice.event = notice.event,
            notice.to = to.join(","),
            request.id = %notice.request,
            text = notice.text,
            "notice"
        );
        Ok(())
    }
}
