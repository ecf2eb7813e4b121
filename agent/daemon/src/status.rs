//! `status`: what the agent holds, from its journal alone. It works with agent and broker gone, and
//! disturbs neither.

use std::{collections::BTreeSet, path::Path};

use ebbgate_agent_core::{ClockState, Held, Reading, Stage};
use ebbgate_domain::{Timestamp, names::IntegrationName, order::EndCause};
use jiff::SignedDuration;
use serde::Serialize;

use crate::{
    files::FileError,
    identity::{AgentDir, Enrolment},
    journal,
};

/// What the agent holds.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    /// Who it is; none where it is not enrolled.
    pub agent: Option<Enrolment>,
    /// Whether it takes no new grants.
    pub draining: bool,
    /// The broker's last word; none where none is on record.
    pub broker: Option<BrokerStatus>,
    /// Integrations whose grants end, or have ended, because the broker was silent for too long,
    /// and it has not heard of that yet.
    pub cut_off: BTreeSet<IntegrationName>,
    /// How many places in the journal can't be read.
    pub damaged_records: usize,
    /// Every grant whose end the broker has not on record.
    pub grants: Vec<GrantStatus>,
}

/// What is on record of the broker. It is up to a minute behind an agent that runs.
#[derive(Debug, Serialize)]
pub(crate) struct BrokerStatus {
    /// For how many seconds it has not been heard of.
    pub silent_seconds: i64,
    /// How far this machine's clock is ahead of the broker's, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// `ok`, `alarm` or `refused`.
    pub clock: String,
}

/// How one grant stands.
#[derive(Debug, Serialize)]
pub(crate) struct GrantStatus {
    pub id: String,
    pub principal: String,
    pub resource: String,
    pub permission: String,
    /// `provisioning`, `active`, `revoking` or `revoked`.
    pub state: &'static str,
    /// The newest order's number.
    pub seq: u64,
    pub deadline: Timestamp,
    /// Seconds until the agent ends it; none once it is being ended.
    pub seconds_left: Option<i64>,
    /// How many teardowns have failed.
    pub failed_teardowns: u32,
    pub last_error: Option<String>,
    /// Why it ends or has ended: `ordered`, `deadline`, `not-standing`, `cut-off`, `missing`.
    pub cause: Option<EndCause>,
    /// What was found after the teardown.
    pub finding: Option<String>,
}

/// Reads what the journal in `dir` tells.
///
/// # Errors
/// It can't be read.
pub(crate) fn status(dir: &AgentDir, now: &Reading) -> Result<Status, FileError> {
    let journal = journal::look(dir.path())?;
    let held: Vec<&Held> = journal.state.held().filter(|held| held.is_open()).collect();
    let cut_off = held.iter().filter(|held| held.cause == Some(EndCause::CutOff));
    let broker = journal.state.contact().map(|contact| {
        let clock = contact.offset.map_or(ClockState::Agrees, ClockState::of);
        BrokerStatus {
            silent_seconds: contact.silence(now).as_secs(),
            clock_offset_ms: contact.offset.and_then(|by| i64::try_from(by.as_millis()).ok()),
            clock: clock.to_string(),
        }
    });
    Ok(Status {
        broker,
        cut_off: cut_off.map(|held| held.spec.integration.clone()).collect(),
        agent: dir.enrolment().ok(),
        draining: dir.draining().exists(),
        damaged_records: journal.damage.len(),
        grants: held.into_iter().map(|held| grant_status(held, now)).collect(),
    })
}

fn grant_status(held: &Held, now: &Reading) -> GrantStatus {
    let spec = &held.spec;
    GrantStatus {
        id: spec.grant.to_string(),
        principal: spec.principal.to_string(),
        resource: spec.resource.to_string(),
        permission: spec.permission.to_string(),
        state: held.state_name(),
        seq: held.seq,
        deadline: spec.deadline,
        seconds_left: held.is_given().then(|| held.deadline.left(now).as_secs()),
        failed_teardowns: held.failures,
        last_error: held.last_error.clone(),
        cause: held.cause,
        finding: match &held.stage {
            Stage::TornDown { finding, .. } => Some(finding.summary.clone()),
            _ => None,
        },
    }
}

