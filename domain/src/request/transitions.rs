//! What happens to a request once it is made: decisions, withdrawal, lapse, and its grants' fates.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{AccessRequest, EndReason, RequestState};
use crate::{
    approval::{Review, Verdict},
    audit::{Action, Actor, AuditEvent},
    flow::Policies,
    grant::{Grant, GrantState},
    names::PrincipalId,
    notice::{Audience, Notice},
    principal::Directory,
    refusal::Refusal,
    transition::{Effect, Transition},
};

impl AccessRequest {
    /// Somebody decides.
    ///
    /// # Errors
    /// Own request, not an approver, decided or lapsed already, a denial without a word.
    pub fn review(
        &self,
        review: Review,
        directory: &Directory,
    ) -> Result<Transition<Self>, Refusal> {
        let now = review.at;
        if review.by == self.requester {
            return Err(Refusal::OwnRequest);
        }
        // Whoever has no say learns nothing of how the request stands.
        let quorum = self.quorum.as_ref().ok_or(Refusal::NotAnApprover)?;
        if !quorum.approvers(&self.requester, directory).contains(&review.by) {
            return Err(Refusal::NotAnApprover);
        }
        if self.reviews.iter().any(|earlier| earlier.by == review.by) {
            return Err(Refusal::AlreadyReviewed);
        }
        if self.state != RequestState::Pending {
            return Err(Refusal::AlreadyDecided { state: self.state_name() });
        }
        if self.lapses_at.is_some_and(|lapses| lapses <= now) {
            return Err(Refusal::RequestLapsed);
        }
        let said = review.comment.as_deref().is_some_and(|comment| !comment.trim().is_empty());
        if review.verdict == Verdict::Deny && !said {
            return Err(Refusal::CommentRequired);
        }

        let actor = Actor::Principal(review.by.clone());
        let mut event = self.event(Action::RequestReviewed, actor, now);
        if let Some(comment) = &review.comment {
            event = event.detail("comment", comment.as_str());
        }
        let mut next = self.clone();
        next.reviews.push(review.clone());
        if review.verdict == Verdict::Deny {
            event.action = Action::RequestDenied;
            let text = format!("{} denied {}", review.by, self.summary());
            next.state = RequestState::Denied;
            let notice =
                next.notice("request.denied", BTreeSet::from([self.requester.clone()]), text);
            return Ok(Transition::to(next).with(Effect::Notify(notice)).record(event));
        }
        let tally = quorum.tally(&self.requester, &next.reviews, directory);
        if !tally.approved {
            return Ok(Transition::to(next).record(event));
        }
        let voices = tally.groups.into_iter().flat_map(|group| group.approved_by).collect();
        let mut approved = next.approved(voices, directory, now);
        approved.events.insert(0, event);
        Ok(approved)
    }

    /// Its requester withdraws it.
    ///
    /// # Errors
    /// Somebody else's request, or decided already.
    pub fn cancel(&self, by: &PrincipalId, now: Timestamp) -> Result<Transition<Self>, Refusal> {
        if *by != self.requester {
            return Err(Refusal::NotTheRequester);
        }
        if self.state != RequestState::Pending && !self.awaits_activation() {
            return Err(Refusal::AlreadyDecided { state: self.state_name() });
        }
        Ok(self.close(
            RequestState::Cancelled,
            Action::RequestCancelled,
            Actor::Principal(by.clone()),
            now,
        ))
    }

    /// Does what is due: lapses when nobody decided or activated in time; begins at the start that
    /// was asked for; reminds of a review; and is cancelled when its requester could not ask for it
    /// any more before it began (I10).
    pub fn advance(
        &self,
        policies: &Policies,
        directory: &Directory,
        now: Timestamp,
    ) -> Option<Transition<Self>> {
        let begun = !(self.state == RequestState::Pending || self.awaits_activation());
        let lost = policies.loss(&self.flow.name, &self.requester, directory);
        if let Some(loss) = lost.filter(|_| !begun) {
            let mut closed =
                self.close(RequestState::Cancelled, Action::RequestCancelled, Actor::Broker, now);
            for event in &mut closed.events {
                event.details.insert("reason".to_owned(), loss.as_str().into());
            }
            return Some(closed);
        }
        if self.due_at().is_none_or(|due| due > now) {
            return None;
        }
        if begun {
            return self.remind(directory, now);
        }
        if self.awaits_activation() && self.activate_by.is_none() {
            return Some(self.activated(Actor::Broker, directory, now));
        }
        Some(self.close(RequestState::Lapsed, Action::RequestLapsed, Actor::Broker, now))
    }

