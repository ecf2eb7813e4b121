//! The agent's journal, as its disk keeps it: a record that was written is there, a crash may tear
//! the last write, a full disk takes nothing.

use std::collections::BTreeSet;

use ebbgate_agent_core::{AgentState, Record};
use ebbgate_domain::ids::GrantId;
use parking_lot::Mutex;

use crate::{kernel::Sim, scenario::Sabotage};

/// One journal.
#[derive(Default)]
pub struct Disk(Mutex<Content>);

#[derive(Default)]
struct Content {
    lines: Vec<String>,
    full: bool,
    /// Whether records are missing, so that everything must be written anew.
    behind: bool,
    /// Grants whose provisioning was ever on this disk as an intention.
    intended: BTreeSet<GrantId>,
    /// Grants whose teardown was ever on this disk as an intention.
    ending: BTreeSet<GrantId>,
    /// Grants whose verified end was ever on this disk.
    ended: BTreeSet<GrantId>,
    /// Lines that nobody has looked at yet.
    fresh: Vec<String>,
}

/// The disk takes nothing.
#[derive(Debug)]
pub struct Full;

impl Disk {
    /// What the journal tells; a torn line is left out. It is written anew at once, where there is
    /// room.
    pub fn open(&self) -> AgentState {
        let mut content = self.0.lock();
        let records = content.lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        let state = AgentState::fold(records);
        content.behind = true;
        if !content.full {
            content.replace(&state);
        }
        state
    }

    /// Puts records on disk. `state` has them applied already.
    ///
    /// # Errors
    /// There is no room: nothing is written.
    pub fn append(
        &self,
        records: &[Record],
        state: &AgentState,
        sabotage: Option<Sabotage>,
    ) -> Result<(), Full> {
        let mut content = self.0.lock();
        if content.full {
            // What is not written now is made up for by the next write.
            content.behind |= !records.is_empty();
            return if content.behind { Err(Full) } else { Ok(()) };
        }
        if content.behind {
            content.replace(state);
            return Ok(());
        }
        for record in records {
            let forgets = sabotage == Some(Sabotage::ForgottenTeardowns)
                && matches!(record, Record::RevokeIntended { .. } | Record::TornDown { .. });
            if !forgets {
                content.put(record);
            }
        }
        Ok(())
    }

    /// The machine dies while it writes: some records are there, maybe one in part. How many are
    /// there whole.
    pub fn tear(&self, sim: &Sim, records: &[Record]) -> usize {
        let mut content = self.0.lock();
        if content.full || content.behind || records.is_empty() {
            return 0;
        }
        let whole = usize::try_from(sim.below(records.len() as u64)).unwrap_or(0);
        for record in &records[..whole] {
            content.put(record);
        }
        let line = text(&records[whole]);
        let part = usize::try_from(sim.below(line.len() as u64)).unwrap_or(0);
        content.lines.extend(line.get(..part).map(ToOwned::to_owned));
        sim.count("torn record");
        whole
    }

    /// Writes what must not be written.
    pub fn leak(&self, text: String) {
        self.0.lock().fresh.push(text);
    }

    /// Whether there is room.
    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Whether something is missing on it because there was no room.
    pub fn is_behind(&self) -> bool {
        let content = self.0.lock();
        content.full || content.behind
    }

    /// Whether it ever held the intention to provision.
    pub fn has_intended(&self, grant: GrantId) -> bool {
        self.0.lock().intended.contains(&grant)
    }

    /// Whether it ever held the intention to tear down.
    pub fn has_intended_end(&self, grant: GrantId) -> bool {
        self.0.lock().ending.contains(&grant)
    }

    /// Whether it ever held the verified end.
    pub fn has_ended(&self, grant: GrantId) -> bool {
        self.0.lock().ended.contains(&grant)
    }

    /// The lines that came since this was last asked.
    pub fn take_fresh(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().fresh)
    }

    /// The true content now, as a start would find it.
    pub fn state(&self) -> AgentState {
        let content = self.0.lock();
        AgentState::fold(content.lines.iter().filter_map(|line| serde_json::from_str(line).ok()))
    }
}

impl Content {
    fn put(&mut self, record: &Record) {
        match record {
            Record::ProvisionIntended { spec, .. } => drop(self.intended.insert(spec.grant)),
            Record::RevokeIntended { spec, .. } => drop(self.ending.insert(spec.grant)),
            Record::TornDown { grant, .. } => drop(self.ended.insert(*grant)),
            Record::Held(held) if held.is_given() => drop(self.intended.insert(held.spec.grant)),
            Record::Held(held) => drop(self.ending.insert(held.spec.grant)),
            _ => {}
        }
        let line = text(record);
        self.fresh.push(line.clone());
        self.lines.push(line);
    }

    fn replace(&mut self, state: &AgentState) {
        self.lines.clear();
        state.snapshot().iter().for_each(|record| self.put(record));
        self.behind = false;
    }
}

fn text(record: &Record) -> String {
    serde_json::to_string(record).unwrap()
}
