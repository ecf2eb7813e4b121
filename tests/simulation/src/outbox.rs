//! The store's outbox: notices that are not delivered yet, each channel's in their order.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_broker_ports::store::{Backlog, OutboxItem};
use ebbgate_domain::{Timestamp, ids::NoticeId, names::ChannelName};

/// What waits in it, and what was set aside.
#[derive(Default)]
pub struct Outbox(Vec<Waiting>);

struct Waiting {
    item: OutboxItem,
    /// None for one that is set aside.
    due: Option<Timestamp>,
    last_error: Option<String>,
}

impl Outbox {
    /// What is not delivered yet.
    pub fn undelivered(&self) -> impl Iterator<Item = &OutboxItem> {
        self.0.iter().map(|waiting| &waiting.item)
    }

    pub(crate) fn put(&mut self, items: Vec<OutboxItem>) {
        self.0.extend(items.into_iter().map(|item| Waiting {
            due: Some(item.at),
            item,
            last_error: None,
        }));
    }

    pub(crate) fn take(
        &mut self,
        channel: &ChannelName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Vec<OutboxItem> {
        let mut first_of = BTreeSet::new();
        let mut taken = Vec::new();
        for waiting in self.0.iter_mut().filter(|waiting| waiting.item.channel == *channel) {
            let Some(due) = &mut waiting.due else { continue };
            let first = first_of.insert(waiting.item.notice.request);
            if first && *due <= now && taken.len() < limit as usize {
                *due = until;
                taken.push(waiting.item.clone());
            }
        }
        taken
    }

    pub(crate) fn delivered(&mut self, id: NoticeId) {
        self.0.retain(|waiting| waiting.item.id != id);
    }

    pub(crate) fn failed(&mut self, id: NoticeId, next: Option<Timestamp>, why: &str) {
        for waiting in self.0.iter_mut().filter(|waiting| waiting.item.id == id) {
            waiting.item.failures += 1;
            waiting.due = next;
            waiting.last_error = Some(why.to_owned());
        }
    }

    pub(crate) fn replay(&mut self, channel: &ChannelName) {
        let aside =
            |waiting: &&mut Waiting| waiting.item.channel == *channel && waiting.due.is_none();
        for waiting in self.0.iter_mut().filter(aside) {
            waiting.item.failures = 0;
            waiting.due = Some(Timestamp::UNIX_EPOCH);
        }
    }

    pub(crate) fn backlog(&self) -> Vec<Backlog> {
        let mut channels: BTreeMap<&ChannelName, Backlog> = BTreeMap::new();
        for Waiting { item, due, last_error } in &self.0 {
            let nothing = || Backlog::nothing(item.channel.clone());
            let backlog = channels.entry(&item.channel).or_insert_with(nothing);
            if due.is_some() {
                backlog.waiting += 1;
                backlog.oldest = backlog.oldest.or(Some(item.at));
            } else {
                backlog.set_aside += 1;
            }
            backlog.last_error = backlog.last_error.take().or_else(|| last_error.clone());
        }
        channels.into_values().collect()
    }
}
