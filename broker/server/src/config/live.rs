//! The settings in force; replaced as a whole when they are read again.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use ebbgate_broker_identity::Tokens;
use ebbgate_broker_ports::{AppliedFlows, Catalogue, Snapshot};
use ebbgate_domain::{
    flow::Policies,
    flow_set::{self, FlowFile, FlowSet},
    names::IntegrationName,
};
use ebbgate_settings::Mistake;
use parking_lot::Mutex;

use super::{BadConfig, Config, applied, applied::Shelf};

/// The flows in force, as they were written.
#[derive(Debug, Clone)]
pub(crate) struct FlowsInForce {
    /// What tells them from others.
    pub version: String,
    /// The files; those of settings are named relative to these where they lie below.
    pub files: Vec<FlowFile>,
    /// Who applied them and when, without the files; none where they are in files, where none were
    /// ever applied, and where they are not known.
    pub set: Option<FlowSet>,
}

impl Default for FlowsInForce {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl FlowsInForce {
    /// Those in these files.
    pub(super) fn of(files: Vec<FlowFile>) -> Self {
        Self { version: flow_set::version(&files), files, set: None }
    }
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct LiveConfig {
    pub(super) snapshot: ArcSwap<Snapshot>,
    tokens: ArcSwap<Tokens>,
    pub(super) flows: ArcSwap<FlowsInForce>,
    /// Where flows are applied and not in files. Whoever replaces the snapshot holds it.
    pub(super) applied: Option<Mutex<Shelf>>,
}

impl LiveConfig {
    /// With `applied`, flows come from administrators, and may refer to these integrations.
    pub(crate) fn new(
        snapshot: Snapshot,
        tokens: Tokens,
        flows: FlowsInForce,
        applied: Option<BTreeSet<IntegrationName>>,
    ) -> Self {
        let shelf = |integrations| Mutex::new(Shelf { integrations, number: 0 });
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            tokens: ArcSwap::from_pointee(tokens),
            flows: ArcSwap::from_pointee(flows),
            applied: applied.map(shelf),
        }
    }

    /// Puts new people, flows and resources in force. Applied flows stay, as the new settings let
    /// them be read.
    ///
    /// # Errors
    /// Applied flows do not fit the settings, or flows come from elsewhere now: nothing changes.
    pub(crate) fn replace(&self, file: &Path, config: Config) -> Result<(), BadConfig> {
        let Config { settings, mut snapshot, tokens, flows, .. } = config;
        // A new channel has no outbox that delivers before a restart.
        snapshot.routes = self.snapshot.load().routes.clone();
        let mut shelf = self.applied.as_ref().map(Mutex::lock);
        match (&mut shelf, settings.applied_flows()) {
            (None, None) => self.flows.store(Arc::new(flows)),
            (Some(shelf), Some(integrations)) => {
                let before = self.snapshot.load();
                let files = self.flows.load().files.clone();
                if before.policies.unknown {
                    // They may be found, or fit, by now.
                    shelf.number = 0;
                    put_flows(&mut snapshot, before.policies.clone());
                } else {
                    let (policies, _) = applied::read(&files, &integrations).map_err(BadConfig)?;
                    put_flows(&mut snapshot, policies);
                }
                shelf.integrations = integrations;
            }
            _ => {
                let other = "`flows` comes from elsewhere now: restart the broker for that";
                return Err(BadConfig(vec![Mistake::of_file(file, other)]));
            }
        }
        self.snapshot.store(Arc::new(snapshot));
        self.tokens.store(Arc::new(tokens));
        Ok(())
    }

    /// The flows in force.
    pub(crate) fn flows(&self) -> Arc<FlowsInForce> {
        self.flows.load_full()
    }

    /// Whether administrators apply flows.
    pub(crate) fn is_applied(&self) -> bool {
        self.applied.is_some()
    }

    /// The tokens in force.
    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        self.tokens.load_full()
    }
}

/// Puts flows in the place of those before. Guardrails are the settings' and not the flows': who
/// applies flows does not lift them.
pub(super) fn put_flows(snapshot: &mut Snapshot, policies: Policies) {
    let guardrails = std::mem::take(&mut snapshot.policies.guardrails);
    snapshot.policies = Policies { guardrails, ..policies };
}

impl Catalogue for LiveConfig {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    fn applied(&self) -> Option<&dyn AppliedFlows> {
        self.applied.is_some().then_some(self)
    }
}
