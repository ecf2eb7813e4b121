//! What happens to a request once it is made: decisions, withdrawal, lapse, and its grants' fates.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{AccessRequest, EndReason, RequestState};
use crate::{
    approval::{Claim, Decision, Review, Verdict},
    audit::{Action, Actor, AuditEvent},
    flow::Policies,
    grant::{Grant, GrantState},
    names::PrincipalId,
    notice::{Audience, Fact, Notice},
    people::People,
    refusal::Refusal,
    transition::{Effect, Transition},
};

impl AccessRequest {
    /// Somebody decides.
    ///
    /// # Errors
    /// Own request, not an approver, decided or lapsed already, a denial without a word.
    pub fn review(&self, review: Review, people: &People<'_>) -> Result<Transition<Self>, Refusal> {
        let now = review.at;
        let people = &People { now, ..*people };
        if self.pending_extension().is_some() {
            return self.decide_extension(|more| more.review(review, people));
        }
        self.check_say(&review.by, people)?;
        if self.reviews.iter().any(|earlier| earlier.by == review.by) {
            return Err(Refusal::AlreadyReviewed);
        }
        self.check_open(now)?;
        let said = review.comment.as_deref().is_some_and(|comment| !comment.trim().is_empty());
        if review.verdict == Verdict::Deny && !said {
            return Err(Refusal::CommentRequired);
        }

        let denies =
            review.verdict == Verdict::Deny && self.case().denies_at_once(&review.by, people);
        let review = review.standing(people, &self.case().schedules());
        let event = self.reviewed_event(&review);
        let mut next = self.clone();
        next.reviews.push(review.clone());
        match next.case().decision(people) {
            _ if denies => Ok(next.denied(&review.by, event, now)),
            Decision::Denied => Ok(next.denied(&review.by, event, now)),
            Decision::Approved(voices) => {
                let mut approved = next.approved(voices, people);
                approved.events.insert(0, event);
                Ok(approved)
            }
            Decision::Open => {
                let (effects, events) = next.ask(people);
                let mut transition = Transition::to(next).record(event);
                transition.effects = effects;
                transition.events.extend(events);
                Ok(transition)
            }
        }
    }

    /// Somebody says that they are looking at it: escalation waits for them.
    ///
    /// # Errors
    /// Own request, not an approver, decided or lapsed already, or claimed already.
    pub fn claim(
        &self,
        by: &PrincipalId,
        people: &People<'_>,
    ) -> Result<Transition<Self>, Refusal> {
        let now = people.now;
        if self.pending_extension().is_some() {
            return self.decide_extension(|more| more.claim(by, people));
        }
        self.check_say(by, people)?;
        if self.reviews.iter().any(|earlier| earlier.by == *by) {
            return Err(Refusal::AlreadyReviewed);
        }
        self.check_open(now)?;
        if self.claims.iter().any(|claim| claim.by == *by) {
            return Err(Refusal::ClaimedBefore);
        }
        let groups = self.case().groups_of(by, people);
        let looks = |claim: &&Claim| {
            now < claim.end(&self.reviews) && claim.groups.iter().any(|at| groups.contains(at))
        };
        if let Some(other) = self.claims.iter().find(looks) {
            return Err(Refusal::AlreadyClaimed { by: other.by.clone(), until: other.until });
        }
        let longest = groups.iter().map(|at| self.quorums[at.quorum].claim).max();
        let until = longest.map_or(now, |claim| claim.after(now));
        let mut next = self.clone();
        next.claims.push(Claim { by: by.clone(), at: now, until, groups });
        let event = self
            .event(Action::RequestClaimed, Actor::Principal(by.clone()), now)
            .detail("until", until.to_string());
        let text = format!("{by} is looking until {until}: {}", self.summary());
        let to = BTreeSet::from([self.requester.clone()]);
        let notice = self.notice("request.claimed", to, text);
        let (effects, events) = next.ask(people);
        let mut transition = Transition::to(next).with(Effect::Notify(notice)).record(event);
        transition.effects.extend(effects);
        transition.events.extend(events);
        Ok(transition)
    }

    /// Whoever has no say learns nothing of how the request stands.
    fn check_say(&self, person: &PrincipalId, people: &People<'_>) -> Result<(), Refusal> {
        if *person == self.requester {
            return Err(Refusal::OwnRequest);
        }
        if !self.case().may_decide(person, people) {
            return Err(Refusal::NotAnApprover);
        }
        Ok(())
    }

    fn check_open(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.state != RequestState::Pending {
            return Err(Refusal::AlreadyDecided { state: self.state_name() });
        }
        if self.lapses_at.is_some_and(|lapses| lapses <= now) {
            return Err(Refusal::RequestLapsed);
        }
        Ok(())
    }

