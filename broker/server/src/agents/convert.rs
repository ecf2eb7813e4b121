//! Between the agents' protocol and the domain. Generated types stop here.

use ebbgate_broker_ports::Outcome;
use ebbgate_connector_api::{ConnectorError, Credential, ErrorKind};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    order::{Finding, GrantSpec, Order, OrderAction},
};
use ebbgate_proto::v1;

/// A message that makes no sense; the stream ends.
#[derive(Debug, thiserror::Error)]
#[error("the agent's message has no usable {0}")]
pub(crate) struct BadMessage(pub(crate) &'static str);

/// An order as it is sent, with the time that is left now.
pub(crate) fn order(order: &Order, now: Timestamp) -> v1::Order {
    let action = match order.action {
        OrderAction::Provision => v1::Action::Provision,
        OrderAction::Revoke => v1::Action::Revoke,
    };
    let left = order.spec.deadline.duration_since(now).as_millis();
    v1::Order {
        seq: order.seq,
        action: action.into(),
        spec: Some(spec(&order.spec)),
        remaining_ms: i64::try_from(left).unwrap_or(i64::MAX).max(0),
    }
}

fn spec(spec: &GrantSpec) -> v1::GrantSpec {
    v1::GrantSpec {
        grant_id: spec.grant.to_string(),
        request_id: spec.request.to_string(),
        principal: spec.principal.to_string(),
        integration: spec.integration.to_string(),
        resource: spec.resource.to_string(),
        kind: spec.kind.to_string(),
        native: spec.native.clone(),
        permission: spec.permission.to_string(),
        flow: spec.flow.to_string(),
        ticket: spec.ticket.clone(),
        deadline_ms: spec.deadline.as_millisecond(),
    }
}

/// An outcome: for which grant, of which order, and what.
pub(crate) fn outcome(message: v1::Outcome) -> Result<(GrantId, u64, Outcome), BadMessage> {
    use v1::outcome::Result as Wire;

    let grant = grant(&message.grant_id)?;
    let outcome = match message.result.ok_or(BadMessage("result"))? {
        Wire::Provisioned(_) => Outcome::Provisioned,
        Wire::ProvisionFailed(failure) => {
            Outcome::ProvisionFailed { error: text(failure.message), may_pass: failure.may_pass }
        }
        Wire::TornDown(found) => Outcome::TornDown(finding(found)?),
        Wire::TeardownFailed(failure) => Outcome::TeardownFailed { error: text(failure.message) },
        Wire::Stale(stale) => Outcome::Stale { newest: stale.newest_seq },
    };
    Ok((grant, message.seq, outcome))
}

/// What an agent saw after a teardown.
pub(crate) fn finding(message: v1::Finding) -> Result<Finding, BadMessage> {
    Ok(Finding {
        checked_at: time(message.checked_at_ms)?,
        closed_at: time(message.closed_at_ms)?,
        sessions_ended: message.sessions_ended,
        summary: text(message.summary),
    })
}

/// A grant's id.
pub(crate) fn grant(text: &str) -> Result<GrantId, BadMessage> {
    text.parse().map_err(|_| BadMessage("grant id"))
}

/// The answer to a credential order.
pub(crate) fn credential(message: v1::CredentialOutcome) -> Result<Credential, ConnectorError> {
    use v1::credential_outcome::Result as Wire;

    match message.result {
        Some(Wire::User(user)) => Ok(Credential::Login { user }),
        Some(Wire::Failure(failure)) => {
            let kind = if failure.may_pass { ErrorKind::Unreachable } else { ErrorKind::Refused };
            Err(ConnectorError::new(kind, "register the password's verifier")
                .because(text(failure.message)))
        }
        None => Err(ConnectorError::new(ErrorKind::Invalid, "understand the agent's answer")),
    }
}

fn time(millis: i64) -> Result<Timestamp, BadMessage> {
    Timestamp::from_millisecond(millis).map_err(|_| BadMessage("time"))
}

/// An agent's words end up in records: not endless ones.
fn text(text: String) -> String {
    const MOST: usize = 2_000;
    if text.chars().count() <= MOST { text } else { text.chars().take(MOST).collect() }
}
