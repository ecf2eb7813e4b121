//! Comparing what bears our mark on a target with what should (I7): marks of grants that nobody
//! knows are removed, grants whose mark is gone end.
//!
//! A mark that is not known here may be of a grant that another agent has just been given. So one
//! is removed only when it has been there for a while, and the broker, asked since it was first
//! seen, does not know it either: what it orders it knows before it orders it (I1).

use std::collections::BTreeSet;

use ebbgate_domain::{
    ids::GrantId,
    names::IntegrationName,
    order::{EndCause, Finding},
};
use jiff::SignedDuration;

use crate::{
    agent::Agent,
    held::Stage,
    reading::Reading,
    step::{Effect, Report, Step, SweepReport},
};

/// How long a mark that nobody knows stays at least, where the settings say nothing.
pub(crate) const ORPHAN_AGE: SignedDuration = SignedDuration::from_secs(60);

/// How many removed orphans are remembered for a broker that does not say that it has them.
const MOST_UNTOLD: usize = 1_000;

/// One look at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// At whose.
    pub integration: IntegrationName,
    /// When it began.
    pub started: Reading,
    /// The grants whose marks are there, or why that can't be told.
    pub found: Result<Vec<GrantId>, String>,
    /// Whether each grant that is active has a mark there.
    pub marks_every_grant: bool,
}

/// A mark that nobody known to the agent has.
#[derive(Debug)]
pub(crate) struct Suspect {
    /// When it was first seen.
    seen: Reading,
    /// How many Welcomes there had been by then.
    welcomes: u64,
}

impl Agent {
    /// Removes marks that nobody knows when they have been seen for so long; at once where that is
    /// zero, which is for integrations that no other agent serves.
    #[must_use]
    pub fn with_orphan_age(mut self, age: SignedDuration) -> Self {
        self.orphan_age = age;
        self
    }

    /// Takes up a look at a target. Before the first Welcome nobody can tell what should be there.
    pub fn on_look(&mut self, look: Look, now: &Reading) -> Vec<Step> {
        let Look { integration, started, found, marks_every_grant } = look;
        if self.welcomes == 0 || !self.served.contains(&integration) {
            return Vec::new();
        }
        let at = started.wall;
        let mut steps = Vec::new();
        let report = match found {
            Err(error) => SweepReport {
                integration,
                at,
                marked: 0,
                orphans: Vec::new(),
                missing: Vec::new(),
                error: Some(error),
            },
            Ok(found) => {
                let found: BTreeSet<GrantId> = found.into_iter().collect();
                let orphans = self.orphans(&integration, &started, &found, now, &mut steps);
                let missing = if marks_every_grant {
                    self.missing(&integration, &started, &found, now, &mut steps)
                } else {
                    Vec::new()
                };
                SweepReport { integration, at, marked: found.len(), orphans, missing, error: None }
            }
        };
        steps.push(Step::Report(Report::Swept(report)));
        steps
    }

    fn orphans(
        &mut self,
        integration: &IntegrationName,
        started: &Reading,
        found: &BTreeSet<GrantId>,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) -> Vec<GrantId> {
        let orphans: Vec<GrantId> =
            found.iter().copied().filter(|grant| self.is_orphan(*grant, started)).collect();
        let mut before = self.suspects.remove(integration).unwrap_or_default();
        let mut ask = false;
        for grant in &orphans {
            let suspect = before
                .remove(grant)
                // A boot clock that was put back measures nothing.
                .filter(|suspect| now.since(&suspect.seen).is_some())
                .unwrap_or_else(|| Suspect { seen: now.clone(), welcomes: self.welcomes });
            let old = now.elapsed(&suspect.seen) >= self.orphan_age;
            let asked = self.orphan_age.is_zero() || self.welcomes > suspect.welcomes;
            self.suspects.entry(integration.clone()).or_default().insert(*grant, suspect);
            match (old, asked) {
                (true, true) => {
                    self.work.entry(*grant).or_default().running = true;
                    let integration = integration.clone();
                    steps.push(Step::Begin(Effect::RemoveOrphan { integration, grant: *grant }));
                }
                (true, false) => ask = true,
                (false, _) => {}
            }
        }
        if ask {
            steps.push(Step::AskAnew);
        }
        orphans
    }

    /// It is told until the broker has it on record.
    pub(crate) fn orphan_removed(
        &mut self,
        integration: IntegrationName,
        grant: GrantId,
        finding: Finding,
        steps: &mut Vec<Step>,
    ) {
        if self.untold.len() < MOST_UNTOLD {
            self.untold.insert((integration.clone(), grant), finding.clone());
        }
        steps.push(Step::Report(Report::OrphanRemoved { integration, grant, finding }));
    }

    /// The broker has it on record that an orphan was removed.
    pub fn on_orphan_recorded(&mut self, integration: &IntegrationName, grant: GrantId) {
        self.untold.remove(&(integration.clone(), grant));
    }

    /// What was told into a stream that broke may have been lost with it.
    pub(crate) fn orphans_again(&self) -> impl Iterator<Item = Step> {
        self.untold.iter().map(|((integration, grant), finding)| {
            Step::Report(Report::OrphanRemoved {
                integration: integration.clone(),
                grant: *grant,
                finding: finding.clone(),
            })
        })
    }

    fn is_orphan(&self, grant: GrantId, started: &Reading) -> bool {
        // Where not all of the last Welcome could be read, it may have been in the rest.
        let Some(standing) = &self.standing else { return false };
        let known = self.state.get(grant).is_some_and(|held| match &held.stage {
            // Verified gone before the look began, and there again: a target that was restored
            // from a back-up, say.
            Stage::TornDown { finding, .. } => finding.checked_at >= started.wall,
            _ => true,
        });
        let busy = self.work.get(&grant).is_some_and(|work| work.running);
        !known && !busy && !standing.contains(&grant) && !self.elsewhere.contains(&grant)
    }

    fn missing(
        &mut self,
        integration: &IntegrationName,
        started: &Reading,
        found: &BTreeSet<GrantId>,
        now: &Reading,
        steps: &mut Vec<Step>,
    ) -> Vec<GrantId> {
        let given = self.timers.given(integration).into_iter().flatten().copied();
        let missing: Vec<GrantId> = given
            .filter(|grant| {
                let provisioned =
                    self.state.get(*grant).is_some_and(|held| held.stage == Stage::Provisioned);
                // What was provisioned in a former life of the process was so before any look.
                let before = self
                    .settled
                    .get(grant)
                    .is_none_or(|settled| started.since(settled).is_some_and(|age| !age.is_zero()));
                provisioned && before && !found.contains(grant) && !self.elsewhere.contains(grant)
            })
            .collect();
        for grant in &missing {
            let Some(held) = self.state.get(*grant) else { continue };
            let (seq, spec) = (held.seq, held.spec.clone());
            self.intend_revoke(seq, spec, EndCause::Missing, now, steps);
            self.kick(*grant, now, steps);
        }
        missing
    }
}
