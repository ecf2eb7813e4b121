//! The broker's use cases: each reads what it needs, lets the pure core decide, commits state,
//! audit and notices in one transaction, and only then has orders carried out.

mod activate;
mod agents;
mod audit;
mod credentials;
mod delegate;
mod draft;
mod drift;
mod error;
mod explain;
mod flows;
mod grants;
mod leavers;
mod outbox;
mod outcomes;
mod places;
mod purge;
mod reports;
mod requests;
mod review;
mod schedule;
mod sessions;
mod sightings;
mod submit;
mod use_reviews;
mod walk;

use std::sync::Arc;

use ebbgate_broker_ports::{Catalogue, Clock, Ids, Meter, Placement, Snapshot, Store};
use ebbgate_domain::{Timestamp, names::PrincipalId};
use tokio::sync::{Notify, watch};

pub use agents::{NewToken, TokenWish, spent_token_hash};
pub use audit::AuditState;
pub use credentials::IssuedCredential;
pub use delegate::DelegationWish;
pub use drift::DriftReport;
pub use error::{AppError, Mistake};
pub use explain::{Asked, Explained};
pub use flows::{Expected, FlowsApplied, version_of};
pub use outbox::Outbox;
pub use places::Standing;
pub use requests::RequestView;
pub use sessions::{EndSession, SessionView, Sessions};
pub use submit::{Wish, WishItem};
pub use use_reviews::UsePage;

/// Everything that the use cases work with.
pub struct Ports {
    /// Where everything rests.
    pub store: Arc<dyn Store>,
    /// What the settings say.
    pub catalogue: Arc<dyn Catalogue>,
    /// Where connectors run.
    pub placement: Arc<dyn Placement>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids.
    pub ids: Arc<dyn Ids>,
    /// What is counted.
    pub meter: Arc<dyn Meter>,
}

/// The broker: use cases over ports. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    ports: Arc<Ports>,
    scheduler: Arc<Notify>,
    outbox: watch::Sender<()>,
    drift: Arc<drift::LastLooks>,
    suspects: Arc<drift::Suspects>,
    unsettled: Arc<leavers::Unsettled>,
}

/// Who asks, as authentication found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The person.
    pub id: PrincipalId,
    /// Whether they may administer.
    pub administrator: bool,
    /// Whether they may read everything. Administrators may.
    pub auditor: bool,
}

/// A client's key for one POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientKey {
    /// The key.
    pub key: String,
    /// SHA-256 of operation and body, in hex.
    pub fingerprint: String,
}

impl Broker {
    /// A broker over these ports.
    pub fn new(ports: Ports) -> Self {
        Self {
            ports: Arc::new(ports),
            scheduler: Arc::new(Notify::new()),
            outbox: watch::Sender::new(()),
            drift: Arc::default(),
            suspects: Arc::default(),
            unsettled: Arc::default(),
        }
    }

    /// The person of that name as a caller; none where they are unknown or disabled.
    pub fn caller(&self, id: &PrincipalId) -> Option<Caller> {
        let snapshot = self.snapshot();
        snapshot.directory.active(id)?;
        let administrator = snapshot.is_administrator(id);
        let auditor = administrator || snapshot.is_auditor(id);
        Some(Caller { id: id.clone(), administrator, auditor })
    }

    /// The settings in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.ports.catalogue.snapshot()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// How many records of the store were found that are not believed.
    pub fn not_believed(&self) -> u64 {
        self.store().broken_seals()
    }

    /// Lets the scheduler look again: an agent came, or settings changed.
    pub fn wake(&self) {
        self.scheduler.notify_one();
    }

    fn store(&self) -> &dyn Store {
        self.ports.store.as_ref()
    }
}
