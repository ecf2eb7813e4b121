//! Which agent holds which grant, where several serve an integration: what one that connects must
//! know, and grants that go from one to another.

use ebbgate_broker_ports::{StoreError, store::Versioned};
use ebbgate_domain::{
    grant::{Grant, GrantState},
    ids::GrantId,
    names::{AgentName, IntegrationName},
    order::Order,
};

use crate::{AppError, Broker, walk::Failures};

/// What stands for an agent that has just connected.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The orders that it must hold or carry out, and nothing else.
    pub orders: Vec<Order>,
    /// Live grants on its integrations that another agent holds.
    pub elsewhere: Vec<GrantId>,
}

impl Broker {
    /// What stands on these integrations for an agent. Live grants that no agent has on record are
    /// this one's from now on.
    ///
    /// # Errors
    /// The store failed.
    pub async fn standing(
        &self,
        agent: &AgentName,
        integrations: &[IntegrationName],
    ) -> Result<Standing, AppError> {
        let mut standing = Standing::default();
        if integrations.is_empty() {
            return Ok(standing);
        }
        let mut walk = self.live_grants(integrations);
        while let Some(page) = walk.next_page().await? {
            for grant in page {
                let claimed = match &grant.place {
                    None if grant.state != GrantState::Planned => {
                        match self.claim(grant.id, agent).await {
                            // The agent has other grants, and this one is nobody's meanwhile.
                            Err(AppError::Store(StoreError::NotBelieved { .. })) => None,
                            claimed => claimed?,
                        }
                    }
                    _ => None,
                };
                let grant = claimed.unwrap_or(grant);
                let Some(order) = grant.standing_order() else { continue };
                if grant.place.as_ref() == Some(agent) {
                    standing.orders.push(order);
                } else {
                    standing.elsewhere.push(grant.id);
                }
            }
        }
        Ok(standing)
    }

    /// The grant as it stands after the agent has claimed it; none where there is nothing to claim.
    async fn claim(&self, id: GrantId, agent: &AgentName) -> Result<Option<Grant>, AppError> {
        self.retry(|| async {
            let Some(Versioned { version, value }) = self.store().grant(id).await? else {
                return Ok(None);
            };
            let now = self.now();
            let Some(transition) = value.claimed(agent, now) else { return Ok(Some(value)) };
            let claimed = transition.state.clone();
            let draft = self.draft_grant(version, transition, now).await?;
            self.commit(draft).await?;
            Ok(Some(claimed))
        })
        .await
    }

    /// Lets agents that are there now end what the agents that hold it are not there to end.
    ///
    /// # Errors
    /// The store failed for one of them; the others were looked at.
    pub async fn relieve(&self, integrations: &[IntegrationName]) -> Result<(), AppError> {
        self.hand_over_where(integrations, |grant| {
            matches!(grant.state, GrantState::Revoking { .. })
        })
        .await
    }

    /// Gives the live grants of an agent that will not come back to others.
    pub(crate) async fn relieve_of(
        &self,
        agent: &AgentName,
        integrations: &[IntegrationName],
    ) -> Result<(), AppError> {
        self.hand_over_where(integrations, |grant| grant.place.as_ref() == Some(agent)).await
    }

    async fn hand_over_where(
        &self,
        integrations: &[IntegrationName],
        wanted: impl Fn(&Grant) -> bool + Send + Sync,
    ) -> Result<(), AppError> {
        if integrations.is_empty() {
            return Ok(());
        }
        let mut failures = Failures::default();
        let mut walk = self.live_grants(integrations);
        while let Some(page) = walk.next_page().await? {
            for grant in page.iter().filter(|grant| wanted(grant)) {
                failures.take(grant.id, self.hand_over(grant.id).await.map(drop));
            }
        }
        failures.first()
    }

    /// Gives a grant whose agent is away to another one, and tells which; none where its agent is
    /// there, or no other is.
    pub(crate) async fn hand_over(&self, id: GrantId) -> Result<Option<AgentName>, AppError> {
        self.retry(|| async {
            let Some(Versioned { version, value }) = self.store().grant(id).await? else {
                return Ok(None);
            };
            let (now, runner) = (self.now(), self.ports.placement.runner(&value.integration));
            let Some(transition) = value.hand_over(&runner, now) else { return Ok(None) };
            let place = transition.state.place.clone();
            let draft = self.draft_grant(version, transition, now).await?;
            self.commit(draft).await?;
            Ok(place)
        })
        .await
    }
}
