//! What must hold on the targets: I1 to I7. Everything here is true time.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::{ids::GrantId, names::IntegrationName};

use super::{
    Checked, Facts, Violation,
    facts::{ACTIVE, Fact, OVER},
};
use crate::{
    agent::{Deed, Host, SWEEP_EVERY},
    clocks::true_time,
    kernel::{Millis, Node},
    server::{Content, Health, PATIENCE},
    world::World,
};

/// How late an end may be on a target that is well: a tick of the agent, and a round of statements.
const LATENESS: Millis = 4_000;
/// How late on one that is slow: a dozen statements of up to five seconds.
const LATENESS_SLOW: Millis = 60_000;
/// For so long after a target was unwell effects may still wait for its answers.
const RECOVERY: Millis = 60_000;

/// How often it is looked where nothing was done, but time passes.
const OFTEN: Millis = 50;

/// How long what must not be has been there, while those that should end it could.
#[derive(Default)]
pub(crate) struct Targets {
    last_look: Millis,
    overdue: BTreeMap<(GrantId, Node), Millis>,
    orphaned: BTreeMap<GrantId, Millis>,
    /// Since when a teardown stands in an agent's journal.
    ending: BTreeMap<(GrantId, Node), Millis>,
}

/// One grant that is on a server now.
struct Found<'a> {
    grant: GrantId,
    fact: Option<&'a Fact>,
    /// The agents that serve the integration.
    hosts: &'a [&'a Host],
    server: &'a Content,
    /// For how long an agent without the broker keeps it.
    grace: Option<Millis>,
}

impl Targets {
    /// Looks at every server.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub(crate) fn look(&mut self, facts: &Facts, news: bool, world: &World) -> Checked {
        let now = world.sim.now();
        let touched = world.servers.values().fold(news, |any, one| one.take_touched() || any);
        if !touched && now < self.last_look + OFTEN {
            return Ok(());
        }
        let passed = now - std::mem::replace(&mut self.last_look, now);
        for host in &world.hosts {
            for deed in std::mem::take(&mut *host.misdeeds.lock()) {
                i1_i5_no_such_deed(host, deed)?;
            }
        }
        for (integration, server) in &world.servers {
            let mut content = server.content();
            let made = std::mem::take(&mut content.made);
            made.iter().try_for_each(|grant| i1_intent_comes_first(*grant, facts, world))?;
            let here: BTreeSet<GrantId> = content
                .roles
                .keys()
                .chain(content.sessions.values().map(|(grant, _)| grant))
                .copied()
                .collect();
            content.unasked.retain(|grant, _| here.contains(grant));
            let hosts: Vec<&Host> = world
                .hosts
                .iter()
                .map(AsRef::as_ref)
                .filter(|host| host.integrations.contains(integration))
                .collect();
            for grant in here {
                let grace = world.graces.get(integration).copied();
                let fact = facts.get(grant);
                let found = Found { grant, fact, hosts: &hosts, server: &content, grace };
                i4_done_twice_changes_nothing(&found)?;
                i6_revoked_means_gone(&found)?;
                self.i7_orphans_vanish(&found, world, passed)?;
                for host in &hosts {
                    self.i2_i3_nothing_outlives_its_deadline(&found, host, world, passed)?;
                }
            }
            if touched {
                active_means_there(integration, &content, facts, world)?;
            }
        }
        Ok(())
    }

    /// I2: No grant stays usable past its deadline on a target that can be reached: sessions are
    /// ended and the permission is gone within the stated lateness.
    ///
    /// I3: An agent tears down on time with the broker down, cut off, or gone for good; also after its
    /// own restart, and after its host was suspended or its clock jumped.
    ///
    /// One measure for both: which of the two was broken tells the stream.
    fn i2_i3_nothing_outlives_its_deadline(
        &mut self,
        found: &Found<'_>,
        host: &Host,
        world: &World,
        passed: Millis,
    ) -> Checked {
        let Found { grant, server, .. } = found;
        let now = i64::try_from(world.sim.now()).unwrap_or(i64::MAX);
        let key = (*grant, host.node);
        if host.disk.has_intended_end(*grant) {
            self.ending.entry(key).or_insert(world.sim.now());
        }
        let late = found.fact.filter(|fact| fact.rank < OVER).is_some_and(|fact| {
            server.is_usable(*grant) && self.end_of(found, host, fact).is_some_and(|end| now > end)
        });
        // What comes back by itself after its verified end is an orphan's matter, and what a former
        // place has ended its successor may make again.
        let moved = found.fact.is_some_and(|fact| fact.place.as_ref() != Some(&host.name));
        let back = (moved || server.unasked.contains_key(grant)) && host.disk.has_ended(*grant);
        if !late || back || !is_able(host, server, world) {
            self.overdue.remove(&key);
            return Ok(());
        }
        let overdue = self.overdue.entry(key).or_default();
        *overdue += passed;
        let allowed = lateness(found, host, world.sim.now());
        if *overdue <= allowed {
            return Ok(());
        }
        let rule = if host.attached_since.lock().is_some() { "I2" } else { "I3" };
        let what = format!(
            "{grant} is usable {overdue} ms past its end though {} could end it ({allowed} ms are allowed)",
            host.name
        );
        Err(Violation::new(rule, what))
    }

    /// When a grant must end, in true time: at its deadline, which a wrong wall clock may put off
    /// until the boot clock says so; or when its teardown came on record; or when the broker has
    /// been silent for longer than the integration allows.
    fn end_of(&self, found: &Found<'_>, host: &Host, fact: &Fact) -> Option<i64> {
        let by_boot = host.ledger.boot_end(found.grant)?;
        let by_wall = true_time(fact.deadline?) - host.clock.ahead();
        let deadline = fact.true_deadline?.max(by_boot.min(by_wall));
        let ending = self.ending.get(&(found.grant, host.node)).copied();
        // The partition policy: some grants end when the broker has been silent for too long.
        let grace = found.grace.zip(host.ledger.last_heard());
        let cut_off = grace.map(|(grace, heard)| heard + grace);
        let early = ending.into_iter().chain(cut_off).min();
        Some(early.map_or(deadline, |early| deadline.min(i64::try_from(early).unwrap_or(0))))
    }

    /// I7: Whatever the broker made and no longer knows is found and removed.
    fn i7_orphans_vanish(&mut self, found: &Found<'_>, world: &World, passed: Millis) -> Checked {
        let Found { grant, hosts, server, fact, .. } = found;
        let now = i64::try_from(world.sim.now()).unwrap_or(i64::MAX);
        let known = fact.is_some_and(|fact| fact.rank < OVER);
        // An agent remembers an end until the deadline, so that nobody can ask for it again.
        let mut ends = hosts.iter().filter_map(|host| host.ledger.boot_end(*grant));
        let remembered = ends.any(|end| now <= end);
        let able = |host: &&Host| is_attended(host, world) && is_able(host, server, world);
        let able = hosts.iter().any(able);
        if known || remembered || !able || !server.roles.contains_key(grant) {
            self.orphaned.remove(grant);
            return Ok(());
        }
        let orphaned = self.orphaned.entry(*grant).or_default();
        *orphaned += passed;
        if *orphaned <= 2 * SWEEP_EVERY + RECOVERY {
            return Ok(());
        }
        Err(Violation::new("I7", format!("nobody knows {grant}, and it is not removed")))
    }
}

