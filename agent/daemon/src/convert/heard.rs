//! What the broker says, in our words. What gives access is looked at only once its signature has
//! been found good.

use ebbgate_agent_core::{CredentialOrder, Ordered, Welcome};
use ebbgate_domain::{
    Timestamp,
    ids::GrantId,
    inventory::ResourceKind,
    mysql_verifier::MysqlVerifiers,
    names::IntegrationName,
    order::{GrantSpec, Order, OrderAction},
    right::Right,
    scram::ScramVerifier,
    session::LiveSession,
    verifier::Verifier,
};
use ebbgate_proto::v1;
use jiff::SignedDuration;

use crate::{
    telemetry::chain,
    trust::{Kind, Trust, Untrusted},
};

/// What the broker says, in our words.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The full set of standing orders, and what is wrong with those that are not taken: a newer
    /// broker may order what this agent can't do, and somebody else may order what he may not.
    Welcome(Welcome, Vec<Rejected>),
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
    /// Another agent is about to be given a grant on an integration of this agent's.
    Elsewhere(GrantId),
    /// That one is over.
    ElsewhereOver(GrantId),
    /// It is on record that an orphan was removed.
    OrphanRecorded(IntegrationName, GrantId),
    /// Its time when it heard a heartbeat.
    Time(Timestamp),
    /// It wants to know which sessions are live. The integration as it was named.
    Sessions {
        /// Comes back with the answer.
        query: u64,
        /// Where.
        integration: String,
    },
    /// It wants a session ended.
    EndSession {
        /// Comes back with the answer.
        query: u64,
        /// Where.
        integration: String,
        /// Which, or why that can't be told.
        session: Result<LiveSession, BadMessage>,
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

/// Why a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    /// It makes no sense.
    #[error("the broker is not understood")]
    Bad(#[from] BadMessage),
    /// It is not the broker's.
    #[error("an order is dropped")]
    Untrusted(#[from] Untrusted),
}

impl Rejected {
    /// Tells the log.
    pub(crate) fn log(&self) {
        match self {
            Self::Bad(_) => tracing::error!("{}", chain(self)),
            Self::Untrusted(_) => tracing::error!(alarm = "order-signature", "{}", chain(self)),
        }
    }
}

/// Takes a message of the broker in. None where it is of a kind that this version does not know.
///
/// # Errors
/// It makes no sense, or is not the broker's.
pub(crate) fn heard(message: v1::BrokerMessage, trust: &Trust) -> Result<Option<Heard>, Rejected> {
    use v1::broker_message::Message;

    Ok(Some(match message.message {
        None => return Ok(None),
        Some(Message::Welcome(message)) => welcome(message, trust)?,
        Some(Message::Order(signed)) => order(trust.open(Kind::Order, &signed)?)?,
        Some(Message::CredentialOrder(signed)) => {
            credential(&trust.open(Kind::CredentialOrder, &signed)?)?
        }
        // Other outcomes are told anew from what stands; only an end is kept until it is on record.
        Some(Message::OutcomeRecorded(recorded)) if !recorded.torn_down => return Ok(None),
        Some(Message::OutcomeRecorded(recorded)) => {
            Heard::Recorded { grant: parse("grant id", &recorded.grant_id)?, seq: recorded.seq }
        }
        Some(Message::Elsewhere(told)) => Heard::Elsewhere(parse("grant id", &told.grant_id)?),
        Some(Message::ElsewhereOver(told)) => {
            Heard::ElsewhereOver(parse("grant id", &told.grant_id)?)
        }
        Some(Message::OrphanRecorded(told)) => Heard::OrphanRecorded(
            parse("integration", &told.integration)?,
            parse("grant id", &told.grant_id)?,
        ),
        Some(Message::HeartbeatAnswer(answer)) => Heard::Time(time("time", answer.now_ms)?),
        Some(Message::SessionsWanted(v1::SessionsWanted { query, integration })) => {
            Heard::Sessions { query, integration }
        }
        Some(Message::EndSession(v1::EndSession { query, integration, session })) => {
            let session = session.ok_or_else(|| bad("session", "there is none"));
            Heard::EndSession { query, integration, session: session.and_then(self::session) }
        }
    }))
}

fn welcome(message: v1::Welcome, trust: &Trust) -> Result<Heard, BadMessage> {
    let mut welcome = Welcome {
        orders: Vec::new(),
        unread: Vec::new(),
        whole: true,
        elsewhere: message.elsewhere.iter().filter_map(|grant| grant.parse().ok()).collect(),
        served: message.integrations.iter().filter_map(|name| name.parse().ok()).collect(),
        broker_now: time("time", message.now_ms)?,
    };
    let mut rejected = Vec::new();
    for signed in message.orders {
        let order: v1::Order = match trust.open(Kind::Order, &signed) {
            Ok(order) => order,
            // Not even whose it is may be believed.
            Err(error) => {
                welcome.whole = false;
                rejected.push(error.into());
                continue;
            }
        };
        let grant = grant_of(&order);
        match ordered(order) {
            Ok(order) => welcome.orders.push(order),
            Err(error) => {
                welcome.unread.extend(grant);
                rejected.push(error.into());
            }
        }
    }
    Ok(Heard::Welcome(welcome, rejected))
}

fn order(order: v1::Order) -> Result<Heard, BadMessage> {
    let provision = order.action() == v1::Action::Provision;
    let (seq, grant) = (order.seq, grant_of(&order));
    match (ordered(order), grant.filter(|_| provision)) {
        (Ok(ordered), _) => Ok(Heard::Order(ordered)),
        (Err(error), Some(grant)) => Ok(Heard::BadOrder { grant, seq, error }),
        (Err(error), None) => Err(error),
    }
}

fn credential(order: &v1::CredentialOrder) -> Result<Heard, BadMessage> {
    let grant = parse("grant id", &order.grant_id)?;
    let seq = order.seq;
    Ok(match verifier(order.verifier.as_ref()) {
        Ok(verifier) => Heard::Credential(CredentialOrder { grant, seq, verifier }),
        Err(error) => {
            let reason = format!("the password's verifier is refused: {error}");
            Heard::BadCredential { grant, seq, reason }
        }
    })
}

/// The error never repeats the verifier.
fn verifier(verifier: Option<&v1::credential_order::Verifier>) -> Result<Verifier, String> {
    use v1::credential_order::Verifier as Told;

    match verifier {
        None => Err("there is none of a kind that this agent knows".to_owned()),
        Some(Told::ScramVerifier(text)) => {
            text.parse::<ScramVerifier>().map(Verifier::Scram).map_err(|error| error.to_string())
        }
        Some(Told::MysqlVerifiers(all)) => {
            MysqlVerifiers::new(&all.native, &all.caching_sha2, &all.ed25519)
                .map(Verifier::Mysql)
                .map_err(|error| error.to_string())
        }
    }
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
    // A broker of before does not tell.
    let sent_at = match message.sent_at_ms {
        0 => None,
        sent_at => Some(time("time of sending", sent_at)?),
    };
    Ok(Ordered { order, remaining: SignedDuration::from_millis(message.remaining_ms), sent_at })
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
        rights: spec.rights.into_iter().map(right).collect::<Result<_, _>>()?,
        flow: parse("flow", &spec.flow)?,
        ticket: spec.ticket,
        deadline: time("deadline", spec.deadline_ms)?,
        // Only the broker's own connectors hand such credentials out.
        credentials_until: None,
        recorded: spec.recorded,
    })
}

