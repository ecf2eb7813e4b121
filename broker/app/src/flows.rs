//! Flows that administrators apply: all files at once, against what they were planned on, kept for
//! good. Each broker of a store follows what was applied last, by its audit log.

use ebbgate_broker_ports::{
    AppliedFlows, FlowPlan, StoreError,
    store::{Applied, Change},
};
use ebbgate_connector_api::crash;
use ebbgate_domain::{
    audit::{Action, Actor, AuditEvent},
    flow_set::{self, FlowFile, FlowSet},
};

use crate::{AppError, Broker, Caller, draft::Draft};

/// What somebody who applies flows has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// That none were ever applied.
    Nothing,
    /// Those of this version.
    Version(String),
}

/// What came of applying flows.
#[derive(Debug, Clone)]
pub struct FlowsApplied {
    /// What is in force now.
    pub set: FlowSet,
    /// What it changed; none where it was in force already.
    pub plan: Option<FlowPlan>,
}

/// The version of what was applied last. Where that is not believed, it has a version all the same,
/// so that others can be applied in its place.
pub fn version_of(last: Option<&Applied>) -> String {
    match last {
        None => flow_set::version(&[]),
        Some(Applied { set: Some(set), .. }) => set.version(),
        Some(Applied { number, set: None }) => format!("unknown-{number}"),
    }
}

impl Expected {
    fn holds(&self, last: Option<&Applied>) -> bool {
        match self {
            Self::Nothing => last.is_none(),
            Self::Version(version) => *version == version_of(last),
        }
    }
}

impl Broker {
    /// Puts these files in force in place of all that were, if those are still the expected ones.
    /// The same files again change nothing.
    ///
    /// # Errors
    /// Flows are in files; others were applied meanwhile; mistakes in the files.
    pub async fn apply_flows(
        &self,
        caller: &Caller,
        files: Vec<FlowFile>,
        expected: &Expected,
    ) -> Result<FlowsApplied, AppError> {
        if !caller.administrator {
            return Err(AppError::Forbidden { role: "administrator" });
        }
        let shelf = self.ports.catalogue.applied().ok_or(AppError::FlowsInFiles)?;
        let files = flow_set::in_order(files).map_err(|bad| AppError::invalid("files", bad))?;
        let applied = self.retry(|| self.try_apply(shelf, caller, &files, expected)).await?;
        if applied.plan.is_some() {
            // They are in force already: what they mean is settled now or with the next tick.
            self.settle_changed_flows().await;
            self.wake();
        }
        Ok(applied)
    }

    async fn try_apply(
        &self,
        shelf: &dyn AppliedFlows,
        caller: &Caller,
        files: &[FlowFile],
        expected: &Expected,
    ) -> Result<FlowsApplied, AppError> {
        // The plan is against what was applied last, by whichever broker. What is wrong with that is
        // no reason not to put something else in its place.
        match self.follow_flows().await {
            Ok(_) | Err(AppError::FlowMistakes(_)) => {}
            Err(error) => return Err(error),
        }
        let last = self.store().applied_flows(0).await?;
        let in_force = last.as_ref().and_then(|last| last.set.as_ref());
        if let Some(set) = in_force.filter(|set| set.files == files) {
            return Ok(FlowsApplied { set: set.clone(), plan: None });
        }
        if !expected.holds(last.as_ref()) {
            return Err(AppError::FlowsChanged { since: in_force.cloned().map(Box::new) });
        }
        let plan = shelf.plan(files).map_err(AppError::FlowMistakes)?;
        let set = FlowSet {
            number: last.as_ref().map_or(0, |last| last.number) + 1,
            files: files.to_vec(),
            by: caller.id.clone(),
            at: self.now(),
        };
        let event = event(&set, &version_of(last.as_ref()), &plan);
        let change = Change { flows: Some(set.clone()), events: vec![event], ..Change::default() };
        crash::point("broker.flows.before_commit");
        self.commit(Draft::of(change)).await?;
        crash::point("broker.flows.after_commit");
        take_up(shelf, &Applied { number: set.number, set: Some(set.clone()) })?;
        Ok(FlowsApplied { set, plan: Some(plan) })
    }

    /// Puts in force what was applied since one last looked, by whichever broker; whether there was
    /// anything.
    ///
    /// # Errors
    /// Mistakes, which they have with these settings; then no flows are in force. Or the store failed.
    pub async fn follow_flows(&self) -> Result<bool, AppError> {
        let Some(shelf) = self.ports.catalogue.applied() else { return Ok(false) };
        let known = shelf.number();
        match self.store().applied_flows(known).await {
            Ok(None) => Ok(false),
            Ok(Some(found)) => take_up(shelf, &found).map(|()| true),
            Err(error) => {
                // Without the log nobody knows which flows were applied last.
                if known == 0 && matches!(error, StoreError::NotBelieved { .. }) {
                    take_up(shelf, &Applied { number: 0, set: None })?;
                }
                Err(error.into())
            }
        }
    }

    /// The same with each tick.
    pub(crate) async fn keep_up_with_flows(&self) {
        match self.follow_flows().await {
            Ok(false) => {}
            Ok(true) => self.settle_changed_flows().await,
            Err(error) => tracing::error!(
                error = ebbgate_broker_ports::chain(&error),
                "cannot put in force what was applied last"
            ),
        }
    }

    async fn settle_changed_flows(&self) {
        if let Err(error) = self.settle_leavers().await {
            tracing::error!(
                error = ebbgate_broker_ports::chain(&error),
                "cannot settle what changed flows mean; it is tried again soon"
            );
        }
    }

    /// Sets of flows that were applied, newest first; with `before` only those with a smaller number.
    ///
    /// # Errors
    /// The caller may not, or the store failed.
    pub async fn flow_sets(
        &self,
        caller: &Caller,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<FlowSet>, AppError> {
        if !caller.auditor {
            return Err(AppError::Forbidden { role: "auditor" });
        }
        Ok(self.store().flow_sets(before, limit).await?)
    }
}

fn event(set: &FlowSet, before: &str, plan: &FlowPlan) -> AuditEvent {
    AuditEvent::new(Action::FlowsApplied, Actor::Principal(set.by.clone()), set.at)
        .detail("number", set.number)
        .detail("version", set.version())
        .detail("before", before)
        .detail("added", plan.added.clone())
        .detail("changed", plan.changed.clone())
        .detail("removed", plan.removed.clone())
}

fn take_up(shelf: &dyn AppliedFlows, applied: &Applied) -> Result<(), AppError> {
    let number = applied.number;
    shelf.put_in_force(applied).map_err(AppError::FlowMistakes)?;
    match &applied.set {
        Some(set) => tracing::info!(number, by = %set.by, "applied flows are in force"),
        None => tracing::error!(
            alarm = "flows-unknown",
            number,
            "the flows that were applied last are not believed: nobody can ask for anything until \
             an administrator applies flows again; what was given ends on time"
        ),
    }
    Ok(())
}
