//! Builders of grants, orders and clock readings.

use ebbgate_agent_core::{BootTime, Ordered, Reading};
use ebbgate_domain::{
    Timestamp,
    ids::{GrantId, RequestId},
    inventory::ResourceKind,
    names::IntegrationName,
    order::{Finding, GrantSpec, Order, OrderAction},
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
        flow: "data-shop".parse().unwrap(),
        ticket: None,
        deadline: Timestamp::from_second(EPOCH + deadline_s).unwrap(),
        credentials_until: None,
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
