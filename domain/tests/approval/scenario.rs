//! A random case: a flow, people, who is on call, and what happens.

use std::collections::{BTreeMap, BTreeSet};

use ebbgate_domain::{
    Timestamp,
    approval::Verdict,
    condition::Condition,
    delegation::Delegation,
    duration::AccessDuration,
    flow::{
        Access, AccessFlow, ApprovalPolicy, ApprovalRule, ApproverGroup, DurationRule,
        EscalationStep, Need, Policies, ScopeRef, Voices,
    },
    ids::{DelegationId, GrantId},
    inventory::{Resource, ResourceKind},
    names::{PermissionName, PrincipalId},
    people::People,
    principal::{Directory, Principal},
    schedule::{Override, Rotation, Schedule, Turn},
    scope::{Scope, Selector},
};
use jiff::{SignedDuration, ToSpan as _};

use crate::random::Random;

/// p0 asks; the others approve.
pub(crate) const PEOPLE: usize = 6;
pub(crate) const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const GROUPS: usize = 3;

pub(crate) fn id(number: usize) -> PrincipalId {
    format!("p{number}@example.com").parse().unwrap()
}

pub(crate) fn number(id: &PrincipalId) -> usize {
    id.as_str()[1..2].parse().unwrap()
}

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) begin: Timestamp,
    pub(crate) flow: AccessFlow,
    pub(crate) policies: Policies,
    pub(crate) resources: Vec<Resource>,
    pub(crate) duration: AccessDuration,
    pub(crate) principals: Vec<Principal>,
    pub(crate) delegations: Vec<Delegation>,
    pub(crate) deeds: Vec<Deed>,
}

#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Wait(usize),
    Restart,
    Review(usize, Verdict),
    Claim(usize),
    Change(Change),
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Disable(usize),
    Enable(usize),
    Move(usize, usize),
    Delegate { from: usize, to: usize, starts: i64, lasts: i64 },
    EndDelegation(usize),
}

impl Scenario {
    pub(crate) fn of(seed: u64) -> Self {
        let r = &mut Random::of(seed);
        let begin = Timestamp::from_second(1_800_000_000).unwrap(); // 2027-01-15T08:00:00Z
        let principals = (0..PEOPLE).map(|n| principal(n, r)).collect();
        let mut flow = AccessFlow::new(
            "f".parse().unwrap(),
            vec!["user:p0@example.com".parse().unwrap(), "group:g9".parse().unwrap()],
            vec![Access {
                scope: ScopeRef::Named("s".parse().unwrap()),
                permissions: vec![select()],
            }],
            if r.percent(4) { ApprovalPolicy::Automatic } else { policy(r) },
            DurationRule::new("1h".parse().unwrap(), "8h".parse().unwrap()),
        );
        for _ in 0..r.between(0, 2) {
            flow.rules.push(rule(r));
        }
        let resources: Vec<_> = (0..r.between(1, 2)).map(|n| resource(n, r)).collect();
        let schedule = schedule(begin, r);
        let scope = Scope::new("s".parse().unwrap(), Selector::default());
        let policies = Policies {
            scopes: [(scope.name.clone(), scope)].into(),
            schedules: [(schedule.name.clone(), schedule)].into(),
            flows: [(flow.name.clone(), flow.clone())].into(),
            ..Policies::default()
        };
        let mut scenario = Self {
            begin,
            flow,
            policies,
            resources,
            duration: r.one(&["30m", "1h", "2h"]).parse().unwrap(),
            principals,
            delegations: Vec::new(),
            deeds: Vec::new(),
        };
        for _ in 0..r.between(0, 1) {
            let change = delegate(r);
            scenario.apply(&change, begin);
        }
        let deeds = r.between(3, 14);
        scenario.deeds = (0..deeds).map(|_| deed(r)).collect();
        scenario
    }

    pub(crate) fn directory(&self) -> Directory {
        Directory::new(self.principals.iter().cloned())
    }

    pub(crate) fn people<'a>(&'a self, directory: &'a Directory) -> People<'a> {
        let (schedules, delegations) = (&self.policies.schedules, &self.delegations[..]);
        People { directory, schedules, delegations, now: self.begin }
    }

    pub(crate) fn items(&self) -> Vec<(GrantId, &Resource, Option<PermissionName>)> {
        let items = self.resources.iter().enumerate().map(|(n, resource)| {
            (GrantId::new(self.begin, [u8::try_from(n).unwrap(); 10]), resource, None)
        });
        items.collect()
    }

    pub(crate) fn apply(&mut self, change: &Change, now: Timestamp) {
        match change {
            Change::Disable(who) => self.principals[*who].disabled = true,
            Change::Enable(who) => self.principals[*who].disabled = false,
            Change::Move(who, group) => {
                let group = format!("g{group}").parse().unwrap();
                let groups = &mut self.principals[*who].groups;
                if !groups.remove(&group) {
                    groups.insert(group);
                }
            }
            Change::Delegate { from, to, starts, lasts } => {
                let since = now + starts.minutes();
                self.delegations.push(Delegation {
                    id: DelegationId::new(now, [0; 10]),
                    from: id(*from),
                    to: id(*to),
                    since,
                    until: since + lasts.minutes(),
                    ended_at: None,
                });
            }
            Change::EndDelegation(which) => {
                if let Some(delegation) = self.delegations.get_mut(*which) {
                    delegation.ended_at = Some(now);
                }
            }
        }
    }
}

fn select() -> PermissionName {
    "select".parse().unwrap()
}

