//! Applied flows in a form that a test writes in one line: `FLOW LONGEST`, such as `shop 1h`.

use std::sync::{Arc, atomic::Ordering};

use ebbgate_broker_ports::{AppliedFlows, FlowMistake, FlowPlan, Snapshot, store::Applied};
use ebbgate_domain::{
    flow::{AccessFlow, DurationRule, Policies},
    flow_set::FlowFile,
};

use super::{Settings, flow};

/// One file with these lines.
pub(crate) fn files(text: &str) -> Vec<FlowFile> {
    vec![FlowFile { name: "flows.txt".to_owned(), text: text.to_owned() }]
}

fn read(files: &[FlowFile]) -> Result<Vec<AccessFlow>, Vec<FlowMistake>> {
    let lines = files.iter().flat_map(|file| file.text.lines().zip(1..));
    let read = |line: &str| {
        let (name, longest) = line.split_once(' ')?;
        let duration = DurationRule::new("60s".parse().ok()?, longest.parse().ok()?);
        Some(AccessFlow { name: name.parse().ok()?, duration, ..flow() })
    };
    let mut flows = Vec::new();
    let mut mistakes = Vec::new();
    for (line, number) in lines {
        match read(line) {
            Some(flow) => flows.push(flow),
            None => mistakes.push(FlowMistake {
                place: format!("flows.txt:{number}:1"),
                message: format!("'{line}' is no flow"),
            }),
        }
    }
    if mistakes.is_empty() { Ok(flows) } else { Err(mistakes) }
}

impl AppliedFlows for Settings {
    fn number(&self) -> u64 {
        self.1.as_ref().unwrap().load(Ordering::SeqCst)
    }

    fn plan(&self, files: &[FlowFile]) -> Result<FlowPlan, Vec<FlowMistake>> {
        let (old, new) = (self.0.lock().policies.flows.clone(), read(files)?);
        let new: std::collections::BTreeMap<_, _> =
            new.into_iter().map(|flow| (flow.name.clone(), flow)).collect();
        let named = |known: &AccessFlow| known.name.to_string();
        Ok(FlowPlan {
            added: new.values().filter(|f| !old.contains_key(&f.name)).map(named).collect(),
            changed: new
                .values()
                .filter(|f| old.get(&f.name).is_some_and(|old| old != *f))
                .map(named)
                .collect(),
            removed: old.values().filter(|f| !new.contains_key(&f.name)).map(named).collect(),
            warnings: Vec::new(),
        })
    }

    fn put_in_force(&self, applied: &Applied) -> Result<(), Vec<FlowMistake>> {
        let read = applied.set.as_ref().map(|set| read(&set.files));
        let mut slot = self.0.lock();
        let flows = match &read {
            Some(Ok(flows)) => flows.iter().map(|flow| (flow.name.clone(), flow.clone())).collect(),
            _ => std::collections::BTreeMap::new(),
        };
        let unknown = !matches!(read, Some(Ok(_)));
        let policies = Policies {
            flows,
            unknown,
            scopes: slot.policies.scopes.clone(),
            ..Policies::default()
        };
        *slot = Arc::new(Snapshot { policies, ..(**slot).clone() });
        self.1.as_ref().unwrap().store(applied.number, Ordering::SeqCst);
        read.transpose().map(drop)
    }
}
