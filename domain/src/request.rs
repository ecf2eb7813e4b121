//! An access request's life: one principal's wish, frozen as it was made.
//!
//! ```text
//! pending -> approved -> active -> ended
//!    |  \-> denied | cancelled | lapsed
//!    \-> approved at once where the policy is automatic
//! ```
//!
//! The flow, the resources, the permissions and the ids of the grants to come are frozen at
//! submission (I10), so that approving twice cannot make two grants.

use std::collections::BTreeSet;

use jiff::Timestamp;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::{
    approval::{Quorum, Review, Tally, Verdict},
    audit::{Action, Actor, AuditEvent},
    duration::AccessDuration,
    flow::{AccessFlow, ApprovalPolicy, Policies},
    grant::{Grant, GrantState, Plan},
    ids::{GrantId, RequestId},
    inventory::Resource,
    names::{PermissionName, PrincipalId},
    notice::Notice,
    principal::Directory,
    refusal::Refusal,
    transition::{Effect, Transition},
};

/// One access request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its name.
    pub id: RequestId,
    /// Who asks.
    pub requester: PrincipalId,
    /// The flow as it was.
    pub flow: AccessFlow,
    /// Its version.
    pub flow_version: String,
    /// What is asked for: the blast radius.
    pub items: Vec<RequestItem>,
    /// For how long.
    pub duration: AccessDuration,
    /// Why.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// Who must approve; none where the policy is automatic.
    pub quorum: Option<Quorum>,
    /// What was said of it.
    pub reviews: Vec<Review>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it lapses if nobody decides.
    pub lapses_at: Option<Timestamp>,
    /// How it stands.
    pub state: RequestState,
}

/// One resource and the permission on it, with the id of the grant that it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestItem {
    /// The grant's id.
    pub grant: GrantId,
    /// The resource as it was.
    pub resource: Resource,
    /// Which level of access.
    pub permission: PermissionName,
}

/// How a request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RequestState {
    /// Waits for approvers.
    Pending,
    /// Approved; its grants are on their way.
    Approved,
    /// At least one of its grants is or was active.
    Active,
    /// Somebody said no.
    Denied,
    /// Its requester withdrew it, or left.
    Cancelled,
    /// Nobody decided in time.
    Lapsed,
    /// All its grants are over.
    Ended {
        /// Why: expired, released, revoked or failed.
        reason: EndReason,
        /// When.
        at: Timestamp,
    },
}

/// Why a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Its time was over.
    Expired,
    /// Its requester gave it back.
    Released,
    /// Somebody took it away.
    Revoked,
    /// No grant could be provisioned.
    Failed,
}

/// A wish, before the rules have looked at it.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// The id for the request.
    pub id: RequestId,
    /// Who asks.
    pub requester: &'a PrincipalId,
    /// Through which flow.
    pub flow: &'a AccessFlow,
    /// What for, each with the id for its grant and the permission if one was named.
    pub items: &'a [(GrantId, &'a Resource, Option<PermissionName>)],
    /// For how long; the flow's default where none is named.
    pub duration: Option<AccessDuration>,
    /// Why.
    pub reason: Option<&'a str>,
    /// The ticket.
    pub ticket: Option<&'a str>,
}

