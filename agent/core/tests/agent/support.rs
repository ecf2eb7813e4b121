//! Builders of grants, orders and clock readings.

use std::collections::BTreeSet;

use ebbgate_agent_core::{
    Agent, AgentState, BootTime, Done, Effect, Ordered, Outcome, Reading, Record, Report, Step,
    Welcome,
};
use ebbgate_domain::{
    Timestamp,
    ids::{GrantId, RequestId},
    inventory::ResourceKind,
    names::IntegrationName,
    order::{Finding, GrantSpec, Order, OrderAction, Provisioned},
};
use jiff::SignedDuration;

/// When every test begins, in seconds of Unix time.
pub(crate) const EPOCH: i64 = 1_800_000_000;

pub(crate) fn grant(n: u8) -> GrantId {
    GrantId::new(Timestamp::from_second(EPOCH).unwrap(), [n; 10])
}

pub(crate) fn orders() -> IntegrationName {
    "orders".parse().unwrap()
}

pub(crate) fn reading(wall_ms: i64, boot: &str, boot_ms: u64) -> Reading {
    Reading {
        wall: Timestamp::from_millisecond(EPOCH * 1_000 + wall_ms).unwrap(),
        boot: BootTime { id: boot.to_owned(), ms: boot_ms },
    }
}

/// So many seconds into the first boot, with both clocks running evenly.
pub(crate) fn at(seconds: i64) -> Reading {
    reading(seconds * 1_000, "a", 10_000 + u64::try_from(seconds * 1_000).unwrap())
}

pub(crate) fn spec(n: u8, deadline_s: i64) -> GrantSpec {
    GrantSpec {
        grant: grant(n),
        request: RequestId::new(Timestamp::from_second(EPOCH).unwrap(), [n; 10]),
        principal: "ana@example.com".parse().unwrap(),
        integration: orders(),
        resource: "orders/postgres/shop".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: "shop".to_owned(),
        permission: "select".parse().unwrap(),
        rights: vec![],
        flow: "data-shop".parse().unwrap(),
        ticket: None,
        deadline: Timestamp::from_second(EPOCH + deadline_s).unwrap(),
        credentials_until: None,
        recorded: false,
    }
}

pub(crate) fn ordered(
    action: OrderAction,
    n: u8,
    seq: u64,
    deadline_s: i64,
    remaining_s: i64,
) -> Ordered {
    Ordered {
        order: Order { seq, action, spec: spec(n, deadline_s) },
        remaining: SignedDuration::from_secs(remaining_s),
        sent_at: None,
    }
}

pub(crate) fn provision(n: u8, seq: u64, deadline_s: i64) -> Ordered {
    ordered(OrderAction::Provision, n, seq, deadline_s, deadline_s)
}

pub(crate) fn revoke(n: u8, seq: u64, deadline_s: i64) -> Ordered {
    ordered(OrderAction::Revoke, n, seq, deadline_s, deadline_s)
}

pub(crate) fn finding(now: &Reading) -> Finding {
    Finding {
        checked_at: now.wall,
        closed_at: now.wall,
        sessions_ended: 0,
        summary: "role and sessions are gone".to_owned(),
    }
}

pub(crate) fn agent() -> Agent {
    let mut agent = Agent::new(AgentState::default(), BTreeSet::from([orders()]));
    agent.on_start(&at(0));
    agent
}

/// An agent that has provisioned grant 1, by order 1, until second 600.
pub(crate) fn provisioned() -> Agent {
    let mut agent = agent();
    agent.on_order(provision(1, 1, 600), false, &at(0));
    agent.on_done(grant(1), Done::Provision(Ok(Provisioned::default())), &at(1));
    agent
}

/// An agent that has torn grant 1 down by order 2.
pub(crate) fn torn_down() -> Agent {
    let mut agent = provisioned();
    agent.on_order(revoke(1, 2, 600), false, &at(10));
    agent.on_done(grant(1), Done::Revoke(Ok(finding(&at(11)))), &at(11));
    agent
}

/// The steps in one word each; what an outcome says, too.
pub(crate) fn words(steps: &[Step]) -> Vec<String> {
    steps
        .iter()
        .map(|step| match step {
            Step::Append(Record::Clock { .. }) => "write clock".to_owned(),
            Step::Append(Record::Contact { .. }) => "write contact".to_owned(),
            Step::Append(Record::ProvisionIntended { .. }) => "write provision-intended".to_owned(),
            Step::Append(Record::Provisioned { .. }) => "write provisioned".to_owned(),
            Step::Append(Record::ProvisionFailed { .. }) => "write provision-failed".to_owned(),
            Step::Append(Record::RevokeIntended { cause, .. }) => {
                format!("write revoke-intended {cause:?}")
            }
            Step::Append(Record::TeardownFailed { .. }) => "write teardown-failed".to_owned(),
            Step::Append(Record::TornDown { .. }) => "write torn-down".to_owned(),
            Step::Append(Record::SeqSeen { seq, .. }) => format!("write seq {seq}"),
            Step::Append(Record::EndRecorded { .. }) => "write end-recorded".to_owned(),
            Step::Append(Record::Forgotten { .. }) => "write forgotten".to_owned(),
            Step::Append(Record::Held(_)) => "write held".to_owned(),
            Step::Begin(Effect::Provision(_)) => "provision".to_owned(),
            Step::Begin(Effect::Revoke(_)) => "revoke".to_owned(),
            Step::Begin(Effect::Credential { .. }) => "credential".to_owned(),
            Step::Begin(Effect::RemoveOrphan { .. }) => "remove orphan".to_owned(),
            Step::Report(Report::Outcome { seq, outcome, .. }) => match outcome {
                Outcome::Provisioned(_) => format!("tell {seq} provisioned"),
                Outcome::ProvisionFailed(failure) => {
                    format!("tell {seq} not provisioned: {}", failure.message)
                }
                Outcome::TornDown { .. } => format!("tell {seq} torn down"),
                Outcome::TeardownFailed(failure) => {
                    format!("tell {seq} not torn down: {}", failure.message)
                }
                Outcome::Stale { newest } => format!("tell {seq} stale, newest {newest}"),
            },
            Step::Report(Report::Credential { result: Ok(user), .. }) => {
                format!("tell user {user}")
            }
            Step::Report(Report::Credential { result: Err(failure), .. }) => {
                format!("tell no credential: {}", failure.message)
            }
            Step::Report(Report::OrphanRemoved { .. }) => "tell orphan removed".to_owned(),
            Step::Report(Report::Swept(_)) => "tell swept".to_owned(),
            Step::AskAnew => "ask anew".to_owned(),
            Step::Alarm(alarm) => format!("alarm {}", alarm.code()),
        })
        .collect()
}

pub(crate) fn welcome(orders: Vec<Ordered>, broker_now: Timestamp) -> Welcome {
    Welcome {
        orders,
        unread: vec![],
        whole: true,
        elsewhere: BTreeSet::new(),
        served: ["orders".parse().unwrap()].into(),
        broker_now,
    }
}