    fn close(
        &self,
        state: RequestState,
        action: Action,
        actor: Actor,
        now: Timestamp,
    ) -> Transition<Self> {
        let event = self.event(action, actor, now);
        let next = Self { state, ..self.clone() };
        let text = format!("{}: {}", next.state_name(), self.summary());
        let notice =
            next.notice(&action.to_string(), BTreeSet::from([self.requester.clone()]), text);
        Transition::to(next).with(Effect::Notify(notice)).record(event)
    }

    /// Follows its grants: active with the first, ended with the last. Nothing where that is told
    /// already.
    pub fn follow(&self, grants: &[Grant], now: Timestamp) -> Option<Transition<Self>> {
        if self.is_over() || grants.is_empty() {
            return None;
        }
        if grants.iter().all(Grant::is_over) {
            let reason = end_reason(grants);
            let event = self
                .event(Action::RequestEnded, Actor::Broker, now)
                .detail("reason", serde_json::to_value(reason).unwrap_or_default());
            let mut next = Self { state: RequestState::Ended { reason, at: now }, ..self.clone() };
            if reason == EndReason::Failed {
                // What never became access needs no review.
                next.use_review = None;
            }
            return Some(Transition::to(next).record(event));
        }
        let begun = grants.iter().any(|grant| grant.active_since.is_some());
        (begun && self.state == RequestState::Approved)
            .then(|| Transition::to(Self { state: RequestState::Active, ..self.clone() }))
    }

    pub(super) fn approved(
        self,
        voices: Vec<PrincipalId>,
        directory: &Directory,
        now: Timestamp,
    ) -> Transition<Self> {
        let next = Self { state: RequestState::Approved, ..self };
        let voices: Vec<_> = voices.iter().map(ToString::to_string).collect();
        let event = next
            .event(Action::RequestApproved, Actor::Broker, now)
            .detail("approved_by", voices)
            .detail("automatic", next.quorum.is_none());
        let text = format!("approved: {}", next.summary());
        let mut audience = Audience::of(&next.flow.notify, &next.requester, directory);
        audience.people.insert(next.requester.clone());
        let notice = next.notice_to("request.approved", audience, text);
        let mut begun = next.begin_or_wait(directory, now);
        begun.effects.insert(0, Effect::Notify(notice));
        begun.events.insert(0, event);
        begun
    }

    pub(super) fn event(&self, action: Action, actor: Actor, at: Timestamp) -> AuditEvent {
        AuditEvent::new(action, actor, at).request(self.id)
    }

    pub(super) fn notice(&self, event: &str, to: BTreeSet<PrincipalId>, text: String) -> Notice {
        self.notice_to(event, Audience { people: to, ..Audience::default() }, text)
    }

    pub(super) fn notice_to(&self, event: &str, to: Audience, text: String) -> Notice {
        Notice {
            event: event.to_owned(),
            request: self.id,
            grant: None,
            to: to.people,
            channels: to.channels,
            text,
        }
    }
}

/// The gravest of the grants' ends: one that was taken away tells more than one that ran out.
fn end_reason(grants: &[Grant]) -> EndReason {
    let reasons: Vec<_> = grants
        .iter()
        .map(|grant| match &grant.state {
            GrantState::Revoked { reason, .. } => reason.as_str(),
            _ => "failed",
        })
        .collect();
    if reasons.iter().all(|reason| *reason == "failed") {
        EndReason::Failed
    } else if reasons.iter().any(|reason| {
        matches!(*reason, "revoked" | "requester-left" | "not-a-requester" | "flow-removed")
    }) {
        EndReason::Revoked
    } else if reasons.contains(&"missing") {
        EndReason::Missing
    } else if reasons.contains(&"cut-off") {
        EndReason::CutOff
    } else if reasons.contains(&"released") {
        EndReason::Released
    } else {
        EndReason::Expired
    }
}
