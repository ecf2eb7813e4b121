//! The outbox: notices that were committed with what they tell of are delivered at least once,
//! with a stable id, in order for each request.

use std::{sync::Arc, time::Duration};

use ebbgate_broker_ports::{Channel, store::OutboxItem};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use crate::Broker;

const TICK: Duration = Duration::from_secs(1);
const BATCH: u32 = 64;
/// For how long taken notices are hidden from other takers; longer than any delivery may last.
const HIDE: SignedDuration = SignedDuration::from_secs(60);
/// The longest time for one delivery.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause after failures.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);

/// Delivers notices through a channel.
pub struct Outbox {
    broker: Broker,
    channel: Arc<dyn Channel>,
}

impl Outbox {
    /// An outbox of `broker` that delivers through `channel`.
    pub fn new(broker: Broker, channel: Arc<dyn Channel>) -> Self {
        Self { broker, channel }
    }

    /// Runs until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.deliver_due().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.broker.outbox.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Delivers what is due now.
    pub async fn deliver_due(&self) {
        loop {
            let now = self.broker.now();
            let until = now.saturating_add(HIDE).unwrap_or(now);
            match self.broker.store().take_notices(now, until, BATCH).await {
                Ok(items) if items.is_empty() => return,
                Ok(items) => {
                    for item in items {
                        self.deliver(item).await;
                    }
                }
                Err(error) => {
                    tracing::error!(
                        error = ebbgate_broker_ports::chain(&error),
                        "cannot read the outbox"
                    );
                    return;
                }
            }
        }
    }

    async fn deliver(&self, item: OutboxItem) {
        let delivery = tokio::time::timeout(PATIENCE, self.channel.deliver(item.id, &item.notice));
        let failed = match delivery.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error}: {}", error.source)),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let result = match failed {
            None => self.broker.store().notice_delivered(item.id).await,
            Some(why) => {
                tracing::warn!(notice.id = %item.id, channel = self.channel.name(), why, "a notice was not delivered; it is tried again");
                let pause =
                    SignedDuration::from_secs(1_i64 << item.failures.min(9)).min(LONGEST_PAUSE);
                let now = self.broker.now();
                let next = now.saturating_add(pause).unwrap_or(now);
                self.broker.store().notice_failed(item.id, next).await
            }
        };
        if let Err(error) = result {
            tracing::error!(notice.id = %item.id, error = ebbgate_broker_ports::chain(&error), "cannot note what became of a notice; it is delivered again");
        }
    }
}
