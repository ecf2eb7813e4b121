//! What may happen at the store's door: others go first, the broker dies at the boundary of a
//! commit, the database fails, or does the work and loses the answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ebbgate_broker_ports::{
    StoreError,
    store::{Change, Write},
};
use ebbgate_domain::{audit::Action, duration::AccessDuration};

use crate::{
    kernel::{Node, Sim},
    scenario::Sabotage,
    store::failed,
};

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    sim: Sim,
    risks: Arc<Risks>,
    sabotage: Option<Sabotage>,
}

#[derive(Default)]
struct Risks {
    crash_per_mille: AtomicU64,
    failure_per_mille: AtomicU64,
}

impl Gate {
    /// A door without risks yet.
    pub fn new(sim: &Sim, sabotage: Option<Sabotage>) -> Self {
        Self { sim: sim.clone(), risks: Arc::default(), sabotage }
    }

    /// In how many of a thousand commits the broker dies at each boundary, and the database fails.
    pub fn set_risks(&self, crash_per_mille: u64, failure_per_mille: u64) {
        self.risks.crash_per_mille.store(crash_per_mille, Ordering::Relaxed);
        self.risks.failure_per_mille.store(failure_per_mille, Ordering::Relaxed);
    }

    pub(crate) async fn read(&self) -> Result<(), StoreError> {
        if self.sim.chance(500) {
            self.sim.yield_now().await;
        }
        self.fail("read").await
    }

    pub(crate) async fn before_commit(&self) -> Result<(), StoreError> {
        self.sim.yield_now().await;
        self.crash("before a commit", "broker crash before commit").await;
        self.fail("commit").await
    }

    pub(crate) async fn after_commit(&self) -> Result<(), StoreError> {
        self.crash("after a commit", "broker crash after commit").await;
        self.fail("hear that it has committed").await
    }

    pub(crate) fn sabotage(&self, change: &mut Change) {
        match self.sabotage {
            Some(Sabotage::NoAudit) if self.sim.chance(100) => change.events.clear(),
            Some(Sabotage::LostNotices) if self.sim.chance(100) => change.notices.clear(),
            Some(Sabotage::OwnApproval) => approve_oneself(change),
            Some(Sabotage::MoreThanGiven) => give_more(change),
            _ => {}
        }
    }

    async fn crash(&self, at: &str, what: &'static str) {
        if self.sim.chance(self.risks.crash_per_mille.load(Ordering::Relaxed)) {
            self.sim.note(Node::Broker, format_args!("dies {at}"));
            self.sim.count(what);
            self.sim.die(Node::Broker).await;
        }
    }

    async fn fail(&self, doing: &'static str) -> Result<(), StoreError> {
        if self.sim.chance(self.risks.failure_per_mille.load(Ordering::Relaxed)) {
            self.sim.note(Node::Broker, format_args!("the store could not {doing}"));
            self.sim.count("store failure");
            return Err(failed(doing, "the simulated database failed"));
        }
        Ok(())
    }
}

/// A broker that gives a second more than was asked for.
fn give_more(change: &mut Change) {
    let more = AccessDuration::from_seconds(1);
    for write in &mut change.grants {
        let Write::Update(found) = write else { continue };
        let extended = change.events.iter().any(|event| {
            event.action == Action::GrantExtending && event.grant == Some(found.value.id)
        });
        let longer = more.and_then(|more| found.value.duration.longer_by(more));
        if let Some(duration) = longer.filter(|_| extended) {
            found.value.duration = duration;
        }
    }
}

/// A broker that lets people approve what they ask for.
fn approve_oneself(change: &mut Change) {
    for write in &mut change.requests {
        if let Write::Update(found) = write {
            let requester = found.value.requester.clone();
            found.value.reviews.iter_mut().for_each(|review| review.by = requester.clone());
        }
    }
}
