//! Looking at targets for what bears our mark (I7), and clearing away what may go by now: after each
//! Welcome and on a schedule, one look at a time for each integration.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ebbgate_agent_core::{Look, Reading};
use ebbgate_connector_api::Connector;
use ebbgate_domain::names::IntegrationName;
use tokio::sync::mpsc;

use crate::{keeper::Event, settings::Connectors};

/// When to look where.
pub(crate) struct Sweeps {
    every_ms: u64,
    integrations: BTreeMap<IntegrationName, Schedule>,
}

#[derive(Default)]
struct Schedule {
    /// By the boot clock, in milliseconds; none before the first Welcome.
    due_ms: Option<u64>,
    looking: bool,
}

impl Sweeps {
    /// A schedule for these connectors, of which nothing is due before [`Self::all_due`].
    pub(crate) fn new(connectors: &Connectors, every: Duration) -> Self {
        let integrations = connectors.keys().map(|name| (name.clone(), Schedule::default()));
        let every_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self { every_ms, integrations: integrations.collect() }
    }

    /// Everything is to be looked at now, or as soon as the look under way has ended.
    pub(crate) fn all_due(&mut self, now: &Reading) {
        for schedule in self.integrations.values_mut() {
            schedule.due_ms = Some(now.boot.ms);
        }
    }

    /// A look has ended.
    pub(crate) fn ended(&mut self, integration: &IntegrationName) {
        if let Some(schedule) = self.integrations.get_mut(integration) {
            schedule.looking = false;
        }
    }

    /// What is to be looked at now; it counts as being looked at from here on.
    pub(crate) fn take_due(&mut self, now: &Reading) -> Vec<IntegrationName> {
        let mut due = Vec::new();
        for (integration, schedule) in &mut self.integrations {
            if !schedule.looking && schedule.due_ms.is_some_and(|at| at <= now.boot.ms) {
                schedule.looking = true;
                schedule.due_ms = Some(now.boot.ms.saturating_add(self.every_ms));
                due.push(integration.clone());
            }
        }
        due
    }
}

/// Looks once; what is found goes to the keeper, who knows which of it belongs to somebody.
pub(crate) async fn look(
    integration: IntegrationName,
    connector: Arc<dyn Connector>,
    started: Reading,
    events: mpsc::UnboundedSender<Event>,
) {
    let now = started.wall;
    // In a task of its own: a connector that breaks off ends its look, and no more.
    let asked = Arc::clone(&connector);
    let found = match tokio::spawn(async move { asked.marked().await }).await {
        Ok(found) => found.map_err(|error| error.chain()),
        Err(_) => Err("the connector broke off: see the agent's log".to_owned()),
    };
    if let Err(error) = &found {
        tracing::warn!(%integration, error, "cannot look for what nobody knows");
    }
    let marks_every_grant = connector.marks_every_grant();
    let look = Look { integration: integration.clone(), started, found, marks_every_grant };
    // The agent stops where nobody takes it.
    drop(events.send(Event::Looked(look)));
    if let Err(error) = connector.prune(now).await {
        tracing::warn!(%integration, error = error.chain(), "cannot clear away what may go");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeConnector, at, connectors, orders};

    #[test]
    fn one_look_at_a_time_and_none_is_forgotten() {
        let target = Arc::new(FakeConnector::default());
        let mut sweeps = Sweeps::new(&connectors(&target), Duration::from_secs(600));
        assert!(sweeps.take_due(&at(0)).is_empty(), "before the first Welcome");
        sweeps.all_due(&at(1));
        assert_eq!(sweeps.take_due(&at(1)), [orders()]);
        sweeps.all_due(&at(5));
        assert!(sweeps.take_due(&at(5)).is_empty(), "one is under way");
        sweeps.ended(&orders());
        assert_eq!(sweeps.take_due(&at(6)), [orders()], "the one that was due meanwhile");
        sweeps.ended(&orders());
        assert!(sweeps.take_due(&at(605)).is_empty());
        assert_eq!(sweeps.take_due(&at(606)), [orders()], "on schedule");
    }
}
