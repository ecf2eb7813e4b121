//! Reconciling with the broker, and with what is on the targets (I7).

use std::collections::BTreeSet;

use ebbgate_domain::{Timestamp, ids::GrantId, names::IntegrationName};
use jiff::SignedDuration;

use crate::{
    agent::{Agent, report},
    alarm::Alarm,
    held::{Held, Stage},
    orders::Ordered,
    reading::Reading,
    record::Cause,
    step::{Effect, Outcome, Step},
};

/// From here on the broker's and the agent's clocks disagree too much to keep quiet about.
const SKEW: SignedDuration = SignedDuration::from_secs(5);

/// The broker's full set of standing orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The orders.
    pub orders: Vec<Ordered>,
    /// Grants whose orders stand too, but that this agent does not understand: they are left alone.
    pub unread: Vec<GrantId>,
    /// The integrations that are this agent's. About others the broker's silence says nothing.
    pub served: BTreeSet<IntegrationName>,
    /// What the broker's clock says.
    pub broker_now: Timestamp,
}

impl Agent {
    /// Takes up the broker's full set of standing orders: what is held and not in it ends, and
    /// ends that the broker has not on record are told again.
    pub fn on_welcome(&mut self, welcome: Welcome, draining: bool, now: &Reading) -> Vec<Step> {
        let Welcome { orders, unread, served, broker_now } = welcome;
        let mut steps = Vec::new();
        let ahead = now.wall.duration_since(broker_now);
        if ahead.abs() > SKEW {
            steps.push(Step::Alarm(Alarm::ClockSkew { ahead }));
        }
        let listed = orders.iter().map(|ordered| ordered.order.spec.grant);
        let standing: BTreeSet<GrantId> = listed.chain(unread).collect();
        let others: Vec<Held> = self
            .state
            .held()
            .filter(|held| !standing.contains(&held.spec.grant))
            .cloned()
            .collect();
        self.standing = Some(standing);
        self.served = served.intersection(&self.integrations).cloned().collect();
        for held in others {
            self.not_standing(&held, now, &mut steps);
        }
        for order in orders {
            steps.extend(self.on_order(order, draining, now));
        }
        steps
    }

    fn not_standing(&mut self, held: &Held, now: &Reading, steps: &mut Vec<Step>) {
        let grant = held.spec.grant;
        match &held.stage {
            Stage::TornDown { finding, recorded: false } => {
                steps.push(report(grant, held.seq, now, Outcome::TornDown(finding.clone())));
            }
            // What was given to another agent, or is not in the settings any more, is not listed
            // here: the deadline stands.
            Stage::ProvisionIntended | Stage::Provisioned
                if self.served.contains(&held.spec.integration) =>
            {
                self.intend_revoke(held.seq, held.spec.clone(), Cause::NotStanding, now, steps);
                self.kick(grant, now, steps);
            }
            _ => {}
        }
    }

    /// Takes up a look at a target that began at `started`: what bears the mark of a grant that
    /// neither the agent holds nor the broker listed is removed. Before the first Welcome nothing
    /// is.
    pub fn on_marked(
        &mut self,
        integration: &IntegrationName,
        started: Timestamp,
        marked: Vec<GrantId>,
    ) -> Vec<Step> {
        let Some(standing) = &self.standing else { return Vec::new() };
        if !self.served.contains(integration) {
            return Vec::new();
        }
        let mut steps = Vec::new();
        for grant in marked {
            let known = self.state.get(grant).is_some_and(|held| match &held.stage {
                // Verified gone before the look began, and there again: a target that was restored
                // from a back-up, say.
                Stage::TornDown { finding, .. } => finding.checked_at >= started,
                _ => true,
            });
            let busy = self.work.get(&grant).is_some_and(|work| work.running);
            if known || busy || standing.contains(&grant) {
                continue;
            }
            self.work.entry(grant).or_default().running = true;
            let integration = integration.clone();
            steps.push(Step::Begin(Effect::RemoveOrphan { integration, grant }));
        }
        steps
    }
}
