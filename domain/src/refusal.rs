//! Refusals: every way in which the rules say no, each with a stable code and a page in
//! docs/errors/.

use std::fmt;

use jiff::Timestamp;

use crate::{
    delegation::DelegationMistake,
    duration::AccessDuration,
    guardrail::Forbidden,
    ids::RequestId,
    names::{FlowName, PermissionName, PrincipalId, ResourceId},
};

/// The rules said no. Display is one sentence for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The person is not among the flow's requesters.
    NotARequester {
        /// Who asked.
        principal: PrincipalId,
        /// Through which flow.
        flow: FlowName,
    },
    /// No scope of the flow contains the resource.
    OutOfScope {
        /// What was asked for.
        resource: ResourceId,
        /// Through which flow.
        flow: FlowName,
    },
    /// The flow does not offer that permission on that resource.
    PermissionNotOffered {
        /// The permission.
        permission: PermissionName,
        /// What was asked for.
        resource: ResourceId,
        /// What is offered.
        offered: Vec<PermissionName>,
    },
    /// More than one permission fits and none was named.
    PermissionAmbiguous {
        /// What was asked for.
        resource: ResourceId,
        /// What is offered.
        offered: Vec<PermissionName>,
    },
    /// No flow gives this person what they ask for.
    NoFlow {
        /// Who asked.
        principal: PrincipalId,
    },
    /// More than one flow fits and none was named.
    FlowAmbiguous {
        /// Those that fit.
        flows: Vec<FlowName>,
    },
    /// Longer than the flow's maximum.
    DurationTooLong {
        /// What was asked for.
        asked: AccessDuration,
        /// The longest that the flow grants.
        max: AccessDuration,
    },
    /// The flow wants a reason.
    ReasonRequired,
    /// The flow wants a longer reason.
    ReasonTooShort {
        /// The fewest characters.
        least: u32,
    },
    /// The flow wants a ticket.
    TicketRequired {
        /// What it must look like.
        pattern: String,
    },
    /// The ticket does not look as the flow wants it.
    TicketMismatch {
        /// What it must look like.
        pattern: String,
    },
    /// Nobody, or too few people, could approve this.
    ApprovalUnsatisfiable {
        /// Through which flow.
        flow: FlowName,
        /// Which groups lack whom.
        lacks: Vec<String>,
    },
    /// The delegation breaks a rule.
    DelegationRefused {
        /// Which.
        why: DelegationMistake,
    },
    /// Somebody else is looking at the request.
    AlreadyClaimed {
        /// Who.
        by: PrincipalId,
        /// Until when.
        until: Timestamp,
    },
    /// This person has looked at the request before; each may pause its escalation once.
    ClaimedBefore,
    /// Nobody decides on their own request (I9).
    OwnRequest,
    /// This person's word does not count for this request.
    NotAnApprover,
    /// This person has decided already.
    AlreadyReviewed,
    /// The request is decided, withdrawn or over.
    AlreadyDecided {
        /// How the request stands.
        state: &'static str,
    },
    /// Access cannot begin then.
    StartNotPossible {
        /// Why not.
        why: &'static str,
    },
    /// The request has nothing to activate.
    NothingToActivate {
        /// How it stands.
        state: &'static str,
    },
    /// The start that was asked for is still ahead.
    NotYet {
        /// When it can be activated.
        opens: Timestamp,
    },
    /// The flow gives no more time, or not now.
    ExtensionNotPossible {
        /// Why not.
        why: &'static str,
    },
    /// Together with the time that was granted, longer than the flow's maximum.
    ExtensionTooLong {
        /// What access would last in all; none where that is longer than can be written.
        total: Option<AccessDuration>,
        /// The longest that the flow grants.
        max: AccessDuration,
    },
    /// There is no review to be written.
    NoReviewDue {
        /// Why not.
        why: &'static str,
    },
    /// An earlier emergency has no written review although its time has passed.
    ReviewOverdue {
        /// Which one.
        request: RequestId,
    },
    /// A rule above all flows forbids it.
    ForbiddenByGuardrail(Forbidden),
    /// The time to decide or to activate has passed.
    RequestLapsed,
    /// A denial needs a word of explanation.
    CommentRequired,
    /// Only the requester may do this.
    NotTheRequester,
    /// The grant is not active.
    GrantNotActive {
        /// How it stands.
        state: &'static str,
    },
    /// The grant's time is over.
    GrantExpired,
    /// An outcome of an order that is no longer the newest.
    StaleOrder {
        /// The number that came.
        got: u64,
        /// The newest number.
        current: u64,
    },
}

