//! Between the agents' protocol and the domain. Generated types stop here.

use ebbgate_broker_app::DriftReport;
use ebbgate_broker_ports::Outcome;
use ebbgate_connector_api::{ConnectorError, Credential, ErrorKind};
use ebbgate_domain::{
    Timestamp,
    audit::Actor,
    ids::{AgentId, GrantId},
    order::{EndCause, Finding, GrantSpec, Order, OrderAction, Provisioned},
    right::Right,
    session::LiveSession,
    verifier::Verifier,
};
use ebbgate_proto::v1;

/// How many grants of one look are told; the rest comes with the next ones.
const MOST_IDS: usize = 1_000;

/// A message that makes no sense; the stream ends.
#[derive(Debug, thiserror::Error)]
#[error("the agent's message has no usable {0}")]
pub(crate) struct BadMessage(pub(crate) &'static str);

/// An order as that agent gets it, with the time that is left now.
pub(crate) fn order(order: &Order, agent: AgentId, now: Timestamp) -> v1::Order {
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
        agent_id: agent.to_string(),
        sent_at_ms: now.as_millisecond(),
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
        rights: spec.rights.iter().map(right).collect(),
        recorded: spec.recorded,
    }
}

fn right(right: &Right) -> v1::Right {
    use v1::right::Right as Wire;

    let right = match right {
        Right::Role { name } => Wire::Role(name.to_string()),
        Right::Level { database, schema, level } => Wire::Level(v1::LevelRight {
            database: database.as_ref().map(ToString::to_string),
            schema: schema.as_ref().map(ToString::to_string),
            level: level.to_string(),
        }),
    };
    v1::Right { right: Some(right) }
}

/// A verifier on its way to that agent.
pub(crate) fn credential_order(
    grant: GrantId,
    seq: u64,
    verifier: &Verifier,
    agent: AgentId,
) -> v1::CredentialOrder {
    use v1::credential_order::Verifier as Wire;

    let verifier = match verifier {
        Verifier::Scram(verifier) => Wire::ScramVerifier(verifier.to_sql_text()),
        Verifier::Mysql(verifiers) => Wire::MysqlVerifiers(v1::MysqlVerifiers {
            native: verifiers.native().to_owned(),
            caching_sha2: verifiers.caching_sha2().to_owned(),
            ed25519: verifiers.ed25519().to_owned(),
        }),
    };
    v1::CredentialOrder {
        seq,
        grant_id: grant.to_string(),
        verifier: Some(verifier),
        agent_id: agent.to_string(),
    }
}

/// An outcome: for which grant, of which order, and what.
pub(crate) fn outcome(message: v1::Outcome) -> Result<(GrantId, u64, Outcome), BadMessage> {
    use v1::outcome::Result as Wire;

    let grant = grant(&message.grant_id)?;
    let cause = cause(message.cause());
    let outcome = match message.result.ok_or(BadMessage("result"))? {
        Wire::Provisioned(told) => {
            Outcome::Provisioned(Provisioned { recording: told.recording.map(text) })
        }
        Wire::ProvisionFailed(failure) => {
            Outcome::ProvisionFailed { error: text(failure.message), may_pass: failure.may_pass }
        }
        Wire::TornDown(found) => Outcome::TornDown { finding: finding(found)?, cause },
        Wire::TeardownFailed(failure) => Outcome::TeardownFailed { error: text(failure.message) },
        Wire::Stale(stale) => Outcome::Stale { newest: stale.newest_seq },
    };
    Ok((grant, message.seq, outcome))
}

fn cause(cause: v1::EndCause) -> EndCause {
    match cause {
        v1::EndCause::Deadline => EndCause::Deadline,
        v1::EndCause::NotStanding => EndCause::NotStanding,
        v1::EndCause::CutOff => EndCause::CutOff,
        v1::EndCause::Missing => EndCause::Missing,
        v1::EndCause::Ordered | v1::EndCause::Unspecified => EndCause::Ordered,
    }
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
        Some(Wire::Failure(said)) => Err(failure(said, "register the password's verifier")),
        None => Err(ConnectorError::new(ErrorKind::Invalid, "understand the agent's answer")),
    }
}

/// What an agent said that it could not do.
fn failure(failure: v1::Failure, doing: &str) -> ConnectorError {
    let kind = if failure.may_pass { ErrorKind::Unreachable } else { ErrorKind::Refused };
    ConnectorError::new(kind, doing).because(text(failure.message))
}

/// A session as it was listed.
pub(crate) fn session(session: &LiveSession) -> v1::LiveSession {
    v1::LiveSession {
        id: session.id.clone(),
        grant_id: session.grant.to_string(),
        started_at_us: session.started_at.as_microsecond(),
        state: session.state.clone(),
        state_since_ms: session.state_since.map(Timestamp::as_millisecond),
        client: session.client.clone(),
        application: session.application.clone(),
    }
}

/// The sessions that an agent found.
pub(crate) fn sessions(
    found: v1::SessionsFound,
    doing: &str,
) -> Result<Vec<LiveSession>, ConnectorError> {
    if let Some(said) = found.failure {
        return Err(failure(said, doing));
    }
    let read = |session: v1::LiveSession| {
        Ok(LiveSession {
            grant: grant(&session.grant_id)?,
            id: text(session.id),
            started_at: Timestamp::from_microsecond(session.started_at_us)
                .map_err(|_| BadMessage("time"))?,
            state: text(session.state),
            state_since: session.state_since_ms.map(time).transpose()?,
            client: session.client.map(text),
            application: session.application.map(text),
        })
    };
    let sessions: Result<Vec<_>, BadMessage> = found.sessions.into_iter().map(read).collect();
    sessions.map_err(|bad| ConnectorError::new(ErrorKind::Invalid, doing).because(bad))
}

/// Whether the session that an agent was to end was there.
pub(crate) fn ended(ended: v1::SessionEnded, doing: &str) -> Result<bool, ConnectorError> {
    match ended.failure {
        Some(said) => Err(failure(said, doing)),
        None => Ok(ended.found),
    }
}

/// What an agent's look at a target found.
pub(crate) fn sweep(report: v1::SweepReport, by: Actor) -> Result<DriftReport, BadMessage> {
    let ids = |ids: Vec<String>| -> Result<Vec<_>, BadMessage> {
        ids.iter().take(MOST_IDS).map(|id| grant(id)).collect()
    };
    Ok(DriftReport {
        integration: report.integration.parse().map_err(|_| BadMessage("integration"))?,
        at: time(report.at_ms)?,
        by,
        marked: report.marked,
        orphans: ids(report.orphans)?,
        missing: ids(report.missing)?,
        error: Some(report.error).filter(|error| !error.is_empty()).map(text),
    })
}

fn time(millis: i64) -> Result<Timestamp, BadMessage> {
    Timestamp::from_millisecond(millis).map_err(|_| BadMessage("time"))
}

/// An agent's words end up in records: not endless ones.
fn text(text: String) -> String {
    const MOST: usize = 2_000;
    if text.chars().count() <= MOST { text } else { text.chars().take(MOST).collect() }
}
