//! Where connectors run: those for cloud accounts in the broker itself, those for databases in the
//! agents that the settings name.

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
    grant::Grant,
    ids::{AgentId, GrantId},
    names::{AgentName, IntegrationName},
    order::{EndCause, GrantSpec, Order, OrderAction},
    placing::Runner,
    session::LiveSession,
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
    remote: BTreeMap<IntegrationName, Vec<AgentName>>,
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
        remote: BTreeMap<IntegrationName, Vec<AgentName>>,
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
                Ok(lacks) if lacks.is_empty() => {
                    tracing::info!(integration = %name, "the target is there, with the rights that are needed")
                }
                Ok(lacks) => {
                    for lack in lacks {
                        tracing::warn!(integration = %name, lacks = lack.what, cure = lack.cure, "the target cannot be used yet");
                    }
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

    /// Looks at each local target for marks of grants that nobody knows, which go, and for grants
    /// without their mark.
    pub(crate) async fn look_for_drift(&self) {
        let Some(broker) = self.broker.get() else { return };
        for (name, local) in &self.local {
            let looked = broker.look_for_drift(name, local.connector.as_ref()).await;
            if let Err(error) = looked {
                tracing::error!(integration = %name, error = ebbgate_broker_ports::chain(&error), "cannot tell what a look at a target found");
            }
        }
    }

    /// Any agent that serves the integration now: what is on a target, each of them sees.
    fn somebody(
        &self,
        integration: &IntegrationName,
        doing: &str,
    ) -> Result<AgentName, ConnectorError> {
        let failed = |kind, why: String| Err(ConnectorError::new(kind, doing).because(why));
        let Some(agents) = self.remote.get(integration) else {
            return failed(
                ErrorKind::Refused,
                format!("the settings have no integration {integration}"),
            );
        };
        match self.hub.candidates(integration, agents).into_iter().next() {
            Some(agent) => Ok(agent.name),
            None => {
                let away = NotPlaced::AgentAway { agents: agents.clone() };
                failed(ErrorKind::AgentAway, away.to_string())
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
            Ok(told) => Outcome::Provisioned(told),
            Err(error) => {
                Outcome::ProvisionFailed { error: error.chain(), may_pass: error.may_pass() }
            }
        },
        OrderAction::Revoke => match connector.revoke(&order.spec, clock).await {
            Ok(finding) => Outcome::TornDown { finding, cause: EndCause::Ordered },
            Err(error) => Outcome::TeardownFailed { error: error.chain() },
        },
    }
}

#[async_trait]
impl Placement for Places {
    fn ready(&self) -> Vec<IntegrationName> {
        let all = self.local.keys().chain(self.remote.keys());
        all.filter(|name| self.runner(name).takes_new_grants()).cloned().collect()
    }

    fn runner(&self, integration: &IntegrationName) -> Runner {
        if self.local.contains_key(integration) {
            return Runner::Broker;
        }
        match self.remote.get(integration) {
            Some(agents) => Runner::Agents(self.hub.candidates(integration, agents)),
            None => Runner::Nobody,
        }
    }

    async fn send(&self, order: Order, place: Option<&AgentName>) -> Result<(), NotPlaced> {
        let integration = &order.spec.integration;
        if let Some(local) = self.local.get(integration) {
            self.run(local, order);
            return Ok(());
        }
        let Some(agents) = self.remote.get(integration) else {
            return Err(NotPlaced::UnknownIntegration { integration: integration.to_string() });
        };
        let now = self.clock.now();
        if place.is_some_and(|agent| self.hub.order(agent, &order, now)) {
            return Ok(());
        }
        Err(NotPlaced::AgentAway { agents: agents.clone() })
    }

    fn over(&self, grant: &Grant) {
        self.hub.over(grant);
    }

    fn shut_out(&self, agent: AgentId) {
        self.hub.shut_out(agent);
    }

    fn credential_lifetime_seconds(&self, grant: &GrantSpec, now: Timestamp) -> Option<u32> {
        self.local.get(&grant.integration)?.connector.credential_lifetime_seconds(grant, now)
    }

    async fn credential(
        &self,
        grant: &GrantSpec,
        place: Option<&AgentName>,
        seq: u64,
        wish: CredentialWish,
        now: Timestamp,
    ) -> Result<Credential, ConnectorError> {
        if let Some(local) = self.local.get(&grant.integration) {
            return local.connector.credential(grant, wish, now).await;
        }
        let doing = "register the password's verifier";
        let CredentialWish::Verifier(verifier) = wish else {
            return Err(ConnectorError::new(ErrorKind::Invalid, "issue a credential")
                .because("databases take a password's verifier"));
        };
        let agent = match place {
            Some(agent) => agent.clone(),
            None => self.somebody(&grant.integration, doing)?,
        };
        self.hub.credential(&agent, grant.grant, seq, &verifier).await
    }

    async fn sessions(
        &self,
        integration: &IntegrationName,
    ) -> Result<Vec<LiveSession>, ConnectorError> {
        if let Some(local) = self.local.get(integration) {
            return local.connector.sessions().await;
        }
        let agent = self.somebody(integration, "list the sessions under grants")?;
        self.hub.sessions(&agent, integration).await
    }

    async fn end_session(
        &self,
        integration: &IntegrationName,
        session: &LiveSession,
    ) -> Result<bool, ConnectorError> {
        if let Some(local) = self.local.get(integration) {
            return local.connector.end_session(session).await;
        }
        let agent = self.somebody(integration, "end the session")?;
        self.hub.end_session(&agent, integration, session).await
    }
}
