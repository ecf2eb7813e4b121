//! Where connectors run: those for cloud accounts in the broker itself, those for databases in the
//! agent that the settings name.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use ebbgate_broker_app::Broker;
use ebbgate_broker_ports::{NotPlaced, Outcome, Placement};
use ebbgate_connector_api::{
    Clock, Connector, ConnectorError, Credential, CredentialWish, ErrorKind,
};
use ebbgate_domain::{
    Timestamp,
    audit::Actor,
    ids::GrantId,
    names::{AgentName, IntegrationName},
    order::{GrantSpec, Order, OrderAction},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::agents::Hub;

/// How many orders run at once on one integration: a slow target holds up itself alone.
const AT_ONCE: usize = 8;

/// Where each integration's connector runs.
pub(crate) struct Places {
    local: BTreeMap<IntegrationName, Local>,
    remote: BTreeMap<IntegrationName, AgentName>,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
    /// Who is told what became of an order that ran here; set once it exists.
    broker: OnceLock<Broker>,
    tasks: TaskTracker,
}

/// An integration whose connector runs here.
struct Local {
    connector: Arc<dyn Connector>,
    permits: Arc<Semaphore>,
    /// The newest order that was taken for each grant with one under way, so that a late one that
    /// waited for a permit does nothing (I5).
    newest: Arc<Mutex<HashMap<GrantId, u64>>>,
}

impl Places {
    pub(crate) fn new(
        local: BTreeMap<IntegrationName, Arc<dyn Connector>>,
        remote: BTreeMap<IntegrationName, AgentName>,
        hub: Arc<Hub>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let local = local
            .into_iter()
            .map(|(name, connector)| {
                let permits = Arc::new(Semaphore::new(AT_ONCE));
                (name, Local { connector, permits, newest: Arc::default() })
            })
            .collect();
        Self { local, remote, hub, clock, broker: OnceLock::new(), tasks: TaskTracker::new() }
    }

    /// Says who is told what became of orders that run here.
    pub(crate) fn report_to(&self, broker: Broker) {
        if self.broker.set(broker).is_err() {
            tracing::error!("outcomes have a receiver already");
        }
    }

    /// Waits until every order that runs here is done and on record.
    pub(crate) async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Says in the log whether each target that is served from here can be used.
    pub(crate) async fn check(&self) {
        for (name, local) in &self.local {
            match local.connector.check().await {
                Ok(()) => {
                    tracing::info!(integration = %name, "the target is there, with the rights that are needed")
                }
                Err(error) => {
                    tracing::warn!(integration = %name, error = error.chain(), "the target cannot be used yet")
                }
            }
        }
    }

    /// Lets each local connector clear away what may go.
    pub(crate) async fn prune(&self) {
        for (name, local) in &self.local {
            if let Err(error) = local.connector.prune(self.clock.now()).await {
                tracing::warn!(integration = %name, error = ebbgate_broker_ports::chain(&error), "cannot prune; it is tried again");
            }
        }
    }

    fn run(&self, local: &Local, order: Order) {
        let (connector, permits, newest) =
            (local.connector.clone(), local.permits.clone(), local.newest.clone());
        let (clock, broker) = (self.clock.clone(), self.broker.get().cloned());
        let (grant, seq) = (order.spec.grant, order.seq);
        {
            let mut newest = newest.lock();
            let known = newest.entry(grant).or_insert(seq);
            *known = (*known).max(seq);
        }
        // A task of its own: nobody cancels work on a target midway.
        self.tasks.spawn(async move {
            let Ok(_permit) = permits.acquire_owned().await else { return };
            if newest.lock().get(&grant) != Some(&seq) {
                return;
            }
            let outcome = execute(connector.as_ref(), &order, clock.as_ref()).await;
            {
                let mut newest = newest.lock();
                if newest.get(&grant) == Some(&seq) {
                    newest.remove(&grant);
                }
            }
            let Some(broker) = broker else { return };
            let now = clock.now();
            if let Err(error) = broker.record_outcome(grant, seq, outcome, Actor::Broker, now).await {
                // Unanswered, the order is sent again; doing it twice changes nothing.
                tracing::error!(grant.id = %grant, error = ebbgate_broker_ports::chain(&error), "cannot record an outcome");
            }
        });
    }
}

async fn execute(connector: &dyn Connector, order: &Order, clock: &dyn Clock) -> Outcome {
    match order.action {
        OrderAction::Provision => match connector.provision(&order.spec, clock.now()).await {
            Ok(()) => Outcome::Provisioned,
            Err(error) => {
                Outcome::ProvisionFailed { error: error.chain(), may_pass: error.may_pass() }
            }
        },
        OrderAction::Revoke => match connector.revoke(&order.spec, clock).await {
            Ok(finding) => Outcome::TornDown(finding),
            Err(error) => Outcome::TeardownFailed { error: error.chain() },
        },
    }
}

#[async_trait]
impl Placement for Places {
    fn ready(&self) -> Vec<IntegrationName> {
        let served = self.remote.iter().filter(|(name, agent)| self.hub.serves(agent, name));
        self.local.keys().chain(served.map(|(name, _)| name)).cloned().collect()
    }

    async fn send(&self, order: Order) -> Result<(), NotPlaced> {
        let integration = &order.spec.integration;
        if let Some(local) = self.local.get(integration) {
            self.run(local, order);
            return Ok(());
        }
        let Some(agent) = self.remote.get(integration) else {
            return Err(NotPlaced::UnknownIntegration { integration: integration.to_string() });
        };
        if self.hub.order(agent, &order, self.clock.now()) {
            return Ok(());
        }
        Err(NotPlaced::AgentAway { agent: agent.to_string() })
    }

    fn credential_lifetime_seconds(&self, grant: &GrantSpec, now: Timestamp) -> Option<u32> {
        self.local.get(&grant.integration)?.connector.credential_lifetime_seconds(grant, now)
    }

    async fn credential(
        &self,
        grant: &GrantSpec,
        seq: u64,
        wish: CredentialWish,
        now: Timestamp,
    ) -> Result<Credential, ConnectorError> {
        if let Some(local) = self.local.get(&grant.integration) {
            return local.connector.credential(grant, wish, now).await;
        }
        match (self.remote.get(&grant.integration), &wish) {
            (Some(agent), CredentialWish::Verifier(verifier)) => {
                self.hub.credential(agent, grant.grant, seq, verifier).await
            }
            (Some(_), CredentialWish::Issue) => Err(ConnectorError::new(
                ErrorKind::Invalid,
                "issue a credential: databases take a password's verifier",
            )),
            (None, _) => Err(ConnectorError::new(
                ErrorKind::Refused,
                format!("find the integration {} in the settings", grant.integration),
            )),
        }
    }
}
