//! Asking: a wish, looked at by the rules of its flow.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{AccessRequest, RequestItem, activation::check_start, needed::approval_needed};
use crate::{
    audit::{Action, Actor, AuditEvent},
    duration::AccessDuration,
    flow::{AccessFlow, Policies},
    ids::{GrantId, RequestId},
    inventory::{Inventory, Resource},
    names::{PermissionName, PrincipalId},
    people::People,
    refusal::Refusal,
    transition::Transition,
};

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
    /// When access is to begin, where that is later than the approval.
    pub starts_at: Option<Timestamp>,
    /// An emergency of this person whose review is overdue.
    pub overdue_review: Option<RequestId>,
}

/// Looks at a wish by the rules of its flow.
///
/// # Errors
/// The first rule that says no.
pub fn submit(
    wish: Submission<'_>,
    policies: &Policies,
    people: &People<'_>,
) -> Result<Transition<AccessRequest>, Refusal> {
    let (flow, now) = (wish.flow, people.now);
    if !flow.admits(wish.requester, people.directory) {
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
            Ok(RequestItem {
                grant: *grant,
                resource: (*resource).clone(),
                rights: policies.rights(&permission),
                permission,
            })
        })
        .collect::<Result<Vec<_>, Refusal>>()?;
    let permissions = items.iter().map(|item| &item.permission);
    let duration = flow.duration.choose(wish.duration, permissions)?;
    flow.justification.check(wish.reason, wish.ticket)?;
    check_start(flow, wish.starts_at, now)?;
    if flow.break_glass.is_some() {
        if wish.reason.is_none_or(|reason| reason.trim().is_empty()) {
            return Err(Refusal::ReasonRequired);
        }
        if let Some(request) = wish.overdue_review {
            return Err(Refusal::ReviewOverdue { request });
        }
    }

    let needed = approval_needed(flow, wish.requester, &items, duration, people)?;
    let requester = wish.requester.clone();
    let mut request = AccessRequest::new(wish.id, requester, flow.clone(), duration, now);
    request.items = items;
    request.reason = wish.reason.map(ToOwned::to_owned);
    request.ticket = wish.ticket.map(ToOwned::to_owned);
    request.starts_at = wish.starts_at;
    let created = request.created_event(&needed.rules, now);
    let automatic = needed.quorums.is_empty();
    request.quorums = needed.quorums;
    request.lapses_at = needed.timeout.map(|timeout| timeout.after(now));
    let mut asked = if automatic {
        request.approved(BTreeSet::new(), people)
    } else {
        let (effects, events) = request.ask(people);
        Transition { state: request, effects, events }
    };
    asked.events.insert(0, created);
    // The resources are as they are now.
    policies.guard(None, &asked, people, &Inventory::default())?;
    Ok(asked)
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

impl AccessRequest {
    fn created_event(&self, rules: &[String], now: Timestamp) -> AuditEvent {
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
        let event = if rules.is_empty() { event } else { event.detail("rules", rules.to_vec()) };
        let event = match &self.reason {
            Some(reason) => event.detail("reason", reason.as_str()),
            None => event,
        };
        match &self.ticket {
            Some(ticket) => event.detail("ticket", ticket.as_str()),
            None => event,
        }
    }
}
