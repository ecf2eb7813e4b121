//! Guardrails over a request: whatever a step would do is put to them before it is written down, so
//! that no flow and no approver can give what they forbid.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{AccessRequest, Extension, ExtensionState, RequestState};
use crate::{
    approval::{Review, Verdict},
    audit::{Action, Actor},
    duration::AccessDuration,
    flow::Policies,
    guardrail::{Forbidden, Stage, Wanted},
    inventory::Inventory,
    names::PrincipalId,
    people::People,
    refusal::Refusal,
    transition::{Effect, Transition},
};

/// What a step would do, as guardrails look at it.
struct Deed<'a> {
    stage: Stage,
    duration: AccessDuration,
    reason: Option<&'a str>,
    reviews: &'a [Review],
}

impl Policies {
    /// Looks whether a guardrail forbids a step that somebody wants to take; `before` is none where
    /// it makes the request. Resources are judged by their tags of now, where they are still in the
    /// inventory.
    ///
    /// # Errors
    /// [`Refusal::ForbiddenByGuardrail`].
    pub fn guard(
        &self,
        before: Option<&AccessRequest>,
        step: &Transition<AccessRequest>,
        people: &People<'_>,
        inventory: &Inventory,
    ) -> Result<(), Refusal> {
        let forbidden = self.forbidden(before, step, people, inventory);
        forbidden.map_or(Ok(()), |forbidden| Err(Refusal::ForbiddenByGuardrail(forbidden)))
    }

    /// The same for a step that nobody takes by hand: what is forbidden ends the request, or the
    /// wish for more time, instead.
    pub fn guarded(
        &self,
        before: &AccessRequest,
        step: Transition<AccessRequest>,
        people: &People<'_>,
        inventory: &Inventory,
    ) -> Transition<AccessRequest> {
        match self.forbidden(Some(before), &step, people, inventory) {
            Some(forbidden) => before.barred(&forbidden, people.now),
            None => step,
        }
    }

    fn forbidden(
        &self,
        before: Option<&AccessRequest>,
        step: &Transition<AccessRequest>,
        people: &People<'_>,
        inventory: &Inventory,
    ) -> Option<Forbidden> {
        if self.guardrails.is_empty() {
            return None;
        }
        let request = &step.state;
        // Whoever has left is stopped by another rule, and before anything is provisioned (I10).
        let principal = people.directory.active(&request.requester)?;
        let judge = |deed: Deed<'_>| {
            let approved_by = voices(deed.reviews);
            request.items.iter().find_map(|item| {
                self.guardrails.forbids(&Wanted {
                    stage: deed.stage,
                    principal,
                    resource: inventory.get(&item.resource.id).unwrap_or(&item.resource),
                    permission: &item.permission,
                    flow: &request.flow.name,
                    break_glass: request.flow.break_glass.is_some(),
                    duration: deed.duration,
                    reason: deed.reason,
                    ticket: request.ticket.as_deref(),
                    approved_by: &approved_by,
                    now: people.now,
                })
            })
        };
        deeds(before, step).into_iter().find_map(judge)
    }
}

/// Everything that a step does of what guardrails look at, in its order.
fn deeds<'a>(before: Option<&AccessRequest>, step: &'a Transition<AccessRequest>) -> Vec<Deed<'a>> {
    let request = &step.state;
    let itself = |stage| Deed {
        stage,
        duration: request.duration,
        reason: request.reason.as_deref(),
        reviews: &request.reviews,
    };
    let was_open = before.is_none_or(|before| before.state == RequestState::Pending);
    let is_approved = matches!(request.state, RequestState::Approved | RequestState::Active);
    let mut deeds = Vec::new();
    deeds.extend(before.is_none().then(|| itself(Stage::Submit)));
    deeds.extend((was_open && is_approved).then(|| itself(Stage::Approve)));
    let plans = step.effects.iter().any(|effect| matches!(effect, Effect::Plan(_)));
    deeds.extend(plans.then(|| itself(Stage::Activate)));

    let Some(more) = request.extensions.last() else { return deeds };
    let longer = |stage| Deed {
        stage,
        duration: more.total,
        reason: more.reason.as_deref(),
        reviews: &more.reviews,
    };
    let known = before.map_or(0, |before| before.extensions.len());
    deeds.extend((request.extensions.len() > known).then(|| longer(Stage::Submit)));
    let given = |more: &Extension| more.state == ExtensionState::Approved;
    let was_given = before.and_then(|before| before.extensions.get(request.extensions.len() - 1));
    if given(more) && !was_given.is_some_and(given) {
        deeds.extend([longer(Stage::Approve), longer(Stage::Activate)]);
    }
    deeds
}

fn voices(reviews: &[Review]) -> BTreeSet<PrincipalId> {
    let yes = reviews.iter().filter(|review| review.verdict == Verdict::Approve);
    yes.map(|review| review.by.clone()).collect()
}

impl AccessRequest {
    /// Ends it, or the wish for more time, because a guardrail forbids its next step.
    fn barred(&self, forbidden: &Forbidden, now: Timestamp) -> Transition<Self> {
        if self.pending_extension().is_some() {
            let barred = |again: Self| Ok(again.barred(forbidden, now));
            // It cannot fail: there is one, and nothing is looked at.
            return self.decide_extension(barred).unwrap_or_else(|_| Transition::to(self.clone()));
        }
        let (state, action) = match self.state {
            RequestState::Pending => (RequestState::Denied, Action::RequestDenied),
            _ => (RequestState::Cancelled, Action::RequestCancelled),
        };
        let mut closed = self.close(state, action, Actor::Broker, now);
        for event in &mut closed.events {
            event.details.insert("guardrail".to_owned(), forbidden.guardrail.as_str().into());
            event.details.insert("message".to_owned(), forbidden.to_string().into());
        }
        for effect in &mut closed.effects {
            if let Effect::Notify(notice) = effect {
                notice.text = format!("{}: {forbidden}", notice.text);
            }
        }
        closed
    }
}

#[cfg(test)]
mod tests;