/// I1: What is done to a target is written down before it is done (intent), so that a crash between
/// the two never leaves access that nobody knows of.
fn i1_intent_comes_first(grant: GrantId, facts: &Facts, world: &World) -> Checked {
    let at_broker = facts.get(grant).is_some_and(|fact| fact.rank > 0);
    let at_agent = world.hosts.iter().any(|host| host.disk.has_intended(grant));
    if at_broker && at_agent {
        return Ok(());
    }
    let what = format!(
        "{grant} was made on a target; on record at the broker: {at_broker}, at the agent: {at_agent}"
    );
    Err(Violation::new("I1", what))
}

/// I1 and I5 as an agent must keep them: it begins nothing that is not on its disk, and provisions
/// nothing that it has intended to tear down.
fn i1_i5_no_such_deed(host: &Host, deed: Deed) -> Checked {
    let (rule, what) = match deed {
        Deed::ProvisionedAgain(grant) => ("I5", format!("{grant} again after its teardown began")),
        Deed::Unannounced(grant) => ("I1", format!("{grant} without a word on its disk")),
    };
    Err(Violation::new(rule, format!("{} works on {what}", host.name)))
}

/// I4: Provision and revoke are idempotent: … doing it twice changes nothing.
fn i4_done_twice_changes_nothing(found: &Found<'_>) -> Checked {
    match found.server.roles.get(&found.grant).map(|role| role.made) {
        Some(made) if made > 1 => {
            Err(Violation::new("I4", format!("{} is {made} roles", found.grant)))
        }
        _ => Ok(()),
    }
}

/// I6: Revoked means verified: … neither the permission nor a live session. It stays so, but for
/// what comes by no order of ours.
fn i6_revoked_means_gone(found: &Found<'_>) -> Checked {
    let over = found.fact.is_some_and(|fact| fact.rank == OVER);
    if !over || found.server.unasked.contains_key(&found.grant) {
        return Ok(());
    }
    let verified = found.fact.is_some_and(|fact| fact.verified);
    let what = format!("{} is over (verified: {verified}) and still there", found.grant);
    Err(Violation::new("I6", what))
}

/// Not an invariant of its own, but without it all others would hold where nothing is ever granted:
/// what the broker calls active is on its target until somebody takes it away.
fn active_means_there(
    integration: &IntegrationName,
    server: &Content,
    facts: &Facts,
    world: &World,
) -> Checked {
    for (grant, fact) in facts.iter() {
        if fact.rank != ACTIVE || fact.integration != *integration {
            continue;
        }
        let there = server.roles.get(grant).is_some_and(|role| role.login);
        let ending = world.hosts.iter().any(|host| host.disk.has_intended_end(*grant));
        let behind = world.hosts.iter().any(|host| host.disk.is_behind());
        if !there && !ending && !behind && !server.dropped.contains(grant) {
            let what = format!("{grant} is active, but its target does not have it");
            return Err(Violation::new("active", what));
        }
    }
    Ok(())
}

/// Whether an agent's stream stands at both ends.
fn is_attended(host: &Host, world: &World) -> bool {
    host.attached_since.lock().is_some() && world.broker.attends(&host.name)
}

/// Whether an agent can do something on a server now.
fn is_able(host: &Host, server: &Content, world: &World) -> bool {
    host.up_since.lock().is_some()
        && !world.sim.is_frozen(host.node)
        && matches!(server.health, Health::Up | Health::Slow)
}

/// How late a teardown may be: longer where the target was unwell, and where the pause after failed
/// attempts has to pass first.
fn lateness(found: &Found<'_>, host: &Host, now: Millis) -> Millis {
    let failures = host.ledger.failures(found.grant);
    let pause = match failures {
        0 => 0,
        n => (1_000_u64 << (n - 1).min(9)).min(300_000) * 5 / 4,
    };
    let base = match found.server.health {
        Health::Up if now - found.server.health_since > RECOVERY => LATENESS,
        Health::Up => LATENESS + 2 * PATIENCE,
        _ => LATENESS_SLOW,
    };
    base + pause
}
