//! Drift: what each last look at a target found that should not be so. Whoever runs the connector
//! looks, removes and ends: an agent, or the broker itself. Here it is kept for people to see, and
//! told to the audit log when it changes (I7).

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_broker_ports::StoreError;
use ebbgate_connector_api::Connector;
use ebbgate_domain::{
    Timestamp,
    audit::{Action, Actor, AuditEvent},
    grant::{Grant, GrantState},
    ids::GrantId,
    names::IntegrationName,
};
use jiff::SignedDuration;
use tokio::sync::Mutex;

use crate::{AppError, Broker, Caller, walk::Failures};

/// How long a mark that nobody knows stays at least, as with agents.
const ORPHAN_AGE: SignedDuration = SignedDuration::from_secs(60);

/// Since when marks that nobody knows are seen, on the targets that the broker itself looks at.
pub(crate) type Suspects = Mutex<BTreeMap<(IntegrationName, GrantId), Timestamp>>;

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
    /// Looks at a target whose connector runs here. What bears our mark and belongs to no grant that
    /// is live is removed when that has been so for a while. A grant that is not believed is none:
    /// nobody can say until when it should last, and nothing else would ever end it.
    ///
    /// # Errors
    /// The store failed. A target that cannot be looked at is reported.
    pub async fn look_for_drift(
        &self,
        integration: &IntegrationName,
        connector: &dyn Connector,
    ) -> Result<(), AppError> {
        let now = self.now();
        let known = self.active_on(integration, now).await?;
        let (marked, error) = match connector.marked().await {
            Ok(marked) => (marked.into_iter().collect::<BTreeSet<_>>(), None),
            Err(error) => (BTreeSet::new(), Some(error.chain())),
        };
        let looked = error.is_none();
        let is_missing =
            |grant: &GrantId| looked && connector.marks_every_grant() && !marked.contains(grant);
        let report = DriftReport {
            integration: integration.clone(),
            at: now,
            by: Actor::Broker,
            marked: u32::try_from(marked.len()).unwrap_or(u32::MAX),
            missing: known.into_iter().filter(is_missing).collect(),
            orphans: self.unknown(integration, marked).await?,
            error,
        };
        let orphans = report.orphans.clone();
        self.tell_drift(report).await?;
        if !looked {
            return Ok(());
        }
        let mut failures = Failures::default();
        for grant in self.old_enough(integration, &orphans, now).await {
            failures.take(grant, self.remove_orphan(integration, connector, grant).await);
        }
        failures.first()
    }

    /// Those that have been orphans for long enough; the others are remembered.
    async fn old_enough(
        &self,
        integration: &IntegrationName,
        orphans: &[GrantId],
        now: Timestamp,
    ) -> Vec<GrantId> {
        let mut suspects = self.suspects.lock().await;
        suspects.retain(|(at, grant), _| at != integration || orphans.contains(grant));
        let old = orphans.iter().filter(|grant| {
            let seen = suspects.entry((integration.clone(), **grant)).or_insert(now);
            // A clock that was put back measures nothing.
            *seen = now.min(*seen);
            now.duration_since(*seen) >= ORPHAN_AGE
        });
        old.copied().collect()
    }

    async fn remove_orphan(
        &self,
        integration: &IntegrationName,
        connector: &dyn Connector,
        grant: GrantId,
    ) -> Result<(), AppError> {
        match connector.remove_orphan(grant, self.ports.clock.as_ref()).await {
            Ok(finding) => {
                // What comes back is looked at anew.
                self.suspects.lock().await.remove(&(integration.clone(), grant));
                self.record_orphan(integration, grant, &finding, Actor::Broker).await
            }
            Err(error) => {
                tracing::warn!(integration = %integration, grant.id = %grant, error = error.chain(), "cannot remove what belongs to nobody; it is tried again");
                Ok(())
            }
        }
    }

    /// Takes up a look. The audit log hears of it where what was found is not what the last look
    /// found; one that failed found nothing new.
    ///
    /// # Errors
    /// The store failed.
    pub async fn record_drift(&self, mut report: DriftReport) -> Result<(), AppError> {
        report.orphans = self.unknown(&report.integration, report.orphans).await?;
        self.tell_drift(report).await
    }

    async fn tell_drift(&self, mut report: DriftReport) -> Result<(), AppError> {
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

    /// Those that are not live on the integration, or are not believed: an agent does not yet know of
    /// every grant that another one was just given.
    async fn unknown(
        &self,
        integration: &IntegrationName,
        marked: impl IntoIterator<Item = GrantId>,
    ) -> Result<Vec<GrantId>, AppError> {
        let mut unknown = BTreeSet::new();
        for id in marked {
            let found = match self.store().grant(id).await {
                Err(StoreError::NotBelieved { .. }) => None,
                found => found?,
            };
            let known = found.is_some_and(|grant| {
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
