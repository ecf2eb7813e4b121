//! Flows that administrators apply, as the settings let them be read.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use ebbgate_broker_ports::{AppliedFlows, FlowMistake, FlowPlan, store::Applied};
use ebbgate_domain::{
    flow::Policies,
    flow_set::{FlowFile, FlowSet},
    names::IntegrationName,
};
use ebbgate_flow_files::diff::{What, diff};
use ebbgate_settings::Mistake;

use super::{FlowsInForce, LiveConfig, doubts, live::put_flows, unheard};

/// What applied flows are read with, and how far they were.
#[derive(Debug)]
pub(super) struct Shelf {
    /// What flows may refer to.
    pub(super) integrations: BTreeSet<IntegrationName>,
    /// The number of those in force.
    pub(super) number: u64,
}

/// Reads the files of a set; the warnings beside what they say.
///
/// # Errors
/// The mistakes in them.
pub(super) fn read(
    files: &[FlowFile],
    integrations: &BTreeSet<IntegrationName>,
) -> Result<(Policies, Vec<Mistake>), Vec<Mistake>> {
    let texts: Vec<_> =
        files.iter().map(|file| (PathBuf::from(&file.name), file.text.clone())).collect();
    let mut found = Vec::new();
    let policies = ebbgate_flow_files::read(&texts, Some(integrations), &mut found);
    found.sort();
    if found.iter().any(Mistake::is_error) { Err(found) } else { Ok((policies, found)) }
}

fn mistake(mistake: Mistake) -> FlowMistake {
    let file = mistake.file.display();
    let place = match mistake.place {
        Some(place) => format!("{file}:{}:{}", place.line, place.column),
        None => file.to_string(),
    };
    FlowMistake { place, message: mistake.message }
}

fn errors(found: Vec<Mistake>) -> Vec<FlowMistake> {
    found.into_iter().filter(Mistake::is_error).map(mistake).collect()
}

impl FlowsInForce {
    /// Those that were applied.
    pub(super) fn applied(applied: &Applied) -> Self {
        Self {
            version: ebbgate_broker_app::version_of(Some(applied)),
            files: applied.set.as_ref().map_or_else(Vec::new, |set| set.files.clone()),
            set: applied.set.as_ref().map(|set| FlowSet { files: Vec::new(), ..set.clone() }),
        }
    }
}

impl AppliedFlows for LiveConfig {
    fn number(&self) -> u64 {
        self.applied.as_ref().map_or(0, |shelf| shelf.lock().number)
    }

    fn plan(&self, files: &[FlowFile]) -> Result<FlowPlan, Vec<FlowMistake>> {
        let Some(shelf) = &self.applied else { return Ok(FlowPlan::default()) };
        let snapshot = self.snapshot.load_full();
        let (policies, mut found) = read(files, &shelf.lock().integrations).map_err(errors)?;
        let people: Vec<_> = snapshot.directory.all().cloned().collect();
        found.extend(doubts(Path::new("flows"), &people, &policies));
        found.extend(unheard(Path::new("flows"), &snapshot.routes, &policies));
        let mut plan = FlowPlan {
            warnings: found.iter().map(ToString::to_string).collect(),
            ..FlowPlan::default()
        };
        for change in diff(&snapshot.policies, &policies) {
            let document = format!("{} {}", change.kind, change.name);
            match change.what {
                What::Added => plan.added.push(document),
                What::Changed => plan.changed.push(document),
                What::Removed => plan.removed.push(document),
            }
        }
        Ok(plan)
    }

    fn put_in_force(&self, applied: &Applied) -> Result<(), Vec<FlowMistake>> {
        let Some(shelf) = &self.applied else { return Ok(()) };
        let mut shelf = shelf.lock();
        if applied.number < shelf.number {
            return Ok(());
        }
        shelf.number = applied.number;
        let read = applied.set.as_ref().map(|set| read(&set.files, &shelf.integrations));
        let (policies, result) = match read {
            Some(Ok((policies, _))) => (policies, Ok(())),
            Some(Err(found)) => (unknown(), Err(errors(found))),
            None => (unknown(), Ok(())),
        };
        let mut snapshot = (*self.snapshot.load_full()).clone();
        put_flows(&mut snapshot, policies);
        self.flows.store(Arc::new(FlowsInForce::applied(applied)));
        self.snapshot.store(Arc::new(snapshot));
        result
    }
}

