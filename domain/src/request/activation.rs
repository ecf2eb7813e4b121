//! When access begins: with the approval, at the start that was asked for, or when its requester
//! says so. An approval overnight burns no time, because grants are planned only then.

use jiff::{SignedDuration, Timestamp};

use super::{AccessRequest, RequestState};
use crate::{
    audit::{Action, Actor},
    flow::{AccessFlow, Activation},
    grant::{Grant, Plan},
    names::PrincipalId,
    people::People,
    refusal::Refusal,
    transition::{Effect, Transition},
};

/// How far ahead access can be asked for.
const FARTHEST_START: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Looks at the start that somebody asks for.
///
/// # Errors
/// [`Refusal::StartNotPossible`].
pub(super) fn check_start(
    flow: &AccessFlow,
    start: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let no = |why| Err(Refusal::StartNotPossible { why });
    match start {
        None => Ok(()),
        Some(_) if flow.break_glass.is_some() => no("an emergency begins at once"),
        Some(start) if start <= now => no("it has passed"),
        Some(start) if start.duration_since(now) > FARTHEST_START => {
            no("it is more than 31 days ahead")
        }
        Some(_) => Ok(()),
    }
}

impl AccessRequest {
    /// Whether it is approved and its access has yet to begin.
    pub fn awaits_activation(&self) -> bool {
        self.state == RequestState::Approved
            && self.activated_at.is_none()
            && (self.activate_by.is_some() || self.starts_at.is_some())
    }

    /// When something is due for one that is approved and has yet to begin.
    pub(super) fn activation_due(&self) -> Option<Timestamp> {
        self.activate_by.or(self.starts_at).filter(|_| self.awaits_activation())
    }

    /// What follows an approval: access begins, or its time to begin is set.
    pub(super) fn begin_or_wait(mut self, people: &People<'_>) -> Transition<Self> {
        let now = people.now;
        let opens = self.starts_at.map_or(now, |start| start.max(now));
        match self.flow.activation {
            Activation::ByRequester { within } => {
                self.activate_by = Some(within.after(opens));
                Transition::to(self)
            }
            Activation::AtApproval if opens > now => Transition::to(self),
            Activation::AtApproval => self.begin(people),
        }
    }

    /// Its requester lets access begin.
    ///
    /// # Errors
    /// Somebody else's request, one with nothing to activate, too early or too late, or they may not
    /// have it any more.
    pub fn activate(
        &self,
        by: &PrincipalId,
        people: &People<'_>,
    ) -> Result<Transition<Self>, Refusal> {
        let now = people.now;
        if *by != self.requester {
            return Err(Refusal::NotTheRequester);
        }
        let Some(activate_by) = self.activate_by.filter(|_| self.awaits_activation()) else {
            return Err(Refusal::NothingToActivate { state: self.state_name() });
        };
        if activate_by <= now {
            return Err(Refusal::RequestLapsed);
        }
        if let Some(start) = self.starts_at.filter(|start| *start > now) {
            return Err(Refusal::NotYet { opens: start });
        }
        if !self.flow.admits(by, people.directory) {
            return Err(Refusal::NotARequester {
                principal: by.clone(),
                flow: self.flow.name.clone(),
            });
        }
        Ok(self.activated(Actor::Principal(by.clone()), people))
    }

    /// Access begins, which nobody could see from the approval.
    pub(super) fn activated(&self, actor: Actor, people: &People<'_>) -> Transition<Self> {
        let event = self.event(Action::RequestActivated, actor, people.now);
        let mut begun = self.clone().begin(people);
        begun.events.insert(0, event);
        begun
    }

    fn begin(mut self, people: &People<'_>) -> Transition<Self> {
        let now = people.now;
        self.activated_at = Some(now);
        let grants: Vec<_> = self
            .items
            .iter()
            .map(|item| {
                let plan = Plan {
                    id: item.grant,
                    request: self.id,
                    principal: &self.requester,
                    resource: &item.resource,
                    permission: &item.permission,
                    rights: &item.rights,
                    flow: &self.flow.name,
                    ticket: self.ticket.as_deref(),
                    duration: self.duration,
                    warn: self.flow.duration.warn,
                    recorded: self.flow.break_glass.is_some(),
                };
                Effect::Plan(Box::new(Grant::plan(plan, now)))
            })
            .collect();
        grants.into_iter().fold(self.used_in_emergency(people), Transition::with)
    }
}
