//! What must hold of the records alone: I5, I9, I10, I12.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::{
    approval::{Review, Verdict},
    approver::Approver,
    audit::{Action, AuditEvent},
    flow::ApprovalPolicy,
    ids::{GrantId, NoticeId, RequestId},
    names::PrincipalId,
    notice::Notice,
    principal::Subject,
    request::{AccessRequest, Extension, ExtensionState, RequestState},
};

use super::{
    Checked, Facts, Violation,
    facts::{ENDING, News, OVER, rank},
};
use crate::{
    kernel::{Millis, Node},
    world::World,
};

/// Within so much time of a broker that runs, a leaver has lost everything, though the store may
/// fail some times in a row and be asked again.
const LEAVER_PATIENCE: Millis = 10_000;

/// I5: A grant that is being torn down never comes back.
pub(crate) fn i5_never_comes_back(facts: &Facts, news: &News) -> Checked {
    for grant in &news.grants {
        let Some(before) = facts.get(grant.id) else { continue };
        if rank(grant) < before.rank {
            let what = format!("{} went back to {}", grant.id, grant.state_name());
            return Err(Violation::new("I5", what));
        }
    }
    Ok(())
}

/// I9: Nobody approves their own request …; one person counts once, however many groups list them.
pub(crate) fn i9_nobody_approves_their_own(news: &News) -> Checked {
    for request in &news.requests {
        let more = request.extensions.iter().flat_map(|more| &more.reviews);
        if request.reviews.iter().chain(more).any(|review| review.by == request.requester) {
            let what = format!("{} was decided by its own requester", request.id);
            return Err(Violation::new("I9", what));
        }
        let granted = matches!(
            request.state,
            RequestState::Approved | RequestState::Active | RequestState::Ended { .. }
        );
        if granted && !is_covered(request, &request.reviews) {
            let what = format!("{} is {} without the voices", request.id, request.state_name());
            return Err(Violation::new("I9", what));
        }
        let given = request.extensions.iter().filter(|more| more.state == ExtensionState::Approved);
        if let Some(more) = given.clone().find(|more| !is_covered(request, &more.reviews)) {
            let what = format!("{} lasts {} longer without the voices", request.id, more.by);
            return Err(Violation::new("I9", what));
        }
    }
    Ok(())
}

/// Whether different people can be found for all groups: tried one by one, since there are few.
fn is_covered(request: &AccessRequest, reviews: &[Review]) -> bool {
    let ApprovalPolicy::Groups { groups, .. } = &request.flow.approval else { return true };
    let mut people: Vec<&PrincipalId> = reviews
        .iter()
        .filter(|review| review.verdict == Verdict::Approve)
        .map(|review| &review.by)
        .collect();
    people.sort();
    people.dedup();
    let all: Vec<Vec<&Approver>> = groups
        .iter()
        .map(|group| {
            group.of.iter().chain(group.escalate.iter().flat_map(|step| &step.to)).collect()
        })
        .collect();
    can_cover(&all, &people)
}

fn can_cover(groups: &[Vec<&Approver>], people: &[&PrincipalId]) -> bool {
    let Some((first, rest)) = groups.split_first() else { return true };
    (0..people.len()).any(|index| {
        let mut left = people.to_vec();
        let person = left.remove(index);
        first.iter().any(|approver| could_be(approver, person)) && can_cover(rest, &left)
    })
}

/// Whether a person was ever meant by an approver: membership does not change in the simulation, but
/// people are disabled after they have spoken.
fn could_be(approver: &Approver, person: &PrincipalId) -> bool {
    match approver {
        Approver::Subject(Subject::User(user)) => user == person,
        Approver::Subject(Subject::Group(group)) => {
            crate::settings::members(group.as_str()).contains(person)
        }
        // No flow of the simulation asks others.
        Approver::Subject(Subject::Everyone)
        | Approver::Manager
        | Approver::Owner
        | Approver::OnCall(_) => false,
    }
}

