//! Where a request that is under way is stuck: whom or what it waits for.

use jiff::Timestamp;

use crate::{
    approval::{GroupTally, Tally},
    grant::{Grant, GrantState},
    request::AccessRequest,
};

/// What a request waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// `approval`, `activation`, `grant` or `teardown`. Stable, for programs.
    pub what: &'static str,
    /// In words.
    pub fact: String,
    /// When it ends by itself, or is tried again.
    pub until: Option<Timestamp>,
}

/// What a request waits for now; nothing where it waits for nobody.
pub fn stuck(request: &AccessRequest, tallies: &[Tally], grants: &[Grant]) -> Vec<Obstacle> {
    if request.asks() {
        let open = tallies.iter().filter(|tally| !tally.approved);
        let groups = open.flat_map(|tally| &tally.groups).filter(|group| !group.satisfied);
        return groups.map(|group| approval(group, request)).collect();
    }
    if request.awaits_activation() {
        let fact = if request.activate_by.is_some() {
            "waits for its requester to activate it"
        } else {
            "waits for the start that was asked for"
        };
        let until = request.activate_by.or(request.starts_at);
        return vec![Obstacle { what: "activation", fact: fact.to_owned(), until }];
    }
    grants.iter().filter_map(grant).collect()
}

fn approval(group: &GroupTally, request: &AccessRequest) -> Obstacle {
    let people: Vec<_> = group.waiting_for.iter().map(ToString::to_string).collect();
    let mut fact = if people.is_empty() {
        format!("nobody of {} can decide now", group.name)
    } else {
        format!("waits for {}: {}", group.name, people.join(", "))
    };
    if let Some(next) = &group.next {
        let to: Vec<_> = next.to.iter().map(ToString::to_string).collect();
        fact.push_str(&format!("; from {} on also for {}", next.at, to.join(", ")));
    }
    Obstacle { what: "approval", fact, until: request.lapses_at }
}

fn grant(grant: &Grant) -> Option<Obstacle> {
    let (what, doing, attempts) = match &grant.state {
        GrantState::Planned => {
            let fact = format!("{} is about to be provisioned", grant.resource);
            return Some(Obstacle { what: "grant", fact, until: None });
        }
        GrantState::Provisioning(attempts) => ("grant", "is being provisioned", attempts),
        GrantState::Revoking { attempts, .. } => ("teardown", "is being torn down", attempts),
        GrantState::Active | GrantState::Revoked { .. } | GrantState::Failed { .. } => return None,
    };
    let mut fact = format!("{} {doing}", grant.resource);
    if attempts.failed > 0 {
        fact.push_str(&format!("; {} attempts failed", attempts.failed));
    }
    if let Some(error) = &attempts.last_error {
        fact.push_str(&format!(", the last: {error}"));
    }
    Some(Obstacle { what, fact, until: Some(attempts.next_at) })
}