impl Refusal {
    /// The stable code: what programs look at, and the name of its page in docs/errors/.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotARequester { .. } | Self::NoFlow { .. } => "not_a_requester",
            Self::OutOfScope { .. } => "resource_out_of_scope",
            Self::PermissionNotOffered { .. } => "permission_not_offered",
            Self::PermissionAmbiguous { .. } => "permission_ambiguous",
            Self::FlowAmbiguous { .. } => "flow_ambiguous",
            Self::DurationTooLong { .. } => "duration_too_long",
            Self::ReasonRequired => "reason_required",
            Self::ReasonTooShort { .. } => "reason_too_short",
            Self::TicketRequired { .. } => "ticket_required",
            Self::TicketMismatch { .. } => "ticket_mismatch",
            Self::ApprovalUnsatisfiable { .. } => "approval_unsatisfiable",
            Self::DelegationRefused { .. } => "delegation_refused",
            Self::AlreadyClaimed { .. } => "already_claimed",
            Self::ClaimedBefore => "claimed_before",
            Self::OwnRequest => "own_request",
            Self::NotAnApprover => "not_an_approver",
            Self::AlreadyReviewed => "already_reviewed",
            Self::AlreadyDecided { .. } => "already_decided",
            Self::StartNotPossible { .. } => "start_not_possible",
            Self::NothingToActivate { .. } => "nothing_to_activate",
            Self::NotYet { .. } => "not_yet",
            Self::ExtensionNotPossible { .. } => "extension_not_possible",
            Self::ExtensionTooLong { .. } => "extension_too_long",
            Self::NoReviewDue { .. } => "no_review_due",
            Self::ReviewOverdue { .. } => "review_overdue",
            Self::ForbiddenByGuardrail(_) => "forbidden_by_guardrail",
            Self::RequestLapsed => "request_lapsed",
            Self::CommentRequired => "comment_required",
            Self::NotTheRequester => "not_the_requester",
            Self::GrantNotActive { .. } => "grant_not_active",
            Self::GrantExpired => "grant_expired",
            Self::StaleOrder { .. } => "stale_order",
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARequester { principal, flow } => {
                write!(f, "{principal} is not among the requesters of the flow {flow}")
            }
            Self::OutOfScope { resource, flow } => {
                write!(f, "no scope of the flow {flow} contains {resource}")
            }
            Self::PermissionNotOffered { permission, resource, offered } => {
                write!(f, "{permission} is not offered on {resource}; on offer: {}", list(offered))
            }
            Self::PermissionAmbiguous { resource, offered } => {
                write!(f, "say which permission you want on {resource}: {}", list(offered))
            }
            Self::NoFlow { principal } => write!(f, "no access flow gives {principal} this access"),
            Self::FlowAmbiguous { flows } => {
                write!(f, "more than one flow gives this access; name one of: {}", list(flows))
            }
            Self::DurationTooLong { asked, max } => {
                write!(f, "{asked} is longer than this flow's maximum of {max}")
            }
            Self::ReasonRequired => f.write_str("this flow requires a reason"),
            Self::ReasonTooShort { least } => {
                write!(f, "this flow requires a reason of at least {least} characters")
            }
            Self::TicketRequired { pattern } => {
                write!(f, "this flow requires a ticket that matches {pattern}")
            }
            Self::TicketMismatch { pattern } => write!(f, "the ticket does not match {pattern}"),
            Self::ApprovalUnsatisfiable { flow, lacks } => {
                write!(f, "too few people could approve this through {flow}: {}", lacks.join("; "))
            }
            Self::DelegationRefused { why } => write!(f, "this delegation cannot be: {why}"),
            Self::AlreadyClaimed { by, until } => {
                write!(f, "{by} is looking at this request until {until}")
            }
            Self::ClaimedBefore => {
                f.write_str("you have claimed this request before: decide, or let it go on")
            }
            Self::OwnRequest => f.write_str("nobody decides on their own request"),
            Self::NotAnApprover => f.write_str("you are not among this request's approvers"),
            Self::AlreadyReviewed => f.write_str("you have decided on this request already"),
            Self::AlreadyDecided { state } => write!(f, "the request is {state} already"),
            Self::StartNotPossible { why } => write!(f, "access cannot begin then: {why}"),
            Self::NothingToActivate { state } => {
                write!(f, "there is nothing to activate: the request is {state}")
            }
            Self::NotYet { opens } => write!(f, "it can be activated from {opens} on"),
            Self::ExtensionNotPossible { why } => write!(f, "no more time: {why}"),
            Self::ExtensionTooLong { total: Some(total), max } => {
                write!(f, "{total} in all is longer than this flow's maximum of {max}")
            }
            Self::ExtensionTooLong { total: None, max } => {
                write!(f, "that is longer in all than this flow's maximum of {max}")
            }
            Self::NoReviewDue { why } => write!(f, "there is no review to write: {why}"),
            Self::ReviewOverdue { request } => {
                write!(f, "write the review of {request} first: ebb reviews write {request}")
            }
            Self::ForbiddenByGuardrail(forbidden) => forbidden.fmt(f),
            Self::RequestLapsed => {
                f.write_str("the time to decide on this request, or to activate it, has passed")
            }
            Self::CommentRequired => f.write_str("a denial needs a comment"),
            Self::NotTheRequester => f.write_str("only its requester may do this"),
            Self::GrantNotActive { state } => write!(f, "the grant is {state}, not active"),
            Self::GrantExpired => f.write_str("the grant's time is over"),
            Self::StaleOrder { got, current } => {
                write!(f, "order {got} is stale: the newest for this grant is {current}")
            }
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