/// An extension is a new decision on the same request and never goes past the flow's maximum; what
/// it gives, each grant gets once.
pub(crate) fn more_time_has_its_limits(news: &News, world: &World) -> Checked {
    let records = world.store.records();
    for request in &news.requests {
        let max = request.flow.duration.longest(request.items.iter().map(|item| &item.permission));
        if request.duration > max {
            let what = format!("{} lasts {} where {max} is the most", request.id, request.duration);
            return Err(Violation::new("extension", what));
        }
    }
    for grant in &news.grants {
        let of = records.requests.get(&grant.request);
        if let Some(request) = of.filter(|request| grant.duration > request.value.duration) {
            let (id, is, given) = (grant.id, grant.duration, request.value.duration);
            let what = format!("{id} lasts {is}, but its request was given {given}");
            return Err(Violation::new("extension", what));
        }
    }
    Ok(())
}

/// I10: A decision is taken on the flow as it was when the request was made (its version is stored).
pub(crate) fn i10_decided_on_the_flow_as_it_was(news: &News) -> Checked {
    for request in &news.requests {
        if request.flow.version() != request.flow_version {
            let what = format!("{} has another flow than it was made under", request.id);
            return Err(Violation::new("I10", what));
        }
    }
    Ok(())
}

/// What the records have told so far.
#[derive(Default)]
pub(crate) struct Records {
    put_in: BTreeMap<NoticeId, (u64, Notice)>,
    delivered: BTreeSet<NoticeId>,
    looked_at: usize,
    furthest: BTreeMap<RequestId, u64>,
    reviews: BTreeMap<RequestId, Vec<Review>>,
    extensions: BTreeMap<RequestId, Vec<Extension>>,
    pending: BTreeMap<RequestId, PrincipalId>,
    leavers: BTreeMap<PrincipalId, Millis>,
    directory_seen: usize,
    last_look: Millis,
}

impl Records {
    /// I12: Approvals, deadlines … survive a restart of the broker at any point.
    pub(crate) fn i12_nothing_decided_is_lost(&mut self, facts: &Facts, news: &News) -> Checked {
        for grant in &news.grants {
            let before = facts.get(grant.id).and_then(|fact| fact.deadline);
            let extended = news.audit.iter().any(|(_, event)| {
                event.action == Action::GrantExtending && event.grant == Some(grant.id)
            });
            let stays = before == grant.deadline || (extended && before < grant.deadline);
            if before.is_some() && !stays {
                return Err(Violation::new("I12", format!("{}'s deadline moved", grant.id)));
            }
        }
        for request in &news.requests {
            let before = self.reviews.entry(request.id).or_default();
            if !request.reviews.starts_with(before) {
                return Err(Violation::new("I12", format!("{} lost a review", request.id)));
            }
            before.clone_from(&request.reviews);
            let before = self.extensions.entry(request.id).or_default();
            let goes_on = |(before, now): (&Extension, &Extension)| {
                now.reviews.starts_with(&before.reviews)
                    && (before.state == ExtensionState::Pending || before.state == now.state)
            };
            let kept = before.iter().zip(&request.extensions).all(goes_on);
            if before.len() > request.extensions.len() || !kept {
                let what = format!("{} lost a word on more time", request.id);
                return Err(Violation::new("I12", what));
            }
            before.clone_from(&request.extensions);
            if request.state == RequestState::Pending || request.awaits_activation() {
                self.pending.insert(request.id, request.requester.clone());
            } else {
                self.pending.remove(&request.id);
            }
        }
        Ok(())
    }

