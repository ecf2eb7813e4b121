//! Between the agents' protocol and the domain. Generated types stop here, and what makes no sense
//! goes no further.

use ebbgate_agent_core::{AgentState, CredentialOrder, Failure, Ordered, Outcome, Report, Welcome};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    inventory::ResourceKind,
    names::IntegrationName,
    order::{Finding, GrantSpec, Order, OrderAction},
};
use ebbgate_proto::v1;
use jiff::SignedDuration;

/// What the broker says, in our words.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The full set of standing orders, and what is wrong with those that are not understood: a
    /// newer broker may order what this agent can't do.
    Welcome(Welcome, Vec<BadMessage>),
    /// An order.
    Order(Ordered),
    /// An order to provision that can only be refused.
    BadOrder {
        /// The grant.
        grant: GrantId,
        /// The order's number.
        seq: u64,
        /// Why.
        error: BadMessage,
    },
    /// A credential order.
    Credential(CredentialOrder),
    /// A credential order that can only be refused.
    BadCredential {
        /// The grant.
        grant: GrantId,
        /// The order's number.
        seq: u64,
        /// Why; it never holds the verifier.
        reason: String,
    },
    /// An outcome is on record.
    Recorded {
        /// The grant.
        grant: GrantId,
        /// The order's number.
        seq: u64,
    },
}

/// A message makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker's message has no usable {field}: {reason}")]
pub(crate) struct BadMessage {
    field: &'static str,
    reason: String,
}

fn bad(field: &'static str, reason: impl ToString) -> BadMessage {
    BadMessage { field, reason: reason.to_string() }
}

/// Takes a message of the broker in. None where it is of a kind that this version does not know.
///
/// # Errors
/// It makes no sense.
pub(crate) fn heard(message: v1::BrokerMessage) -> Result<Option<Heard>, BadMessage> {
    use v1::broker_message::Message;

    let heard = match message.message {
        None => return Ok(None),
        Some(Message::Welcome(message)) => {
            let broker_now = time("time", message.now_ms)?;
            let served = message.integrations.iter().filter_map(|name| name.parse().ok()).collect();
            let mut welcome =
                Welcome { orders: Vec::new(), unread: Vec::new(), served, broker_now };
            let mut errors = Vec::new();
            for order in message.orders {
                let grant = grant_of(&order);
                match ordered(order) {
                    Ok(order) => welcome.orders.push(order),
                    Err(error) => {
                        welcome.unread.extend(grant);
                        errors.push(error);
                    }
                }
            }
            Heard::Welcome(welcome, errors)
        }
        Some(Message::Order(order)) => {
            let provision = order.action() == v1::Action::Provision;
            let (seq, grant) = (order.seq, grant_of(&order));
            match (ordered(order), grant.filter(|_| provision)) {
                (Ok(ordered), _) => Heard::Order(ordered),
                (Err(error), Some(grant)) => Heard::BadOrder { grant, seq, error },
                (Err(error), None) => return Err(error),
            }
        }
        Some(Message::CredentialOrder(order)) => {
            let grant = parse("grant id", &order.grant_id)?;
            let seq = order.seq;
            match order.scram_verifier.parse() {
                Ok(verifier) => Heard::Credential(CredentialOrder { grant, seq, verifier }),
                Err(error) => {
                    let reason = format!("the password's verifier is refused: {error}");
                    Heard::BadCredential { grant, seq, reason }
                }
            }
        }
        // Other outcomes are told anew from what stands; only an end is kept until it is on record.
        Some(Message::OutcomeRecorded(recorded)) if !recorded.torn_down => return Ok(None),
        Some(Message::OutcomeRecorded(recorded)) => {
            Heard::Recorded { grant: parse("grant id", &recorded.grant_id)?, seq: recorded.seq }
        }
    };
    Ok(Some(heard))
}

fn grant_of(order: &v1::Order) -> Option<GrantId> {
    order.spec.as_ref()?.grant_id.parse().ok()
}

fn ordered(message: v1::Order) -> Result<Ordered, BadMessage> {
    let action = match message.action() {
        v1::Action::Provision => OrderAction::Provision,
        v1::Action::Revoke => OrderAction::Revoke,
        v1::Action::Unspecified => return Err(bad("action", "it is none that this agent knows")),
    };
    let spec = spec(message.spec.ok_or_else(|| bad("spec", "there is none"))?)?;
    let order = Order { seq: message.seq, action, spec };
    Ok(Ordered { order, remaining: SignedDuration::from_millis(message.remaining_ms) })
}

fn spec(spec: v1::GrantSpec) -> Result<GrantSpec, BadMessage> {
    let kind = ResourceKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == spec.kind)
        .ok_or_else(|| bad("kind", "it is none that this agent knows"))?;
    Ok(GrantSpec {
        grant: parse("grant id", &spec.grant_id)?,
        request: parse("request id", &spec.request_id)?,
        principal: parse("principal", &spec.principal)?,
        integration: parse("integration", &spec.integration)?,
        resource: parse("resource", &spec.resource)?,
        kind,
        native: spec.native,
        permission: parse("permission", &spec.permission)?,
        flow: parse("flow", &spec.flow)?,
        ticket: spec.ticket,
        deadline: time("deadline", spec.deadline_ms)?,
        // Only the broker's own connectors hand such credentials out.
        credentials_until: None,
    })
}