fn principal(n: usize, r: &mut Random) -> Principal {
    let groups: Vec<_> = (0..GROUPS).filter(|_| r.percent(40)).collect();
    Principal {
        manager: r.percent(60).then(|| id(r.between(0, PEOPLE - 1))),
        disabled: n > 0 && r.percent(5),
        ..Principal::new(id(n), groups.iter().map(|g| format!("g{g}").parse().unwrap()))
    }
}

fn resource(n: usize, r: &mut Random) -> Resource {
    let mut tags = BTreeMap::new();
    if r.percent(50) {
        tags.insert("data".to_owned(), r.one(&["pii", "internal"]).to_owned());
    }
    if r.percent(60) {
        let owner = match r.between(0, 3) {
            0 => format!("group:g{}", r.between(0, GROUPS)),
            1 => format!("user:p{}@example.com", r.between(0, PEOPLE - 1)),
            2 => format!("p{}@example.com", r.between(0, PEOPLE)),
            _ => "The Data Team".to_owned(),
        };
        tags.insert("owner".to_owned(), owner);
    }
    Resource {
        id: format!("i/postgres/d{n}").parse().unwrap(),
        integration: "i".parse().unwrap(),
        kind: ResourceKind::Postgres,
        native: format!("d{n}"),
        tags,
    }
}

fn rule(r: &mut Random) -> ApprovalRule {
    let mut when = Condition::default();
    if r.percent(50) {
        when.duration_at_most = Some("1h".parse().unwrap());
    }
    if r.percent(50) {
        when.tags = serde_json::from_str(r.one(&[
            r#"{"data":["pii"]}"#,
            r#"{"data":{"!=":["pii"]}}"#,
            r#"{"data":false}"#,
        ]))
        .unwrap();
    }
    let policy = if r.percent(20) { ApprovalPolicy::Automatic } else { policy(r) };
    ApprovalRule { when, policy }
}

fn policy(r: &mut Random) -> ApprovalPolicy {
    ApprovalPolicy::Groups {
        between: r.one(&[Need::Any, Need::All, Need::All]),
        groups: (0..r.between(1, 3)).map(|n| group(n, r)).collect(),
        request_timeout: r.one(&["20m", "1h", "3h"]).parse().unwrap(),
        distinct: r.percent(70),
        claim: r.one(&["5m", "15m"]).parse().unwrap(),
    }
}

fn group(n: usize, r: &mut Random) -> ApproverGroup {
    let need = match r.between(0, 5) {
        0..=2 => Voices::Any,
        3 => Voices::All,
        _ => Voices::AtLeast(u32::try_from(r.between(1, 3)).unwrap()),
    };
    ApproverGroup {
        name: format!("G{n}"),
        need,
        of: (0..r.between(1, 2)).map(|_| approver(r)).collect(),
        deny: r.one(&[Need::Any, Need::All]),
        escalate: (0..r.between(0, 2))
            .map(|_| EscalationStep {
                after: r.one(&["3m", "10m"]).parse().unwrap(),
                to: vec![approver(r)],
            })
            .collect(),
    }
}

fn approver(r: &mut Random) -> ebbgate_domain::approver::Approver {
    let text = match r.between(0, 9) {
        0..=3 => format!("group:g{}", r.between(0, GROUPS - 1)),
        4..=5 => format!("user:p{}@example.com", r.between(0, PEOPLE - 1)),
        6 => "manager".to_owned(),
        7 => "owner".to_owned(),
        _ => "on-call:c".to_owned(),
    };
    text.parse().unwrap()
}

fn schedule(begin: Timestamp, r: &mut Random) -> Schedule {
    let people: BTreeSet<_> = (0..r.between(1, 3)).map(|_| r.between(0, PEOPLE - 1)).collect();
    let overrides = (0..r.between(0, 2)).map(|_| {
        let from = begin + i64::try_from(r.between(0, 40)).unwrap().minutes();
        let to = from + i64::try_from(r.between(5, 40)).unwrap().minutes();
        Override { person: id(r.between(0, PEOPLE - 1)), from, to }
    });
    Schedule {
        name: "c".parse().unwrap(),
        zone: "UTC".parse().unwrap(),
        overrides: overrides.collect(),
        rotation: Rotation {
            // Some while after the beginning.
            every: Turn::Day { at: r.one(&["08:07", "08:30", "07:00"]).parse().unwrap() },
            starts: Rotation::default_start(),
            people: people.into_iter().map(id).collect(),
        },
    }
}

fn delegate(r: &mut Random) -> Change {
    let from = r.between(0, PEOPLE - 1);
    let to = (from + r.between(1, PEOPLE - 1)) % PEOPLE;
    let starts = r.one(&[0_i64, 0, 4]);
    let lasts = i64::try_from(r.between(2, 40)).unwrap();
    Change::Delegate { from, to, starts, lasts }
}

fn deed(r: &mut Random) -> Deed {
    let anybody = r.between(0, PEOPLE - 1);
    match r.between(0, 99) {
        0..=29 => Deed::Wait(r.one(&[1, 2, 5, 12, 30])),
        30..=36 => Deed::Restart,
        37..=69 => Deed::Review(anybody, Verdict::Approve),
        70..=76 => Deed::Review(anybody, Verdict::Deny),
        77..=84 => Deed::Claim(anybody),
        85..=86 => Deed::Change(Change::Disable(anybody)),
        87 => Deed::Change(Change::Enable(anybody)),
        88..=91 => Deed::Change(Change::Move(anybody, r.between(0, GROUPS - 1))),
        92..=97 => Deed::Change(delegate(r)),
        _ => Deed::Change(Change::EndDelegation(r.between(0, 1))),
    }
}
