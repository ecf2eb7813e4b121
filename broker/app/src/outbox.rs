//! The outbox: notices that were committed with what they tell of are delivered at least once,
//! with a stable id, in order for each request. Each channel has an outbox of its own, so that one
//! that is stuck never delays another.

use std::{sync::Arc, time::Duration};

use ebbgate_broker_ports::{
    Channel, StoreError,
    store::{Backlog, OutboxItem},
};
use ebbgate_domain::{
    audit::{Action, Actor, AuditEvent},
    names::ChannelName,
    notice::Undelivered,
};
use futures_util::{StreamExt as _, stream};
use jiff::SignedDuration;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{AppError, Broker, Caller, draft::Draft};

const TICK: Duration = Duration::from_secs(1);
/// How many deliveries of one channel are under way at once; each is another request's.
const AT_ONCE: u32 = 8;
/// For how long taken notices are hidden from other takers, beside their turns: longer than any
/// delivery may last. After a crash they come again that late.
const HIDE: Duration = Duration::from_secs(60);
/// The longest time for one delivery.
const PATIENCE: Duration = Duration::from_secs(10);

/// Delivers notices through one channel.
pub struct Outbox {
    broker: Broker,
    channel: Arc<dyn Channel>,
    pace: Pace,
}

/// Keeps a channel within its rate.
struct Pace {
    gap: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// Waits for this delivery's turn.
    async fn turn(&self) {
        if self.gap.is_zero() {
            return;
        }
        let mut next = self.next.lock().await;
        let now = Instant::now();
        let turn = next.map_or(now, |next| next.max(now));
        *next = Some(turn + self.gap);
        drop(next);
        tokio::time::sleep_until(turn).await;
    }
}

impl Outbox {
    /// An outbox of `broker` that delivers through `channel`, at most `per_minute` notices a minute
    /// where that is said.
    pub fn new(broker: Broker, channel: Arc<dyn Channel>, per_minute: Option<u32>) -> Self {
        let gap = per_minute.map_or(Duration::ZERO, |rate| Duration::from_secs(60) / rate.max(1));
        Self { broker, channel, pace: Pace { gap, next: Mutex::new(None) } }
    }

    /// Runs until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut news = self.broker.outbox.subscribe();
        while !stop.is_cancelled() {
            news.mark_unchanged();
            while self.deliver_some().await && !stop.is_cancelled() {}
            tokio::select! {
                () = stop.cancelled() => {}
                _ = news.changed() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Delivers what is due now.
    pub async fn deliver_due(&self) {
        while self.deliver_some().await {}
    }

    /// Delivers a few of those that are due; whether there were any.
    async fn deliver_some(&self) -> bool {
        let now = self.broker.now();
        let until = now.saturating_add(HIDE + self.pace.gap * AT_ONCE).unwrap_or(now);
        let taken = self.broker.store().take_notices(self.channel.name(), now, until, AT_ONCE);
        match taken.await {
            Ok(items) if items.is_empty() => false,
            Ok(items) => {
                stream::iter(items).for_each_concurrent(None, |item| self.deliver(item)).await;
                true
            }
            Err(error) => {
                tracing::error!(
                    error = ebbgate_broker_ports::chain(&error),
                    "cannot read the outbox"
                );
                false
            }
        }
    }

    async fn deliver(&self, item: OutboxItem) {
        self.pace.turn().await;
        let delivery =
            tokio::time::timeout(PATIENCE, self.channel.deliver(&item, self.broker.now()));
        let failed = match delivery.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((ebbgate_broker_ports::chain(&error), error.wait)),
            Err(_) => Some((format!("no answer within {} s", PATIENCE.as_secs()), None)),
        };
        let result = match failed {
            None => self.broker.store().notice_delivered(item.id).await,
            Some((why, wait)) => self.failed(&item, &why, wait).await,
        };
        if let Err(error) = result {
            tracing::error!(notice.id = %item.id, error = ebbgate_broker_ports::chain(&error), "cannot note what became of a notice; it is delivered again");
        }
    }

    async fn failed(
        &self,
        item: &OutboxItem,
        why: &str,
        wait: Option<Duration>,
    ) -> Result<(), StoreError> {
        let asked = wait.and_then(|wait| SignedDuration::try_from(wait).ok());
        let fate = item.notice.undelivered(item.at, item.failures, asked, self.broker.now());
        let next = match fate {
            Undelivered::Again(next) => {
                tracing::warn!(notice.id = %item.id, channel = %item.channel, why, "a notice was not delivered; it is tried again");
                Some(next)
            }
            Undelivered::SetAside => {
                tracing::error!(notice.id = %item.id, channel = %item.channel, why, "a notice is set aside: it could not be delivered for a day; `ebb admin channels replay` tries again");
                None
            }
        };
        self.broker.store().notice_failed(item.id, next, why).await
    }
}

impl Broker {
    /// How far each channel is behind.
    ///
    /// # Errors
    /// The store failed.
    pub async fn channels(&self) -> Result<Vec<Backlog>, AppError> {
        let mut known = self.store().backlog().await?;
        for route in &self.snapshot().routes {
            if !known.iter().any(|backlog| backlog.channel == route.channel) {
                known.push(Backlog::nothing(route.channel.clone()));
            }
        }
        known.sort_by(|a, b| a.channel.cmp(&b.channel));
        Ok(known)
    }

    /// Tries everything again that a channel has set aside. Gives how many notices that is.
    ///
    /// # Errors
    /// There is no such channel, or the store failed.
    pub async fn replay_channel(
        &self,
        caller: &Caller,
        channel: &ChannelName,
    ) -> Result<u64, AppError> {
        if !self.snapshot().routes.iter().any(|route| route.channel == *channel) {
            return Err(AppError::not_found("channel", channel));
        }
        let backlog = self.store().backlog().await?;
        let count = backlog
            .iter()
            .find(|backlog| backlog.channel == *channel)
            .map_or(0, |backlog| backlog.set_aside);
        let actor = Actor::Principal(caller.id.clone());
        let event = AuditEvent::new(Action::ChannelReplayed, actor, self.now())
            .detail("channel", channel.to_string())
            .detail("notices", count);
        let mut draft = Draft::default();
        draft.change.replay = Some(channel.clone());
        draft.change.events.push(event);
        self.commit(draft).await?;
        self.outbox.send_replace(());
        Ok(count)
    }
}