impl Status {
    /// For people.
    pub(crate) fn table(&self, dir: &Path) -> String {
        let mut text = match &self.agent {
            Some(agent) => {
                format!("agent {} ({}), broker {}\n", agent.name, agent.id, agent.broker)
            }
            None => format!("no enrolled agent in {}\n", dir.display()),
        };
        if self.draining {
            text += "draining: it takes no new grants until `ebbgate-agent drain --off`\n";
        }
        if let Some(broker) = &self.broker {
            let silent = SignedDuration::from_secs(broker.silent_seconds);
            text += &format!("last word of the broker {silent:#} ago, or since\n");
            if let Some(ms) = broker.clock_offset_ms.filter(|_| broker.clock != "ok") {
                let (off, way) =
                    (ms.unsigned_abs() / 1_000, if ms < 0 { "behind" } else { "ahead of" });
                text += &format!("clock {}: {off} s {way} the broker's\n", broker.clock);
            }
        }
        for integration in &self.cut_off {
            text += &format!("cut off: the grants of {integration} end without the broker\n");
        }
        if self.damaged_records > 0 {
            text += &format!("{} places in the journal cannot be read\n", self.damaged_records);
        }
        if self.grants.is_empty() {
            return text + "holds no grant\n";
        }
        let mut rows = vec![
            ["GRANT", "RESOURCE", "PERMISSION", "WHO", "STATE", "LEFT", "NOTE"].map(str::to_owned),
        ];
        rows.extend(self.grants.iter().map(GrantStatus::row));
        text + &columns(&rows)
    }
}

impl GrantStatus {
    fn row(&self) -> [String; 7] {
        let left = self.seconds_left.map_or_else(
            || "-".to_owned(),
            |seconds| format!("{:#}", SignedDuration::from_secs(seconds)),
        );
        let note = match (&self.last_error, &self.finding) {
            (Some(error), _) if self.failed_teardowns > 0 => {
                format!("{} failed: {error}", self.failed_teardowns)
            }
            (Some(error), _) => error.clone(),
            (None, Some(finding)) => format!("{finding}; the broker has not heard of it yet"),
            (None, None) => String::new(),
        };
        [
            self.id.clone(),
            self.resource.clone(),
            self.permission.clone(),
            self.principal.clone(),
            self.state.to_owned(),
            left,
            note,
        ]
    }
}

fn columns(rows: &[[String; 7]]) -> String {
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let width = rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
            format!("{cell:width$}")
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use ebbgate_agent_core::Record;

    use super::*;
    use crate::{
        journal::Journal,
        testing::{at, grant, provision_intended},
    };

    #[test]
    fn tells_what_is_held_and_for_how_long() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = AgentDir::new(temporary.path());
        let (mut journal, recovered) = Journal::open(dir.path()).unwrap();
        let mut state = recovered.state;
        let failed =
            Record::ProvisionFailed { grant: grant(1), error: "could not connect".to_owned() };
        for record in [provision_intended(1), failed] {
            state.apply(record.clone());
            journal.append(&[record], &state).unwrap();
        }
        // The journal is open for writing, as by an agent that runs.
        let status = status(&dir, &at(60)).unwrap();
        assert_eq!(status.grants[0].state, "provisioning");
        assert_eq!(status.grants[0].seconds_left, Some(540));
        let table = status.table(dir.path());
        let row = table.lines().last().unwrap();
        assert!(
            row.contains("orders/postgres/shop  select      ana@example.com  provisioning  9m"),
            "{table}"
        );
        assert!(row.ends_with("could not connect"), "{table}");
    }

    #[test]
    fn says_so_where_nothing_is_held() {
        let dir = AgentDir::new("/nowhere");
        let status = status(&dir, &at(0)).unwrap();
        assert_eq!(status.table(dir.path()), "no enrolled agent in /nowhere\nholds no grant\n");
    }
}
