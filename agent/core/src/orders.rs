//! Taking up orders: an older one does nothing, the same one again changes nothing, and none brings
//! back what is being torn down (I4, I5).

use ebbgate_domain::{
    Timestamp,
    order::{EndCause, Order, OrderAction},
};
use jiff::SignedDuration;

use crate::{
    agent::{Agent, report, torn_down},
    held::{Held, Stage},
    reading::{LocalDeadline, Reading},
    step::{Failure, Outcome, Step},
};

/// From this age on an order to give access is not carried out any more. The broker sends one that
/// is not answered again after 30 s, maybe to another agent, which may have ended the grant since.
const FRESH: SignedDuration = SignedDuration::from_secs(20);

/// An order with what the broker's clock said when it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// What to do.
    pub order: Order,
    /// How long was left until the grant's deadline.
    pub remaining: SignedDuration,
    /// When that was; none where the broker did not tell.
    pub sent_at: Option<Timestamp>,
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
        let objection = self.objection(&ordered, draining, now);
        let Ordered { order: Order { seq, action, spec }, remaining, .. } = ordered;
        match action {
            OrderAction::Revoke => self.intend_revoke(seq, spec, EndCause::Ordered, now, steps),
            OrderAction::Provision => match objection {
                Some(failure) => {
                    steps.push(report(spec.grant, seq, now, Outcome::ProvisionFailed(failure)));
                }
                None => self.intend_provision(seq, spec, remaining, now, steps),
            },
        }
    }

    /// Why a grant that is not held yet is not taken on.
    fn objection(&self, ordered: &Ordered, draining: bool, now: &Reading) -> Option<Failure> {
        let Ordered { order: Order { spec, .. }, remaining, .. } = ordered;
        if !self.integrations.contains(&spec.integration) {
            return Some(Failure::lasting(format!(
                "this agent does not serve the integration {}: add it to its settings",
                spec.integration
            )));
        }
        if LocalDeadline::new(spec.deadline, *remaining, now).is_over(now) {
            return Some(Failure::lasting(format!(
                "the grant's deadline {} has passed by the agent's clock, which says {}",
                spec.deadline, now.wall
            )));
        }
        if draining {
            return Some(Failure::passing("the agent is draining and takes no new grants"));
        }
        self.clock_objection().or_else(|| self.age_objection(ordered, now))
    }

    /// Why an order that was under way for so long gives no access: meanwhile it may have been sent
    /// to another agent, and the grant been ended there.
    fn age_objection(&self, ordered: &Ordered, now: &Reading) -> Option<Failure> {
        let (least, most) = self.age(ordered.sent_at?, now)?;
        let fresh = most <= FRESH && least >= -FRESH;
        (!fresh).then(|| {
            Failure::passing(format!(
                "the order was sent {:.1} s ago, as far as the agent's clock tells: it takes only fresh ones",
                most.as_secs_f64()
            ))
        })
    }

    fn order_for_held(
        &mut self,
        held: &Held,
        ordered: Ordered,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) {
        let stale = self.age_objection(&ordered, now);
        let Ordered { order: Order { seq, action, spec }, remaining, .. } = ordered;
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
                steps.push(report(grant, seq, now, Outcome::Provisioned(held.told.clone())));
            }
            (OrderAction::Provision, stage) => {
                let same = *stage == Stage::ProvisionIntended && !changed;
                let runs = self.work.get(&grant).is_some_and(|work| work.running);
                match stale {
                    // One that runs is what was ordered; its end is reported under the newest number.
                    _ if same && runs => self.see(held, seq, steps),
                    Some(failure) => {
                        self.see(held, seq, steps);
                        steps.push(report(grant, seq, now, Outcome::ProvisionFailed(failure)));
                    }
                    None if same => {
                        self.see(held, seq, steps);
                        self.work.entry(grant).or_default().provision = true;
                    }
                    None => self.intend_provision(seq, spec, remaining, now, steps),
                }
            }
        }
    }
}