/// Looks at a wish by the rules of its flow.
///
/// # Errors
/// The first rule that says no.
pub fn submit(
    wish: Submission<'_>,
    policies: &Policies,
    directory: &Directory,
    now: Timestamp,
) -> Result<Transition<AccessRequest>, Refusal> {
    let flow = wish.flow;
    if !flow.admits(wish.requester, directory) {
        return Err(Refusal::NotARequester {
            principal: wish.requester.clone(),
            flow: flow.name.clone(),
        });
    }
    let items = wish
        .items
        .iter()
        .map(|(grant, resource, permission)| {
            let permission = choose(flow, resource, permission.as_ref(), policies)?;
            Ok(RequestItem { grant: *grant, resource: (*resource).clone(), permission })
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    let duration = wish.duration.unwrap_or(flow.duration.default);
    if duration > flow.duration.max {
        return Err(Refusal::DurationTooLong { asked: duration, max: flow.duration.max });
    }
    check_justification(flow, wish.reason, wish.ticket)?;

    let mut request = AccessRequest {
        id: wish.id,
        requester: wish.requester.clone(),
        flow: flow.clone(),
        flow_version: flow.version(),
        items,
        duration,
        reason: wish.reason.map(ToOwned::to_owned),
        ticket: wish.ticket.map(ToOwned::to_owned),
        quorum: None,
        reviews: Vec::new(),
        created_at: now,
        lapses_at: None,
        state: RequestState::Pending,
    };
    let created = request.created_event(now);
    let ApprovalPolicy::Groups { between, groups, request_timeout } = &flow.approval else {
        let mut approved = request.approved(Vec::new(), now);
        approved.events.insert(0, created);
        return Ok(approved);
    };
    let quorum = Quorum::freeze(*between, groups, wish.requester, directory);
    if !quorum.is_satisfiable(wish.requester, directory) {
        return Err(Refusal::ApprovalUnsatisfiable { flow: flow.name.clone() });
    }
    let approvers = quorum.approvers(wish.requester, directory);
    request.quorum = Some(quorum);
    request.lapses_at = Some(request_timeout.after(now));
    let text = format!("{} asks for {}", request.requester, request.summary());
    let notice = request.notice("request.created", approvers, text);
    Ok(Transition::to(request).with(Effect::Notify(notice)).record(created))
}

/// The permission to grant: the one that was named, or the only one on offer.
fn choose(
    flow: &AccessFlow,
    resource: &Resource,
    named: Option<&PermissionName>,
    policies: &Policies,
) -> Result<PermissionName, Refusal> {
    let offered = policies.permissions(flow, resource);
    match (named, offered.as_slice()) {
        (_, []) => {
            Err(Refusal::OutOfScope { resource: resource.id.clone(), flow: flow.name.clone() })
        }
        (Some(permission), _) if offered.contains(permission) => Ok(permission.clone()),
        (Some(permission), _) => Err(Refusal::PermissionNotOffered {
            permission: permission.clone(),
            resource: resource.id.clone(),
            offered,
        }),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(Refusal::PermissionAmbiguous { resource: resource.id.clone(), offered }),
    }
}

fn check_justification(
    flow: &AccessFlow,
    reason: Option<&str>,
    ticket: Option<&str>,
) -> Result<(), Refusal> {
    if flow.justification.required && reason.is_none_or(|reason| reason.trim().is_empty()) {
        return Err(Refusal::ReasonRequired);
    }
    let Some(pattern) = &flow.justification.ticket else {
        return Ok(());
    };
    let Some(ticket) = ticket else {
        return Err(Refusal::TicketRequired { pattern: pattern.clone() });
    };
    // A pattern that does not compile is refused when the flow is read; here it matches nothing.
    let matches = Regex::new(pattern).is_ok_and(|regex| regex.is_match(ticket));
    if matches { Ok(()) } else { Err(Refusal::TicketMismatch { pattern: pattern.clone() }) }
}

impl AccessRequest {
    /// The state in one word.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            RequestState::Pending => "pending",
            RequestState::Approved => "approved",
            RequestState::Active => "active",
            RequestState::Denied => "denied",
            RequestState::Cancelled => "cancelled",
            RequestState::Lapsed => "lapsed",
            RequestState::Ended { .. } => "ended",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        !matches!(self.state, RequestState::Pending | RequestState::Approved | RequestState::Active)
    }

    /// When it lapses if nobody decides; none where it waits for nobody.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.lapses_at.filter(|_| self.state == RequestState::Pending)
    }

    /// What is asked for, in a few words.
    pub fn summary(&self) -> String {
        let items: Vec<_> = self
            .items
            .iter()
            .map(|item| format!("{} on {}", item.permission, item.resource.id))
            .collect();
        format!("{} for {}", items.join(", "), self.duration)
    }

    /// How the approvals stand; none where the policy is automatic.
    pub fn tally(&self, directory: &Directory) -> Option<Tally> {
        self.quorum.as_ref().map(|q| q.tally(&self.requester, &self.reviews, directory))
    }

    /// Whether `person` could decide on it now.
    pub fn waits_for(&self, person: &PrincipalId, directory: &Directory) -> bool {
        self.state == RequestState::Pending
            && !self.reviews.iter().any(|review| review.by == *person)
            && self
                .quorum
                .as_ref()
                .is_some_and(|quorum| quorum.approvers(&self.requester, directory).contains(person))
    }

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
        let mut approved = next.approved(voices, now);
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
        if self.state != RequestState::Pending {
            return Err(Refusal::AlreadyDecided { state: self.state_name() });
        }
        Ok(self.close(
            RequestState::Cancelled,
            Action::RequestCancelled,
            Actor::Principal(by.clone()),
            now,
        ))
    }

    /// Does what is due: lapses when nobody decided in time; cancelled when its requester left
    /// before it was decided (I10).
    pub fn advance(&self, directory: &Directory, now: Timestamp) -> Option<Transition<Self>> {
        if self.state != RequestState::Pending {
            return None;
        }
        if !self.flow.admits(&self.requester, directory) {
            let mut closed =
                self.close(RequestState::Cancelled, Action::RequestCancelled, Actor::Broker, now);
            for event in &mut closed.events {
                event.details.insert("reason".to_owned(), "requester-left".into());
            }
            return Some(closed);
        }
        self.due_at()
            .filter(|due| *due <= now)
            .map(|_| self.close(RequestState::Lapsed, Action::RequestLapsed, Actor::Broker, now))
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
            let state = RequestState::Ended { reason, at: now };
            return Some(Transition::to(Self { state, ..self.clone() }).record(event));
        }
        let begun = grants.iter().any(|grant| grant.active_since.is_some());
        (begun && self.state == RequestState::Approved)
            .then(|| Transition::to(Self { state: RequestState::Active, ..self.clone() }))
    }

    fn approved(self, voices: Vec<PrincipalId>, now: Timestamp) -> Transition<Self> {
        let next = Self { state: RequestState::Approved, ..self };
        let voices: Vec<_> = voices.iter().map(ToString::to_string).collect();
        let event = next
            .event(Action::RequestApproved, Actor::Broker, now)
            .detail("approved_by", voices)
            .detail("automatic", next.quorum.is_none());
        let text = format!("approved: {}", next.summary());
        let notice =
            next.notice("request.approved", BTreeSet::from([next.requester.clone()]), text);
        let grants: Vec<_> = next
            .items
            .iter()
            .map(|item| {
                let plan = Plan {
                    id: item.grant,
                    request: next.id,
                    principal: &next.requester,
                    resource: &item.resource,
                    permission: &item.permission,
                    flow: &next.flow.name,
                    ticket: next.ticket.as_deref(),
                    duration: next.duration,
                };
                Effect::Plan(Grant::plan(plan, now))
            })
            .collect();
        let transition = Transition::to(next).with(Effect::Notify(notice)).record(event);
        grants.into_iter().fold(transition, Transition::with)
    }

    fn created_event(&self, now: Timestamp) -> AuditEvent {
        let items: Vec<_> = self
            .items
            .iter()
            .map(|item| format!("{} on {}", item.permission, item.resource.id))
            .collect();
        let event = self
            .event(Action::RequestCreated, Actor::Principal(self.requester.clone()), now)
            .detail("flow", self.flow.name.to_string())
            .detail("flow_version", self.flow_version.as_str())
            .detail("items", items)
            .detail("duration", self.duration.to_string());
        let event = match &self.reason {
            Some(reason) => event.detail("reason", reason.as_str()),
            None => event,
        };
        match &self.ticket {
            Some(ticket) => event.detail("ticket", ticket.as_str()),
            None => event,
        }
    }

    fn event(&self, action: Action, actor: Actor, at: Timestamp) -> AuditEvent {
        AuditEvent::new(action, actor, at).request(self.id)
    }

    fn notice(&self, event: &str, to: BTreeSet<PrincipalId>, text: String) -> Notice {
        Notice { event: event.to_owned(), request: self.id, grant: None, to, text }
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
    } else if reasons.iter().any(|reason| matches!(*reason, "revoked" | "requester-left")) {
        EndReason::Revoked
    } else if reasons.contains(&"released") {
        EndReason::Released
    } else {
        EndReason::Expired
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
