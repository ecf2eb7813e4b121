//! Whom a pending request asks: its first approvers, those of later steps, and the word to all who
//! are no longer needed.
//!
//! Who was told is part of the request, and is committed with the notice that tells them (I11):
//! whatever crashes, each is told once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{AccessRequest, RequestState};
use crate::{
    approval::Told,
    approver::Approver,
    audit::{Action, Actor, AuditEvent},
    names::PrincipalId,
    people::People,
    transition::Effect,
};

impl AccessRequest {
    /// Tells those whom it waits for and who do not know, takes it back from those whom it does
    /// not wait for any more, and sets when to look again.
    pub(super) fn ask(&mut self, people: &People<'_>) -> (Vec<Effect>, Vec<AuditEvent>) {
        let now = people.now;
        let waiting = self.case().waiting(people);
        self.wakes_at = self.next_change(people);
        let Some(told) = &mut self.told else {
            // Asked before it was kept who was told: everybody who was waited for.
            self.told = Some(
                waiting.into_iter().map(|told| Told { at: self.created_at, ..told }).collect(),
            );
            return (Vec::new(), Vec::new());
        };
        let needed: BTreeSet<PrincipalId> = waiting.iter().map(|told| told.who.clone()).collect();
        let reviewed: BTreeSet<_> = self.reviews.iter().map(|review| review.by.clone()).collect();
        let mut gone = BTreeSet::new();
        for old in told.iter_mut().filter(|old| old.withdrawn_at.is_none()) {
            if !needed.contains(&old.who) && !reviewed.contains(&old.who) {
                old.withdrawn_at = Some(now);
                gone.insert(old.who.clone());
            }
        }
        let fresh: Vec<Told> = waiting
            .into_iter()
            .filter(|new| !told.iter().any(|old| old.who == new.who && old.withdrawn_at.is_none()))
            .collect();
        told.retain(|old| !fresh.iter().any(|new| new.who == old.who));
        told.extend(fresh.iter().cloned());

        let mut effects = Vec::new();
        let mut events = Vec::new();
        let mut by_event: BTreeMap<(u32, &str), BTreeSet<PrincipalId>> = BTreeMap::new();
        for new in &fresh {
            let (step, event) = match new.step {
                0 if now == self.created_at => (0, "request.created"),
                0 => (0, "request.waiting"),
                step => (step, "request.escalated"),
            };
            by_event.entry((step, event)).or_default().insert(new.who.clone());
        }
        for ((step, event), to) in by_event {
            let text = match step {
                0 => format!("{} asks for {}", self.requester, self.summary()),
                _ => format!("not decided yet: {} asks for {}", self.requester, self.summary()),
            };
            if step > 0 {
                events.push(self.escalated_event(step, &fresh, now));
            }
            effects.push(Effect::Notify(self.notice(event, to, text)));
        }
        if !gone.is_empty() {
            let text = format!("no longer needed: {} asks for {}", self.requester, self.summary());
            effects.push(Effect::Notify(self.notice("request.withdrawn", gone, text)));
        }
        (effects, events)
    }

    fn escalated_event(&self, step: u32, fresh: &[Told], now: Timestamp) -> AuditEvent {
        let asked = fresh.iter().filter(|told| told.step == step);
        let to: Vec<_> = asked.clone().map(|told| told.who.to_string()).collect();
        let groups: BTreeSet<_> = asked.map(|told| told.group.clone()).collect();
        self.event(Action::RequestEscalated, Actor::Broker, now)
            .detail("step", step)
            .detail("groups", groups.into_iter().collect::<Vec<_>>())
            .detail("to", to)
    }

    /// Tells all who were asked and have not answered that it is decided.
    pub(super) fn withdraw(&mut self, now: Timestamp) -> Option<Effect> {
        self.wakes_at = None;
        let reviewed: BTreeSet<_> = self.reviews.iter().map(|review| review.by.clone()).collect();
        let mut gone = BTreeSet::new();
        for told in self.told.iter_mut().flatten().filter(|told| told.withdrawn_at.is_none()) {
            if !reviewed.contains(&told.who) {
                told.withdrawn_at = Some(now);
                gone.insert(told.who.clone());
            }
        }
        if gone.is_empty() {
            return None;
        }
        let text = format!("no longer needed, {}: {}", self.state_name(), self.summary());
        Some(Effect::Notify(self.notice("request.withdrawn", gone, text)))
    }

    /// When it may wait for other people than now: a step, a turn on call, a substitution that
    /// begins or ends.
    fn next_change(&self, people: &People<'_>) -> Option<Timestamp> {
        if self.state != RequestState::Pending {
            return None;
        }
        let groups = || self.quorums.iter().flat_map(|quorum| &quorum.groups);
        let turns = groups()
            .flat_map(|group| group.reached(group.steps.len()))
            .filter_map(|approver| match approver {
                Approver::OnCall(schedule) => people.schedules.get(schedule),
                _ => None,
            })
            .filter_map(|schedule| schedule.next_change(people.now));
        let substitutions = people
            .delegations
            .iter()
            .flat_map(|delegation| [delegation.since, delegation.end()])
            .filter(|edge| *edge > people.now);
        self.case().next_step(people.now).into_iter().chain(turns).chain(substitutions).min()
    }
}