/// A right that is not understood spoils the order: without it the permission would be another one.
fn right(right: v1::Right) -> Result<Right, BadMessage> {
    let name = |text: Option<String>| text.map(|text| parse("right", &text)).transpose();
    match right.right {
        None => Err(bad("right", "it is of a kind that this agent does not know")),
        Some(v1::right::Right::Role(role)) => Ok(Right::Role { name: parse("right", &role)? }),
        Some(v1::right::Right::Level(v1::LevelRight { database, schema, level })) => {
            Ok(Right::Level {
                database: name(database)?,
                schema: name(schema)?,
                level: parse("right", &level)?,
            })
        }
    }
}

fn session(session: v1::LiveSession) -> Result<LiveSession, BadMessage> {
    let started_at = Timestamp::from_microsecond(session.started_at_us)
        .map_err(|error| bad("start of the session", error))?;
    Ok(LiveSession {
        id: session.id,
        grant: parse("grant id", &session.grant_id)?,
        started_at,
        state: session.state,
        state_since: session.state_since_ms.map(|ms| time("time", ms)).transpose()?,
        client: session.client,
        application: session.application,
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

#[cfg(test)]
mod tests {
    use ebbgate_domain::right::Level;
    use v1::broker_message::Message as Told;

    use super::*;
    use crate::testing::{grant, order, signed, signed_credential, trust};

    fn said(message: Told) -> Result<Option<Heard>, Rejected> {
        heard(v1::BrokerMessage { message: Some(message) }, &trust())
    }

    #[test]
    fn an_order_arrives_with_all_that_it_says() {
        let message = Told::Order(signed(&order(1, 7, v1::Action::Provision, 600)));
        let Ok(Some(Heard::Order(ordered))) = said(message) else { panic!("no order") };
        assert_eq!((ordered.order.seq, ordered.order.action), (7, OrderAction::Provision));
        assert_eq!(ordered.order.spec, crate::testing::spec(1, 600));
        assert_eq!(ordered.remaining, SignedDuration::from_secs(600));
    }

    #[test]
    fn a_permission_of_an_operators_own_arrives_right_by_right() {
        let mut message = order(1, 7, v1::Action::Provision, 600);
        let level = v1::LevelRight {
            database: Some("shop".to_owned()),
            schema: None,
            level: "ddl".to_owned(),
        };
        let rights =
            [v1::right::Right::Level(level), v1::right::Right::Role("Reporting staff".to_owned())];
        message.spec.as_mut().unwrap().rights =
            rights.map(|right| v1::Right { right: Some(right) }).to_vec();
        let heard = said(Told::Order(signed(&message))).unwrap();
        let Some(Heard::Order(ordered)) = heard else { panic!("{heard:?}") };
        let database = Some("shop".parse().unwrap());
        let expected = [
            Right::Level { database, schema: None, level: Level::Ddl },
            Right::Role { name: "Reporting staff".parse().unwrap() },
        ];
        assert_eq!(ordered.order.spec.rights, expected);

        message.spec.as_mut().unwrap().rights.push(v1::Right { right: None });
        let heard = said(Told::Order(signed(&message))).unwrap();
        assert!(matches!(heard, Some(Heard::BadOrder { .. })), "{heard:?}");
    }

    #[test]
    fn an_order_that_makes_no_sense_is_told_by_its_field() {
        let mut message = order(1, 7, v1::Action::Provision, 600);
        message.action = 99;
        let error = said(Told::Order(signed(&message))).unwrap_err();
        assert!(chain(&error).contains("no usable action"), "{error}");
        let mut message = order(1, 7, v1::Action::Provision, 600);
        message.spec.as_mut().unwrap().principal = "Ana'; DROP".to_owned();
        let refused = said(Told::Order(signed(&message))).unwrap();
        let Some(Heard::BadOrder { seq: 7, error, .. }) = refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains("no usable principal"), "{error}");
    }

    fn welcomed(orders: Vec<v1::Signed>) -> (Welcome, Vec<Rejected>) {
        let message = Told::Welcome(v1::Welcome {
            now_ms: 5,
            orders,
            integrations: vec!["orders".to_owned()],
            elsewhere: vec![grant(9).to_string()],
        });
        match said(message) {
            Ok(Some(Heard::Welcome(welcome, rejected))) => (welcome, rejected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_standing_order_that_is_not_understood_still_stands() {
        let mut newer = order(2, 3, v1::Action::Provision, 600);
        newer.action = 99;
        let (welcome, rejected) =
            welcomed(vec![signed(&order(1, 7, v1::Action::Provision, 600)), signed(&newer)]);
        assert_eq!((welcome.orders.len(), welcome.unread, rejected.len()), (1, vec![grant(2)], 1));
        assert!(welcome.whole);
        assert_eq!(welcome.elsewhere, [grant(9)].into());
    }

    #[test]
    fn a_standing_order_that_is_not_the_brokers_is_left_out_and_the_rest_known_as_a_part() {
        let mut forged = signed(&order(2, 3, v1::Action::Revoke, 600));
        forged.signature[0] ^= 1;
        let (welcome, rejected) =
            welcomed(vec![signed(&order(1, 7, v1::Action::Provision, 600)), forged]);
        assert_eq!((welcome.orders.len(), welcome.unread.len(), welcome.whole), (1, 0, false));
        assert!(matches!(rejected[..], [Rejected::Untrusted(_)]));
    }

    #[test]
    fn nothing_is_taken_from_an_order_that_is_not_the_brokers() {
        let mut forged = signed(&order(1, 7, v1::Action::Revoke, 600));
        forged.payload = signed(&order(2, 7, v1::Action::Revoke, 600)).payload;
        let error = said(Told::Order(forged)).unwrap_err();
        assert!(matches!(error, Rejected::Untrusted(_)), "{error:?}");
    }

    #[test]
    fn a_bad_verifier_is_refused_without_being_repeated() {
        for verifier in [
            v1::credential_order::Verifier::ScramVerifier("SCRAM-SHA-256$4096:sesame'".to_owned()),
            v1::credential_order::Verifier::MysqlVerifiers(v1::MysqlVerifiers {
                native: "*sesame".to_owned(),
                ..v1::MysqlVerifiers::default()
            }),
        ] {
            let order = signed_credential(1, 2, Some(verifier));
            let heard = said(Told::CredentialOrder(order)).unwrap();
            let Some(Heard::BadCredential { seq: 2, reason, .. }) = heard else {
                panic!("{heard:?}")
            };
            assert!(!reason.contains("sesame"), "{reason}");
        }
    }

    #[test]
    fn a_session_is_named_to_the_microsecond() {
        let session = v1::LiveSession {
            id: "4711".to_owned(),
            grant_id: grant(1).to_string(),
            started_at_us: 1_800_000_000_123_456,
            state: "idle".to_owned(),
            ..v1::LiveSession::default()
        };
        let ask = v1::EndSession {
            query: 3,
            integration: "orders".to_owned(),
            session: Some(session.clone()),
        };
        let heard = said(Told::EndSession(ask)).unwrap();
        let Some(Heard::EndSession { query: 3, session: Ok(read), .. }) = heard else {
            panic!("{heard:?}")
        };
        assert_eq!(read.started_at.to_string(), "2027-01-15T08:00:00.123456Z");
        let answer = crate::convert::sessions(3, Ok(vec![read])).message;
        let Some(v1::agent_message::Message::SessionsFound(found)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(found.sessions, [session]);
    }

    #[test]
    fn what_a_newer_broker_says_is_passed_over() {
        assert!(heard(v1::BrokerMessage { message: None }, &trust()).unwrap().is_none());
    }
}
