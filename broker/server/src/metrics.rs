//! What is counted, in Prometheus' form.

use std::{
    collections::BTreeSet,
    fmt,
    sync::atomic::{AtomicI64, AtomicU64},
};

use axum::http::StatusCode;
use ebbgate_broker_ports::Meter;
use ebbgate_domain::{Timestamp, grant::Grant, ids::GrantId, names::AgentName, order::Finding};
use jiff::SignedDuration;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    operation: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Integration {
    integration: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Agent {
    agent: String,
}

impl Agent {
    fn of(name: &AgentName) -> Self {
        Self { agent: name.to_string() }
    }
}

/// All counters; a registry of its own, so that tests keep apart.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    refusals: Family<Code, Counter>,
    activated: Family<Integration, Counter>,
    activation: Histogram,
    torn_down: Family<Integration, Counter>,
    lateness: Histogram,
    teardown_failures: Family<Integration, Counter>,
    clock_offset: Family<Agent, Gauge<f64, AtomicU64>>,
    stuck: Gauge<i64, AtomicI64>,
    not_believed: Gauge<i64, AtomicI64>,
    /// Those that the gauge counts.
    stuck_grants: Mutex<BTreeSet<GrantId>>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(…)")
    }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // From a millisecond to about half an hour.
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 21));
        let mut metrics = Self {
            registry: Registry::with_prefix("ebbgate"),
            calls: Family::default(),
            refusals: Family::default(),
            activated: Family::default(),
            activation: seconds(),
            torn_down: Family::default(),
            lateness: seconds(),
            teardown_failures: Family::default(),
            clock_offset: Family::default(),
            stuck: Gauge::default(),
            not_believed: Gauge::default(),
            stuck_grants: Mutex::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("http_calls", "API calls by operation and status", metrics.calls.clone());
        registry.register("refusals", "Refusals by code", metrics.refusals.clone());
        registry.register(
            "grants_activated",
            "Grants that became active",
            metrics.activated.clone(),
        );
        registry.register(
            "grant_activation_seconds",
            "From approval to active",
            metrics.activation.clone(),
        );
        registry.register(
            "grants_torn_down",
            "Grants torn down and verified",
            metrics.torn_down.clone(),
        );
        registry.register(
            "teardown_lateness_seconds",
            "From the deadline to access closed",
            metrics.lateness.clone(),
        );
        registry.register(
            "teardown_failures",
            "Attempts to tear down that failed",
            metrics.teardown_failures.clone(),
        );
        registry.register(
            "agent_clock_offset_seconds",
            "How far a connected agent's clock is ahead of the broker's",
            metrics.clock_offset.clone(),
        );
        registry.register(
            "records_not_believed",
            "Records found since the start that no broker of this store wrote, or that were set back",
            metrics.not_believed.clone(),
        );
        registry.register(
            "grants_stuck",
            "Grants whose teardown has failed so often that somebody should look",
            metrics.stuck.clone(),
        );
        metrics
    }

    /// How far a connected agent's clock is ahead.
    pub(crate) fn clock_offset(&self, agent: &AgentName, ahead: SignedDuration) {
        self.clock_offset.get_or_create(&Agent::of(agent)).set(ahead.as_secs_f64());
    }

    /// An agent is not connected any more: nothing is known of its clock.
    pub(crate) fn agent_left(&self, agent: &AgentName) {
        self.clock_offset.remove(&Agent::of(agent));
    }

    /// So many records were found that are not believed.
    pub(crate) fn not_believed(&self, records: u64) {
        self.not_believed.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    fn count_stuck(&self, change: impl FnOnce(&mut BTreeSet<GrantId>)) {
        let mut stuck = self.stuck_grants.lock();
        change(&mut stuck);
        self.stuck.set(i64::try_from(stuck.len()).unwrap_or(i64::MAX));
    }

    /// An API call was answered.
    pub(crate) fn answered(&self, operation: &str, status: StatusCode) {
        let call = Call { operation: operation.to_owned(), status: status.as_u16() };
        self.calls.get_or_create(&call).inc();
    }

    /// Somebody was turned away at the door.
    pub(crate) fn turned_away(&self, code: &'static str) {
        self.refusals.get_or_create(&Code { code: code.to_owned() }).inc();
    }

    /// Everything in the text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let written = encode(&mut text, &self.registry);
        debug_assert!(written.is_ok());
        text
    }
}

fn at(grant: &Grant) -> Integration {
    Integration { integration: grant.integration.to_string() }
}

impl Meter for Metrics {
    fn activated(&self, grant: &Grant, now: Timestamp) {
        self.activated.get_or_create(&at(grant)).inc();
        self.activation.observe(now.duration_since(grant.planned_at).as_secs_f64());
    }

    fn torn_down(&self, grant: &Grant, finding: &Finding) {
        self.torn_down.get_or_create(&at(grant)).inc();
        self.count_stuck(|stuck| {
            stuck.remove(&grant.id);
        });
        if let Some(deadline) = grant.deadline
            && finding.closed_at >= deadline
        {
            self.lateness.observe(finding.closed_at.duration_since(deadline).as_secs_f64());
        }
    }

    fn teardown_failed(&self, grant: &Grant) {
        self.teardown_failures.get_or_create(&at(grant)).inc();
        if grant.is_stuck() {
            self.stuck(grant);
        }
    }

    fn stuck(&self, grant: &Grant) {
        self.count_stuck(|stuck| {
            stuck.insert(grant.id);
        });
    }

    fn refused(&self, code: &'static str) {
        self.turned_away(code);
    }
}