fn unknown() -> Policies {
    Policies { unknown: true, ..Policies::default() }
}

#[cfg(test)]
mod tests {
    use ebbgate_broker_identity::Tokens;
    use ebbgate_broker_ports::Snapshot;
    use ebbgate_domain::{Timestamp, guardrail::GuardrailSet};
    use ebbgate_guardrails::Reader;

    use super::*;

    const SHOP: &str = "\
kind: AccessFlow
name: shop
requesters: [group:data]
access: [{integration: orders, scope: everything, permissions: [select]}]
approval: automatic
duration: {default: 10m, max: 1h}
";

    fn live() -> LiveConfig {
        let integrations = BTreeSet::from(["orders".parse().unwrap()]);
        let (snapshot, tokens) = (Snapshot::default(), Tokens::new(Vec::new()));
        LiveConfig::new(snapshot, tokens, FlowsInForce::default(), Some(integrations))
    }

    fn files(text: &str) -> Vec<FlowFile> {
        vec![FlowFile { name: "shop.yaml".to_owned(), text: text.to_owned() }]
    }

    fn set(number: u64, text: &str) -> Applied {
        let by = "adam@example.com".parse().unwrap();
        let set = FlowSet { number, files: files(text), by, at: Timestamp::UNIX_EPOCH };
        Applied { number, set: Some(set) }
    }

    fn flows(live: &LiveConfig) -> usize {
        live.snapshot.load().policies.flows.len()
    }

    #[test]
    fn a_set_takes_the_place_of_the_one_before_and_never_of_a_later_one() {
        let live = live();
        live.put_in_force(&set(2, SHOP)).unwrap();
        assert_eq!((flows(&live), live.number()), (1, 2));
        live.put_in_force(&set(1, "")).unwrap();
        assert_eq!((flows(&live), live.number()), (1, 2), "one that comes late");
        live.put_in_force(&set(3, "")).unwrap();
        assert_eq!((flows(&live), live.number()), (0, 3));
        assert!(!live.snapshot.load().policies.unknown);
    }

    #[test]
    fn guardrails_stay_whatever_is_applied() {
        let guardrails = GuardrailSet::new(Arc::new(Reader::default().finish().unwrap()));
        let live = live();
        let mut snapshot = Snapshot::default();
        snapshot.policies.guardrails = guardrails.clone();
        live.snapshot.store(Arc::new(snapshot));
        let unknown = Applied { number: 3, set: None };
        for applied in [set(1, SHOP), set(2, "nonsense"), unknown, set(4, SHOP)] {
            let _may_be_unreadable = live.put_in_force(&applied);
            assert_eq!(live.snapshot.load().policies.guardrails, guardrails);
        }
    }

    #[test]
    fn what_is_not_known_or_does_not_fit_the_settings_gives_nothing() {
        let live = live();
        live.put_in_force(&set(1, SHOP)).unwrap();
        live.put_in_force(&Applied { number: 2, set: None }).unwrap();
        assert_eq!(flows(&live), 0);
        assert!(live.snapshot.load().policies.unknown);

        let found = live.put_in_force(&set(3, &SHOP.replace("orders", "order"))).unwrap_err();
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "shop.yaml:4:24: there is no integration 'order' in the settings: did you mean 'orders'?"
            ]
        );
        assert!(live.snapshot.load().policies.unknown);
    }

    #[test]
    fn a_plan_names_documents_and_what_is_doubtful() {
        let live = live();
        let plan = live.plan(&files(&SHOP.replace("group:data", "everyone"))).unwrap();
        assert_eq!(plan.added, ["AccessFlow shop"]);
        assert!(plan.warnings[0].starts_with("shop.yaml:3:14: warning: "), "{plan:?}");
        live.put_in_force(&set(1, SHOP)).unwrap();
        let plan = live.plan(&files(&SHOP.replace("max: 1h", "max: 2h"))).unwrap();
        assert_eq!(
            (plan.added.len(), plan.changed.as_slice()),
            (0, &["AccessFlow shop".to_owned()][..])
        );
        assert_eq!(live.plan(&[]).unwrap().removed, ["AccessFlow shop"]);
    }
}