    fn reviewed_event(&self, review: &Review) -> AuditEvent {
        let actor = Actor::Principal(review.by.clone());
        let mut event = self.event(Action::RequestReviewed, actor, review.at);
        if let Some(comment) = &review.comment {
            event = event.detail("comment", comment.as_str());
        }
        if review.verdict == Verdict::Deny {
            event = event.detail("verdict", "deny");
        }
        let others: Vec<_> = review.seats().into_iter().filter(|seat| *seat != review.by).collect();
        if !others.is_empty() {
            let others: Vec<_> = others.iter().map(ToString::to_string).collect();
            event = event.detail("may_speak_for", others);
        }
        event
    }

    fn denied(
        mut self,
        by: &PrincipalId,
        mut event: AuditEvent,
        now: Timestamp,
    ) -> Transition<Self> {
        event.action = Action::RequestDenied;
        let text = format!("{by} denied {}", self.summary());
        self.state = RequestState::Denied;
        let to = BTreeSet::from([self.requester.clone()]);
        let notice = self.notice("request.denied", to, text);
        let withdrawn = self.withdraw(now);
        let transition = Transition::to(self).with(Effect::Notify(notice)).record(event);
        withdrawn.into_iter().fold(transition, Transition::with)
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
    /// any more before it began (I10). Asks more people when those before have not decided. Where
    /// somebody's word counts only now, because they came into a group or a step, it is decided.
    pub fn advance(&self, policies: &Policies, people: &People<'_>) -> Option<Transition<Self>> {
        let (directory, now) = (people.directory, people.now);
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
        if self.state != RequestState::Pending {
            return self.advance_decided(policies, people);
        }
        if self.lapses_at.is_some_and(|lapses| lapses <= now) {
            return Some(self.lapsed(now));
        }
        match self.case().decision(people) {
            Decision::Approved(voices) => return Some(self.clone().approved(voices, people)),
            Decision::Denied => {
                let no = self.reviews.iter().rev().find(|said| said.verdict == Verdict::Deny)?;
                let event = self.event(Action::RequestDenied, Actor::Broker, now);
                return Some(self.clone().denied(&no.by, event, now));
            }
            Decision::Open => {}
        }
        let mut next = self.clone();
        let (effects, events) = next.ask(people);
        (next != *self).then(|| Transition { state: next, effects, events })
    }

    fn advance_decided(
        &self,
        policies: &Policies,
        people: &People<'_>,
    ) -> Option<Transition<Self>> {
        if self.due_at().is_none_or(|due| due > people.now) {
            return None;
        }
        if self.extension_due().is_some_and(|due| due <= people.now) {
            return self.advance_extension(policies, people);
        }
        if !self.awaits_activation() {
            return self.remind(people);
        }
        Some(match self.activate_by {
            Some(_) => self.lapsed(people.now),
            None => self.activated(Actor::Broker, people),
        })
    }

    fn lapsed(&self, now: Timestamp) -> Transition<Self> {
        self.close(RequestState::Lapsed, Action::RequestLapsed, Actor::Broker, now)
    }

    pub(super) fn close(
        &self,
        state: RequestState,
        action: Action,
        actor: Actor,
        now: Timestamp,
    ) -> Transition<Self> {
        let event = self.event(action, actor, now);
        let mut next = Self { state, ..self.clone() };
        let text = format!("{}: {}", next.state_name(), self.summary());
        let notice =
            next.notice(&action.to_string(), BTreeSet::from([self.requester.clone()]), text);
        let withdrawn = next.withdraw(now);
        let transition = Transition::to(next).with(Effect::Notify(notice)).record(event);
        withdrawn.into_iter().fold(transition, Transition::with)
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
        voices: BTreeSet<PrincipalId>,
        people: &People<'_>,
    ) -> Transition<Self> {
        let now = people.now;
        let mut next = Self { state: RequestState::Approved, ..self };
        let withdrawn = next.withdraw(now);
        let voices: Vec<_> = voices.iter().map(ToString::to_string).collect();
        let event = next
            .event(Action::RequestApproved, Actor::Broker, now)
            .detail("approved_by", voices)
            .detail("automatic", next.quorums.is_empty());
        let text = format!("approved: {}", next.summary());
        let mut audience = Audience::of(&next.flow.notify, &next.requester, people.directory);
        audience.people.insert(next.requester.clone());
        let notice = next.notice_to("request.approved", audience, text);
        let mut begun = next.begin_or_wait(people);
        begun.effects.splice(0..0, std::iter::once(Effect::Notify(notice)).chain(withdrawn));
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
            facts: self.facts(),
        }
    }

    /// What its readers want to know of it, whatever has happened to it.
    fn facts(&self) -> Vec<Fact> {
        let given = [
            ("Requester", Some(self.requester.to_string())),
            ("Access", Some(self.summary())),
            ("Flow", Some(self.flow.name.to_string())),
            ("Reason", self.reason.clone()),
            ("Ticket", self.ticket.clone()),
        ];
        let fact = |(label, value): (&str, Option<String>)| {
            Some(Fact { label: label.to_owned(), value: value? })
        };
        given.into_iter().filter_map(fact).collect()
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
