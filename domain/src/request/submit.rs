//! Asking: a wish, looked at by the rules of its flow.

use jiff::Timestamp;

use super::{AccessRequest, RequestItem, RequestState, activation::check_start};
use crate::{
    approval::Quorum,
    audit::{Action, Actor, AuditEvent},
    duration::AccessDuration,
    flow::{AccessFlow, ApprovalPolicy, Policies},
    ids::{GrantId, RequestId},
    inventory::Resource,
    names::{PermissionName, PrincipalId},
    principal::Directory,
    refusal::Refusal,
    transition::{Effect, Transition},
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
        starts_at: wish.starts_at,
        activate_by: None,
        activated_at: None,
        use_review: None,
        state: RequestState::Pending,
    };
    let created = request.created_event(now);
    let ApprovalPolicy::Groups { between, groups, request_timeout } = &flow.approval else {
        let mut approved = request.approved(Vec::new(), directory, now);
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

impl AccessRequest {
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
        let event = match &self.starts_at {
            Some(start) => event.detail("starts_at", start.to_string()),
            None => event,
        };
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
