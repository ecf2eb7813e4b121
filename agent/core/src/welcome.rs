//! Reconciling with the broker: what it lists stands, and what it does not list ends.

use std::collections::BTreeSet;

use ebbgate_domain::{Timestamp, ids::GrantId, names::IntegrationName, order::EndCause};

use crate::{
    agent::{Agent, torn_down},
    held::{Held, Stage},
    orders::Ordered,
    reading::Reading,
    step::Step,
};

/// The broker's full set of standing orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The orders.
    pub orders: Vec<Ordered>,
    /// Grants whose orders stand too, but that this agent does not understand: they are left alone.
    pub unread: Vec<GrantId>,
    /// Whether that is all. Where some of it could not be trusted, what is not listed may stand all
    /// the same: nothing ends for not being listed.
    pub whole: bool,
    /// Grants on these integrations that another agent holds.
    pub elsewhere: BTreeSet<GrantId>,
    /// The integrations that are this agent's. About others the broker's silence says nothing.
    pub served: BTreeSet<IntegrationName>,
    /// What the broker's clock says.
    pub broker_now: Timestamp,
}

impl Agent {
    /// Takes up the broker's full set of standing orders: what is held and not in it ends, and
    /// ends that the broker has not on record are told again.
    pub fn on_welcome(&mut self, welcome: Welcome, draining: bool, now: &Reading) -> Vec<Step> {
        let Welcome { orders, unread, whole, elsewhere, served, broker_now } = welcome;
        let mut steps = self.on_broker_time(broker_now, now);
        steps.extend(self.orphans_again());
        let listed = orders.iter().map(|ordered| ordered.order.spec.grant);
        let standing: BTreeSet<GrantId> = listed.chain(unread).collect();
        let others: Vec<Held> = self
            .state
            .held()
            .filter(|held| !standing.contains(&held.spec.grant))
            .cloned()
            .collect();
        self.standing = whole.then_some(standing);
        self.elsewhere = elsewhere;
        self.welcomes += 1;
        self.served = served.intersection(&self.integrations).cloned().collect();
        for held in others {
            self.not_standing(&held, now, &mut steps);
        }
        for order in orders {
            steps.extend(self.on_order(order, draining, now));
        }
        steps
    }

    /// Another agent is about to be given a grant on an integration that this one serves too: as if
    /// the last Welcome had listed it.
    pub fn on_elsewhere(&mut self, grant: GrantId) {
        self.elsewhere.insert(grant);
    }

    /// What another agent held is over: a mark of it is an orphan's from now on, and what this one
    /// still has of it from before ends.
    pub fn on_elsewhere_over(&mut self, grant: GrantId, now: &Reading) -> Vec<Step> {
        let mut steps = Vec::new();
        self.elsewhere.remove(&grant);
        if let Some(held) = self.state.get(grant).filter(|held| held.is_given()) {
            let (seq, spec) = (held.seq, held.spec.clone());
            self.intend_revoke(seq, spec, EndCause::NotStanding, now, &mut steps);
            self.kick(grant, now, &mut steps);
        }
        steps
    }

    fn not_standing(&mut self, held: &Held, now: &Reading, steps: &mut Vec<Step>) {
        let grant = held.spec.grant;
        match &held.stage {
            Stage::TornDown { finding, recorded: false } => {
                steps.push(torn_down(held, held.seq, finding, now));
            }
            // What another agent has taken over, or is not in the settings any more, is not listed
            // here: the deadline stands.
            Stage::ProvisionIntended | Stage::Provisioned
                if self.standing.is_some()
                    && self.served.contains(&held.spec.integration)
                    && !self.elsewhere.contains(&grant) =>
            {
                let spec = held.spec.clone();
                self.intend_revoke(held.seq, spec, EndCause::NotStanding, now, steps);
                self.kick(grant, now, steps);
            }
            _ => {}
        }
    }
}
