//! Taking up orders: an older one does nothing, the same one again changes nothing, and none brings
//! back what is being torn down (I4, I5).

use ebbgate_domain::order::{EndCause, GrantSpec, Order, OrderAction};
use jiff::SignedDuration;

use crate::{
    agent::{Agent, report, torn_down},
    held::{Held, Stage},
    reading::{LocalDeadline, Reading},
    step::{Failure, Outcome, Step},
};

/// An order with how long was left when the broker sent it, by the broker's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// What to do.
    pub order: Order,
    /// The time left.
    pub remaining: SignedDuration,
}

impl Agent {
    /// Takes up an order. `draining` keeps new grants out.
    pub fn on_order(&mut self, ordered: Ordered, draining: bool, now: &Reading) -> Vec<Step> {
        let mut steps = Vec::new();
        let grant = ordered.order.spec.grant;
        // Whoever held it before, from now on it is this agent's.
        self.elsewhere.remove(&grant);
        match self.state.get(grant) {
            Some(held) if ordered.order.seq < held.seq => {
                let outcome = Outcome::Stale { newest: held.seq };
                steps.push(report(grant, ordered.order.seq, now, outcome));
                return steps;
            }
            Some(held) => {
                let held = held.clone();
                self.order_for_held(&held, ordered, now, &mut steps);
            }
            None => self.order_for_new(ordered, draining, now, &mut steps),
        }
        self.kick(grant, now, &mut steps);
        steps
    }

    fn order_for_new(
        &mut self,
        ordered: Ordered,
        draining: bool,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        let Ordered { order: Order { seq, action, spec }, remaining } = ordered;
        match action {
            OrderAction::Revoke => self.intend_revoke(seq, spec, EndCause::Ordered, now, steps),
            OrderAction::Provision => match self.objection(&spec, remaining, draining, now) {
                Some(failure) => {
                    steps.push(report(spec.grant, seq, now, Outcome::ProvisionFailed(failure)));
                }
                None => self.intend_provision(seq, spec, remaining, now, steps),
            },
        }
    }

    /// Why a grant that is not held yet is not taken on.
    fn objection(
        &self,
        spec: &GrantSpec,
        remaining: SignedDuration,
        draining: bool,
        now: &Reading,
    ) -> Option<Failure> {
        if !self.integrations.contains(&spec.integration) {
            return Some(Failure::lasting(format!(
                "this agent does not serve the integration {}: add it to its settings",
                spec.integration
            )));
        }
        if LocalDeadline::new(spec.deadline, remaining, now).is_over(now) {
            return Some(Failure::lasting(format!(
                "the grant's deadline {} has passed by the agent's clock, which says {}",
                spec.deadline, now.wall
            )));
        }
        if draining {
            return Some(Failure::passing("the agent is draining and takes no new grants"));
        }
        self.clock_objection()
    }

    fn order_for_held(
        &mut self,
        held: &Held,
        ordered: Ordered,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        let Ordered { order: Order { seq, action, spec }, remaining } = ordered;
        let grant = spec.grant;
        let newer = seq > held.seq;
        // A number that was seen already bears the terms that came with it first.
        let changed = newer && spec != held.spec;
        match (action, &held.stage) {
            (_, Stage::TornDown { finding, .. }) => {
                self.see(held, seq, steps);
                steps.push(torn_down(held, seq, finding, now));
            }
            (OrderAction::Revoke, Stage::RevokeIntended) => {
                self.see(held, seq, steps);
                if newer {
                    self.work.entry(grant).or_default().retry_at = None;
                }
            }
            (OrderAction::Revoke, _) => {
                self.intend_revoke(seq, spec, EndCause::Ordered, now, steps)
            }
            (OrderAction::Provision, Stage::RevokeIntended) => {
                self.see(held, seq, steps);
                let failure = Failure::lasting("the agent is tearing the grant down already");
                steps.push(report(grant, seq, now, Outcome::ProvisionFailed(failure)));
            }
            (OrderAction::Provision, Stage::Provisioned) if !changed => {
                self.see(held, seq, steps);
                steps.push(report(grant, seq, now, Outcome::Provisioned));
            }
            (OrderAction::Provision, Stage::ProvisionIntended) if !changed => {
                self.see(held, seq, steps);
                let work = self.work.entry(grant).or_default();
                // One that runs is what was ordered; its end is reported under the newest number.
                work.provision |= !work.running;
            }
            (OrderAction::Provision, _) => self.intend_provision(seq, spec, remaining, now, steps),
        }
    }
}
