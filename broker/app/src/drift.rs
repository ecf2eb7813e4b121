//! Drift: what each last look at a target found that should not be so. Whoever runs the connector
//! looks, removes and ends; here it is kept for people to see, and told to the audit log when it
//! changes (I7).

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    grant::{Grant, GrantState},
    ids::GrantId,
    names::IntegrationName,
};
use tokio::sync::Mutex;

use crate::{AppError, Broker, Caller};

/// The last look at each integration. It is not stored: the next look comes soon.
pub(crate) type LastLooks = Mutex<BTreeMap<IntegrationName, DriftReport>>;

/// What one look at a target found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftReport {
    /// Where.
    pub integration: IntegrationName,
    /// When.
    pub at: Timestamp,
    /// Who looked: an agent, or the broker itself.
    pub by: Actor,
    /// How many grants' marks the target bears.
    pub marked: u32,
    /// Marks of grants that nobody knows.
    pub orphans: Vec<GrantId>,
    /// Active grants without a mark.
    pub missing: Vec<GrantId>,
    /// Why the target could not be looked at.
    pub error: Option<String>,
}

impl Broker {
    /// Takes up a look. The audit log hears of it where what was found is not what the last look
    /// found; one that failed found nothing new.
    ///
    /// # Errors
    /// The store failed.
    pub async fn record_drift(&self, mut report: DriftReport) -> Result<(), AppError> {
        report.orphans = self.unknown(&report.integration, report.orphans).await?;
        // Held while the event is committed, so that two looks at once are told one after the other.
        let mut looks = self.drift.lock().await;
        let last = looks.get(&report.integration);
        if report.error.is_some()
            && let Some(last) = last
        {
            report.orphans = last.orphans.clone();
            report.missing = last.missing.clone();
        }
        let (orphans, missing) =
            last.map_or((&[][..], &[][..]), |last| (&last.orphans[..], &last.missing[..]));
        if report.orphans != orphans || report.missing != missing {
            let names = |ids: &[GrantId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
            let event = AuditEvent::new(Action::DriftFound, report.by.clone(), self.now())
                .detail("integration", report.integration.to_string())
                .detail("orphans", names(&report.orphans))
                .detail("missing", names(&report.missing));
            self.note(event).await?;
        }
        looks.insert(report.integration.clone(), report);
        Ok(())
    }

    /// Those that are not live on the integration: an agent does not yet know of every grant that
    /// another one was just given.
    async fn unknown(
        &self,
        integration: &IntegrationName,
        marked: Vec<GrantId>,
    ) -> Result<Vec<GrantId>, AppError> {
        let mut unknown = BTreeSet::new();
        for id in marked {
            let known = self.store().grant(id).await?.is_some_and(|grant| {
                grant.value.integration == *integration && !grant.value.is_over()
            });
            if !known {
                unknown.insert(id);
            }
        }
        Ok(unknown.into_iter().collect())
    }

    /// The grants on an integration that have been active since before `since`: each of them is on
    /// the target, or missing there.
    ///
    /// # Errors
    /// The store failed.
    pub async fn active_on(
        &self,
        integration: &IntegrationName,
        since: Timestamp,
    ) -> Result<BTreeSet<GrantId>, AppError> {
        let mut active = BTreeSet::new();
        let mut walk = self.live_grants(std::slice::from_ref(integration));
        while let Some(page) = walk.next_page().await? {
            let stands = |grant: &&Grant| {
                grant.state == GrantState::Active && grant.active_since.is_some_and(|at| at < since)
            };
            active.extend(page.iter().filter(stands).map(|grant| grant.id));
        }
        Ok(active)
    }

    /// The last look at each integration.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn drift(&self, caller: &Caller) -> Result<Vec<DriftReport>, AppError> {
        if !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        Ok(self.drift.lock().await.values().cloned().collect())
    }
}