    /// I12: Nothing is lost: what people must hear of is put in with what it tells of.
    pub(crate) fn i12_every_notice_is_put_in(&mut self, news: &News) -> Checked {
        for item in &news.notices {
            let order = self.put_in.len() as u64;
            self.put_in.insert(item.id, (order, item.notice.clone()));
        }
        for (_, event) in &news.audit {
            let told = matches!(
                event.action,
                Action::RequestApproved
                    | Action::RequestDenied
                    | Action::RequestLapsed
                    | Action::ExtensionApproved
                    | Action::ExtensionDenied
                    | Action::GrantActive
                    | Action::GrantFailed
            );
            if told && !news.notices.iter().any(|item| is_of(&item.notice, event)) {
                let what = format!("nobody is told of {} {:?}", event.action, event.request);
                return Err(Violation::new("I12", what));
            }
        }
        Ok(())
    }

    /// I12: … nothing is sent twice beyond at-least-once with a stable id; a request's story is told
    /// in its order.
    pub(crate) fn i12_notices_are_as_they_were_put_in(&mut self, world: &World) -> Checked {
        let all = world.delivered.lock();
        for (id, notice) in &all[self.looked_at..] {
            let Some((order, known)) = self.put_in.get(id) else {
                return Err(Violation::new("I12", format!("{id} was never put in")));
            };
            if known != notice {
                return Err(Violation::new("I12", format!("{id} says something else now")));
            }
            let furthest = self.furthest.entry(notice.request).or_default();
            if self.delivered.insert(*id) && *order < *furthest {
                return Err(Violation::new("I12", format!("{id} comes after a later one")));
            }
            *furthest = (*furthest).max(*order);
        }
        self.looked_at = all.len();
        Ok(())
    }

    /// I12: … notifications survive a restart: in the end each was delivered.
    pub(crate) fn i12_every_notice_was_delivered(&self, world: &World) -> Checked {
        let lost = self.put_in.keys().find(|id| !self.delivered.contains(id));
        match lost.filter(|_| world.store.records().outbox.undelivered().next().is_none()) {
            Some(id) => Err(Violation::new("I12", format!("{id} was never delivered"))),
            None => Ok(()),
        }
    }

    /// I10: … a deleted user takes effect at once: a leaver's pending requests are cancelled and live
    /// grants revoked.
    pub(crate) fn i10_leavers_lose_everything(&mut self, facts: &Facts, world: &World) -> Checked {
        let now = world.sim.now();
        let passed = now - std::mem::replace(&mut self.last_look, now);
        self.note_leavers(world);
        if self.leavers.is_empty() {
            return Ok(());
        }
        if world.broker.up_since().is_none() || world.sim.is_frozen(Node::Broker) {
            self.leavers.values_mut().for_each(|had| *had = 0);
            return Ok(());
        }
        for (who, had) in &mut self.leavers {
            *had += passed;
            if *had <= LEAVER_PATIENCE {
                continue;
            }
            if let Some((id, _)) = self.pending.iter().find(|(_, by)| *by == who) {
                return Err(Violation::new("I10", format!("{who} left, {id} is still pending")));
            }
            let live = facts.iter().find(|(_, f)| f.principal == *who && f.rank < ENDING);
            if let Some((id, _)) = live {
                return Err(Violation::new("I10", format!("{who} left, {id} is still live")));
            }
        }
        Ok(())
    }

    fn note_leavers(&mut self, world: &World) {
        let changes = world.settings.changes();
        if std::mem::replace(&mut self.directory_seen, changes) == changes {
            return;
        }
        let snapshot = ebbgate_broker_ports::Catalogue::snapshot(world.settings.as_ref());
        let gone: BTreeSet<_> =
            snapshot.directory.all().filter(|p| p.disabled).map(|p| p.id.clone()).collect();
        self.leavers.retain(|who, _| gone.contains(who));
        for who in gone {
            self.leavers.entry(who).or_insert(0);
        }
    }
}

fn is_of(notice: &Notice, event: &AuditEvent) -> bool {
    let grant: Option<GrantId> = event.grant;
    // The same as a request's own, but told of the extension.
    let told_as = event.action.to_string().replace("request.extension_", "extension.");
    notice.event == told_as
        && Some(notice.request) == event.request
        && (grant.is_none() || notice.grant == grant)
}

const _: () = assert!(ENDING < OVER, "a grant ends before it is over");
