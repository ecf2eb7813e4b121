//! The broker's small ports: ids out of the seed, a mailbox that loses letters, and counting.

use std::sync::Arc;

use async_trait::async_trait;
use ebbgate_broker_ports::{Channel, ChannelError, Ids, Meter, store::OutboxItem};
use ebbgate_domain::{Timestamp, grant::Grant, ids::Entropy, names::ChannelName, order::Finding};

use crate::{kernel::Sim, settings::mailbox, world::World};

/// Randomness for ids, out of the seed.
pub(crate) struct SeededIds(pub(crate) Sim);

impl Ids for SeededIds {
    fn entropy(&self) -> Entropy {
        std::array::from_fn(|_| u8::try_from(self.0.below(256)).unwrap_or(0))
    }
}

/// What reached people.
pub(crate) struct Mailbox {
    name: ChannelName,
    world: Arc<World>,
}

impl Mailbox {
    /// The mailbox of that world.
    pub(crate) fn of(world: Arc<World>) -> Self {
        Self { name: mailbox(), world }
    }
}

#[async_trait]
impl Channel for Mailbox {
    fn name(&self) -> &ChannelName {
        &self.name
    }

    async fn deliver(&self, item: &OutboxItem, _: Timestamp) -> Result<(), ChannelError> {
        let world = &self.world;
        let lost =
            || ChannelError { channel: self.name.clone(), wait: None, source: "no answer".into() };
        world.sim.sleep(world.sim.between(1, 200)).await;
        if world.sim.chance(world.profile.undelivered) {
            return Err(lost());
        }
        world.delivered.lock().push((item.id, item.notice.clone()));
        // It came, but its sender does not hear so.
        if world.sim.chance(world.profile.undelivered) { Err(lost()) } else { Ok(()) }
    }
}

/// Counts into the trace.
pub(crate) struct Counting(pub(crate) Sim);

impl Meter for Counting {
    fn activated(&self, _: &Grant, _: Timestamp) {
        self.0.count("grant active");
    }

    fn torn_down(&self, _: &Grant, _: &Finding) {
        self.0.count("grant torn down");
    }

    fn stuck(&self, _: &Grant) {
        self.0.count("teardown stuck");
    }

    fn teardown_failed(&self, _: &Grant) {
        self.0.count("teardown failed");
    }

    fn refused(&self, _: &'static str) {
        self.0.count("refusal");
    }
}
