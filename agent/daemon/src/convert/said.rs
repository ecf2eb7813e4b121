//! What the agent says, as it is sent.

use ebbgate_agent_core::{AgentState, Failure, Outcome, Report, Stage, SweepReport};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    names::IntegrationName,
    order::{EndCause, Finding},
    session::LiveSession,
};
use ebbgate_proto::v1::{self, agent_message::Message};

/// What the agent says first: who it is and what it holds.
pub(crate) fn hello<'a>(
    state: &AgentState,
    integrations: impl IntoIterator<Item = &'a IntegrationName>,
    draining: bool,
    now: Timestamp,
) -> v1::AgentMessage {
    let held = state.held().filter(|held| held.is_open());
    message(Message::Hello(v1::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now_ms: now.as_millisecond(),
        integrations: integrations.into_iter().map(ToString::to_string).collect(),
        held: held
            .map(|held| v1::Held { grant_id: held.spec.grant.to_string(), seq: held.seq })
            .collect(),
        draining,
    }))
}

/// That the agent lives.
pub(crate) fn heartbeat(state: &AgentState, draining: bool, now: Timestamp) -> v1::AgentMessage {
    let held = state.held().filter(|held| !matches!(held.stage, Stage::TornDown { .. })).count();
    message(Message::Heartbeat(v1::Heartbeat {
        now_ms: now.as_millisecond(),
        draining,
        held: u32::try_from(held).unwrap_or(u32::MAX),
    }))
}

/// The sessions that were asked for.
pub(crate) fn sessions(query: u64, found: Result<Vec<LiveSession>, Failure>) -> v1::AgentMessage {
    let (sessions, failure) = match found {
        Ok(sessions) => (sessions.into_iter().map(session).collect(), None),
        Err(error) => (Vec::new(), Some(self::failure(error))),
    };
    message(Message::SessionsFound(v1::SessionsFound { query, sessions, failure }))
}

/// What became of a session that was to be ended.
pub(crate) fn session_ended(query: u64, found: Result<bool, Failure>) -> v1::AgentMessage {
    let (found, failure) = match found {
        Ok(found) => (found, None),
        Err(error) => (false, Some(self::failure(error))),
    };
    message(Message::SessionEnded(v1::SessionEnded { query, found, failure }))
}

fn session(session: LiveSession) -> v1::LiveSession {
    v1::LiveSession {
        id: session.id,
        grant_id: session.grant.to_string(),
        started_at_us: session.started_at.as_microsecond(),
        state: session.state,
        state_since_ms: session.state_since.map(Timestamp::as_millisecond),
        client: session.client,
        application: session.application,
    }
}

/// A report as it is sent.
pub(crate) fn report(report: Report) -> v1::AgentMessage {
    message(match report {
        Report::Outcome { grant, seq, at, outcome } => Message::Outcome(v1::Outcome {
            seq,
            grant_id: grant.to_string(),
            at_ms: at.as_millisecond(),
            cause: cause(&outcome).into(),
            result: Some(self::outcome(outcome)),
        }),
        Report::Credential { grant, seq, result } => {
            Message::CredentialOutcome(v1::CredentialOutcome {
                seq,
                grant_id: grant.to_string(),
                result: Some(match result {
                    Ok(user) => v1::credential_outcome::Result::User(user),
                    Err(error) => v1::credential_outcome::Result::Failure(failure(error)),
                }),
            })
        }
        Report::OrphanRemoved { integration, grant, finding } => {
            Message::OrphanRemoved(v1::OrphanRemoved {
                integration: integration.to_string(),
                grant_id: grant.to_string(),
                finding: Some(self::finding(finding)),
            })
        }
        Report::Swept(report) => Message::SweepReport(swept(report)),
    })
}

fn swept(report: SweepReport) -> v1::SweepReport {
    let ids = |grants: Vec<GrantId>| grants.iter().map(ToString::to_string).collect();
    v1::SweepReport {
        integration: report.integration.to_string(),
        at_ms: report.at.as_millisecond(),
        marked: u32::try_from(report.marked).unwrap_or(u32::MAX),
        orphans: ids(report.orphans),
        missing: ids(report.missing),
        error: report.error.unwrap_or_default(),
    }
}

fn cause(outcome: &Outcome) -> v1::EndCause {
    let Outcome::TornDown { cause: Some(cause), .. } = outcome else {
        return v1::EndCause::Unspecified;
    };
    match cause {
        EndCause::Ordered => v1::EndCause::Ordered,
        EndCause::Deadline => v1::EndCause::Deadline,
        EndCause::NotStanding => v1::EndCause::NotStanding,
        EndCause::CutOff => v1::EndCause::CutOff,
        EndCause::Missing => v1::EndCause::Missing,
    }
}

fn outcome(outcome: Outcome) -> v1::outcome::Result {
    match outcome {
        Outcome::Provisioned(told) => {
            v1::outcome::Result::Provisioned(v1::Provisioned { recording: told.recording })
        }
        Outcome::ProvisionFailed(error) => v1::outcome::Result::ProvisionFailed(failure(error)),
        Outcome::TornDown { finding: found, .. } => v1::outcome::Result::TornDown(finding(found)),
        Outcome::TeardownFailed(error) => v1::outcome::Result::TeardownFailed(failure(error)),
        Outcome::Stale { newest } => v1::outcome::Result::Stale(v1::Stale { newest_seq: newest }),
    }
}

fn failure(failure: Failure) -> v1::Failure {
    v1::Failure { message: failure.message, may_pass: failure.may_pass }
}

fn finding(finding: Finding) -> v1::Finding {
    v1::Finding {
        checked_at_ms: finding.checked_at.as_millisecond(),
        closed_at_ms: finding.closed_at.as_millisecond(),
        sessions_ended: finding.sessions_ended,
        summary: finding.summary,
    }
}

fn message(message: Message) -> v1::AgentMessage {
    v1::AgentMessage { message: Some(message) }
}