fn parse<T: std::str::FromStr<Err: ToString>>(
    field: &'static str,
    text: &str,
) -> Result<T, BadMessage> {
    text.parse().map_err(|error: T::Err| bad(field, error.to_string()))
}

fn time(field: &'static str, ms: i64) -> Result<Timestamp, BadMessage> {
    Timestamp::from_millisecond(ms).map_err(|error| bad(field, error))
}

/// What the agent says first: who it is and what it holds.
pub(crate) fn hello<'a>(
    state: &AgentState,
    integrations: impl IntoIterator<Item = &'a IntegrationName>,
    now: Timestamp,
) -> v1::AgentMessage {
    let held = state.held().filter(|held| held.is_open());
    message(v1::agent_message::Message::Hello(v1::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now_ms: now.as_millisecond(),
        integrations: integrations.into_iter().map(ToString::to_string).collect(),
        held: held
            .map(|held| v1::Held { grant_id: held.spec.grant.to_string(), seq: held.seq })
            .collect(),
    }))
}

/// A report as it is sent.
pub(crate) fn report(report: Report) -> v1::AgentMessage {
    use v1::agent_message::Message;

    message(match report {
        Report::Outcome { grant, seq, at, outcome } => Message::Outcome(v1::Outcome {
            seq,
            grant_id: grant.to_string(),
            at_ms: at.as_millisecond(),
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
    })
}

fn outcome(outcome: Outcome) -> v1::outcome::Result {
    match outcome {
        Outcome::Provisioned => v1::outcome::Result::Provisioned(v1::Provisioned {}),
        Outcome::ProvisionFailed(error) => v1::outcome::Result::ProvisionFailed(failure(error)),
        Outcome::TornDown(found) => v1::outcome::Result::TornDown(finding(found)),
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

fn message(message: v1::agent_message::Message) -> v1::AgentMessage {
    v1::AgentMessage { message: Some(message) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{grant, order};

    fn said(message: v1::broker_message::Message) -> Result<Option<Heard>, BadMessage> {
        heard(v1::BrokerMessage { message: Some(message) })
    }

    #[test]
    fn an_order_arrives_with_all_that_it_says() {
        let message = v1::broker_message::Message::Order(order(1, 7, v1::Action::Provision, 600));
        let Ok(Some(Heard::Order(ordered))) = said(message) else { panic!("no order") };
        assert_eq!((ordered.order.seq, ordered.order.action), (7, OrderAction::Provision));
        assert_eq!(ordered.order.spec, crate::testing::spec(1, 600));
        assert_eq!(ordered.remaining, SignedDuration::from_secs(600));
    }

    #[test]
    fn an_order_that_makes_no_sense_is_told_by_its_field() {
        let mut message = order(1, 7, v1::Action::Provision, 600);
        message.action = 99;
        let error = said(v1::broker_message::Message::Order(message)).unwrap_err();
        assert!(error.to_string().contains("no usable action"), "{error}");
        let mut message = order(1, 7, v1::Action::Provision, 600);
        message.spec.as_mut().unwrap().principal = "Ana'; DROP".to_owned();
        let refused = said(v1::broker_message::Message::Order(message)).unwrap();
        let Some(Heard::BadOrder { seq: 7, error, .. }) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains("no usable principal"), "{error}");
    }

    #[test]
    fn a_standing_order_that_is_not_understood_still_stands() {
        let mut newer = order(2, 3, v1::Action::Provision, 600);
        newer.action = 99;
        let orders = vec![order(1, 7, v1::Action::Provision, 600), newer];
        let message = v1::broker_message::Message::Welcome(v1::Welcome {
            now_ms: 5,
            orders,
            integrations: vec!["orders".to_owned()],
        });
        let Ok(Some(Heard::Welcome(welcome, errors))) = said(message) else { panic!("no welcome") };
        assert_eq!((welcome.orders.len(), welcome.unread, errors.len()), (1, vec![grant(2)], 1));
    }

    #[test]
    fn a_bad_verifier_is_refused_without_being_repeated() {
        let order = v1::CredentialOrder {
            seq: 2,
            grant_id: grant(1).to_string(),
            scram_verifier: "SCRAM-SHA-256$4096:sesame'".to_owned(),
        };
        let heard = said(v1::broker_message::Message::CredentialOrder(order)).unwrap();
        let Some(Heard::BadCredential { seq: 2, reason, .. }) = heard else { panic!("{heard:?}") };
        assert!(!reason.contains("sesame"), "{reason}");
    }

    #[test]
    fn what_a_newer_broker_says_is_passed_over() {
        assert!(heard(v1::BrokerMessage { message: None }).unwrap().is_none());
    }
}
