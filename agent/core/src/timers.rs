//! What is due when: an index over what is held, so that a turn costs what it does and not what is
//! held. It follows the state, and is built anew from it where the boot clock began anew.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::{Timestamp, ids::GrantId, names::IntegrationName};
use jiff::SignedDuration;

use crate::{
    backoff,
    held::{Held, Stage},
    reading::{Reading, millis},
};

/// When each grant is to be looked at again.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_wall: BTreeSet<(Timestamp, GrantId)>,
    by_boot: BTreeSet<(u64, GrantId)>,
    entries: BTreeMap<GrantId, Entry>,
    given: BTreeMap<IntegrationName, BTreeSet<GrantId>>,
    /// Teardowns to be tried, by the boot clock in milliseconds. One that was tried since, or is
    /// over, may still be here.
    retries: BTreeSet<(u64, GrantId)>,
}

#[derive(Debug)]
struct Entry {
    wall: Timestamp,
    boot_ms: u64,
    integration: IntegrationName,
}

impl Timers {
    /// Follows a grant that has changed, or is not held any more.
    pub(crate) fn follow(&mut self, grant: GrantId, held: Option<&Held>) {
        if let Some(Entry { wall, boot_ms, integration }) = self.entries.remove(&grant) {
            self.by_wall.remove(&(wall, grant));
            self.by_boot.remove(&(boot_ms, grant));
            if let Some(given) = self.given.get_mut(&integration) {
                given.remove(&grant);
            }
        }
        let Some(held) = held else { return };
        let over = matches!(held.stage, Stage::TornDown { recorded: true, .. });
        if !held.is_given() && !over {
            return;
        }
        let (wall, boot_ms) = (held.deadline.wall, held.deadline.boot.ms);
        let integration = held.spec.integration.clone();
        self.by_wall.insert((wall, grant));
        self.by_boot.insert((boot_ms, grant));
        if held.is_given() {
            self.given.entry(integration.clone()).or_default().insert(grant);
        }
        self.entries.insert(grant, Entry { wall, boot_ms, integration });
    }

    /// Begins anew from what is held; every teardown is due at once.
    pub(crate) fn rebuild<'a>(&mut self, held: impl Iterator<Item = &'a Held>) {
        *self = Self::default();
        for held in held {
            self.follow(held.spec.grant, Some(held));
            if held.stage == Stage::RevokeIntended {
                self.retry(held.spec.grant, 0);
            }
        }
    }

    /// Has a teardown tried at that time of the boot clock, in milliseconds.
    pub(crate) fn retry(&mut self, grant: GrantId, at_ms: u64) {
        self.retries.insert((at_ms, grant));
    }

    /// The grants whose deadline may have passed by either clock. Whether it has is theirs to tell:
    /// a deadline of another boot counts by the wall clock alone.
    pub(crate) fn due(&self, now: &Reading) -> BTreeSet<GrantId> {
        let by_wall = self.by_wall.iter().take_while(|(at, _)| *at <= now.wall);
        let by_boot = self.by_boot.iter().take_while(|(at, _)| *at <= now.boot.ms);
        by_wall.map(|(_, grant)| *grant).chain(by_boot.map(|(_, grant)| *grant)).collect()
    }

    /// Takes out the teardowns to be tried now. A time further off than any pause comes from a boot
    /// clock that was put back, and counts as now.
    pub(crate) fn take_retries(&mut self, now: &Reading) -> Vec<GrantId> {
        let longest = u64::try_from(backoff::LONGEST.as_millis()).unwrap_or(u64::MAX);
        let mut due = Vec::new();
        while let Some((at, _)) = self.retries.first()
            && *at <= now.boot.ms
        {
            due.extend(self.retries.pop_first().map(|(_, grant)| grant));
        }
        while let Some((at, _)) = self.retries.last()
            && *at > now.boot.ms.saturating_add(longest)
        {
            due.extend(self.retries.pop_last().map(|(_, grant)| grant));
        }
        due
    }

    /// How long until anything is due.
    pub(crate) fn next(&self, now: &Reading) -> Option<SignedDuration> {
        let wall = self.by_wall.first().map(|(at, _)| at.duration_since(now.wall));
        let boot = self.by_boot.first().map(|(at, _)| millis(at.saturating_sub(now.boot.ms)));
        let retry = self.retries.first().map(|(at, _)| millis(at.saturating_sub(now.boot.ms)));
        wall.into_iter().chain(boot).chain(retry).min().map(|left| left.max(SignedDuration::ZERO))
    }

    /// The grants that are given on one integration.
    pub(crate) fn given(&self, integration: &IntegrationName) -> Option<&BTreeSet<GrantId>> {
        self.given.get(integration).filter(|given| !given.is_empty())
    }
}
