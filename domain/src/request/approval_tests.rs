//! Approval in the life of a request: the article's example, escalation, claims, substitutes, who is
//! on call, rules.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, ToSpan as _};

use super::*;
use crate::{
    approval::Verdict,
    approver::Approver,
    audit::Action,
    condition::Condition,
    delegation::Delegation,
    flow::{
        Access, ApprovalPolicy, ApprovalRule, ApproverGroup, DurationRule, EscalationStep, Need,
        Policies, ScopeRef, Voices,
    },
    ids::DelegationId,
    inventory::ResourceKind,
    names::ScheduleName,
    principal::{Directory, Principal, tests::person},
    refusal::Refusal,
    schedule::{Rotation, Schedule, Turn},
    scope::{Scope, Selector},
    transition::{Effect, Transition},
};

/// A world in which a test moves the time.
struct World {
    directory: Directory,
    schedules: BTreeMap<ScheduleName, Schedule>,
    delegations: Vec<Delegation>,
    now: Timestamp,
    flow: AccessFlow,
    tags: BTreeMap<String, String>,
}

fn id(name: &str) -> PrincipalId {
    format!("{name}@example.com").parse().unwrap()
}

fn approvers(of: &[&str]) -> Vec<Approver> {
    of.iter().map(|one| one.parse().unwrap()).collect()
}

fn any(name: &str, of: &[&str]) -> ApproverGroup {
    ApproverGroup::new(name, Voices::Any, approvers(of))
}

fn step(after: &str, to: &[&str]) -> EscalationStep {
    EscalationStep { after: after.parse().unwrap(), to: approvers(to) }
}

fn policy(groups: Vec<ApproverGroup>) -> ApprovalPolicy {
    ApprovalPolicy::groups(Need::All, groups, "8h".parse().unwrap())
}

/// The article's example: Production RDS PII Access.
fn pii() -> ApprovalPolicy {
    let data = &["user:maria@example.com", "user:joao@example.com"];
    let security = &["user:ana@example.com", "user:carlos@example.com"];
    policy(vec![any("Data Team", data), any("Security", security)])
}

impl World {
    fn with(approval: ApprovalPolicy) -> Self {
        let boss = Principal { manager: Some(id("carlos")), ..person("dora", &["data"]) };
        let people = [
            person("maria", &["dba"]),
            person("joao", &["dba"]),
            person("ana", &["security"]),
            person("carlos", &["security", "leads"]),
            person("eve", &["sales"]),
        ];
        Self {
            directory: Directory::new(people.into_iter().chain([boss])),
            schedules: BTreeMap::new(),
            delegations: Vec::new(),
            now: "2026-11-23T10:00:00Z".parse().unwrap(), // a Monday
            flow: AccessFlow::new(
                "pii".parse().unwrap(),
                vec!["group:data".parse().unwrap(), "group:dba".parse().unwrap()],
                vec![Access {
                    scope: ScopeRef::Named("s".parse().unwrap()),
                    permissions: vec!["select".parse().unwrap()],
                }],
                approval,
                DurationRule::new("30m".parse().unwrap(), "8h".parse().unwrap()),
            ),
            tags: BTreeMap::new(),
        }
    }

    fn people(&self) -> People<'_> {
        People {
            directory: &self.directory,
            schedules: &self.schedules,
            delegations: &self.delegations,
            now: self.now,
        }
    }

    fn policies(&self) -> Policies {
        Policies {
            flows: [(self.flow.name.clone(), self.flow.clone())].into(),
            ..Policies::default()
        }
    }

    fn advance(&self, request: &AccessRequest) -> Option<Transition<AccessRequest>> {
        request.advance(&self.policies(), &self.people())
    }

    fn pass(&mut self, minutes: i64) {
        self.now += SignedDuration::from_mins(minutes);
    }

    fn ask(&self, who: &str, duration: &str) -> Result<Transition<AccessRequest>, Refusal> {
        let scope = Scope::new("s".parse().unwrap(), Selector::default());
        let policies =
            Policies { scopes: [(scope.name.clone(), scope)].into(), ..Policies::default() };
        let resource = Resource {
            id: "prod/postgres/pii".parse().unwrap(),
            integration: "prod".parse().unwrap(),
            kind: ResourceKind::Postgres,
            native: "pii".to_owned(),
            tags: self.tags.clone(),
        };
        let submission = Submission {
            id: RequestId::new(self.now, [1; 10]),
            requester: &id(who),
            flow: &self.flow,
            items: &[(GrantId::new(self.now, [2; 10]), &resource, None)],
            duration: Some(duration.parse().unwrap()),
            reason: None,
            ticket: None,
            starts_at: None,
            overdue_review: None,
        };
        submit(submission, &policies, &self.people())
    }

    fn say(
        &self,
        request: &AccessRequest,
        who: &str,
        verdict: Verdict,
    ) -> Result<Transition<AccessRequest>, Refusal> {
        let review = Review::new(id(who), verdict, Some("seen".to_owned()), self.now);
        request.review(review, &self.people())
    }

    fn yes(&self, request: &AccessRequest, who: &str) -> Transition<AccessRequest> {
        self.say(request, who, Verdict::Approve).unwrap()
    }
}

/// Whom the notices of one sort go to.
fn told(transition: &Transition<AccessRequest>, event: &str) -> BTreeSet<PrincipalId> {
    let notices = transition.effects.iter().filter_map(|effect| match effect {
        Effect::Notify(notice) if notice.event == event => Some(notice.to.clone()),
        _ => None,
    });
    notices.flatten().collect()
}

fn all(names: &[&str]) -> BTreeSet<PrincipalId> {
    names.iter().map(|name| id(name)).collect()
}

#[test]
fn the_pii_example_needs_one_of_each_area() {
    let world = World::with(pii());
    let asked = world.ask("dora", "1h").unwrap();
    assert_eq!(told(&asked, "request.created"), all(&["maria", "joao", "ana", "carlos"]));
    let request = asked.state;

    let first = world.yes(&request, "joao");
    assert_eq!(first.state.state, RequestState::Pending);
    assert_eq!(told(&first, "request.withdrawn"), all(&["maria"]), "her area has spoken");
    let approved = world.yes(&first.state, "carlos");
    assert_eq!(approved.state.state, RequestState::Approved);
    assert_eq!(told(&approved, "request.withdrawn"), all(&["ana"]));
    assert_eq!(approved.events.last().unwrap().details["approved_by"].as_array().unwrap().len(), 2);

    // Two of one area are not two areas.
    let both = world.yes(&first.state, "maria");
    assert_eq!(both.state.state, RequestState::Pending);
    let denied = world.say(&first.state, "ana", Verdict::Deny).unwrap().state;
    assert_eq!(denied.state, RequestState::Denied);
}

#[test]
fn a_dba_who_asks_is_not_one_of_the_two() {
    let world = World::with(pii());
    let asked = world.ask("maria", "1h").unwrap();
    assert_eq!(told(&asked, "request.created"), all(&["joao", "ana", "carlos"]));
    assert_eq!(
        world.say(&asked.state, "maria", Verdict::Approve).unwrap_err().code(),
        "own_request"
    );
}

#[test]
fn steps_are_asked_in_order_and_may_decide_only_then() {
    let mut group = any("Data Team", &["user:maria@example.com"]);
    group.escalate = vec![step("15m", &["user:joao@example.com"]), step("30m", &["group:leads"])];
    let mut world = World::with(policy(vec![group]));
    let asked = world.ask("dora", "1h").unwrap();
    assert_eq!(told(&asked, "request.created"), all(&["maria"]));
    let request = asked.state;
    let [tally] = &request.tallies(&world.people())[..] else { panic!("one quorum") };
    let next = tally.groups[0].next.as_ref().unwrap();
    assert_eq!(
        (next.at, next.to.clone()),
        (world.now + 15.minutes(), approvers(&["user:joao@example.com"]))
    );
    assert_eq!(request.due_at(), Some(world.now + 15.minutes()));

    assert!(world.advance(&request).is_none());
    assert_eq!(
        world.say(&request, "joao", Verdict::Approve).unwrap_err().code(),
        "not_an_approver"
    );
    world.pass(15);
    let second = world.advance(&request).unwrap();
    assert_eq!(told(&second, "request.escalated"), all(&["joao"]));
    assert_eq!(second.events[0].action, Action::RequestEscalated);
    let request = second.state;
    assert!(world.advance(&request).is_none(), "told once");
    assert_eq!(request.due_at(), Some(world.now + 30.minutes()));
    world.pass(30);
    let third = world.advance(&request).unwrap();
    assert_eq!(told(&third, "request.escalated"), all(&["carlos"]));

    // A step that has come decides for itself, and the others are told so.
    let approved = world.yes(&third.state, "carlos");
    assert_eq!(approved.state.state, RequestState::Approved);
    assert_eq!(told(&approved, "request.withdrawn"), all(&["maria", "joao"]));
    let steps: Vec<_> =
        approved.state.told.iter().flatten().map(|told| (told.who.clone(), told.step)).collect();
    assert_eq!(steps, [(id("maria"), 0), (id("joao"), 1), (id("carlos"), 2)]);
}

#[test]
fn steps_that_passed_while_the_broker_was_away_are_asked_at_once() {
    let mut group = any("Data Team", &["user:maria@example.com"]);
    group.escalate = vec![step("15m", &["user:joao@example.com"]), step("30m", &["group:leads"])];
    let mut world = World::with(policy(vec![group]));
    let request = world.ask("dora", "1h").unwrap().state;
    world.pass(120);
    let late = world.advance(&request).unwrap();
    assert_eq!(told(&late, "request.escalated"), all(&["joao", "carlos"]));
    assert_eq!(late.events.len(), 2, "each step is on record");
}

#[test]
fn a_claim_stops_the_clock_of_its_groups_until_it_ends() {
    let mut dbas = any("Data Team", &["user:maria@example.com"]);
    dbas.escalate = vec![step("15m", &["user:joao@example.com"])];
    let mut security = any("Security", &["user:ana@example.com"]);
    security.escalate = vec![step("20m", &["group:leads"])];
    let mut world = World::with(policy(vec![dbas, security]));
    let request = world.ask("dora", "1h").unwrap().state;
    let begin = world.now;

    world.pass(10);
    let claimed = request.claim(&id("maria"), &world.people()).unwrap();
    assert_eq!(told(&claimed, "request.claimed"), all(&["dora"]));
    let request = claimed.state;
    let at = |request: &AccessRequest, world: &World| -> Vec<_> {
        let tallies = request.tallies(&world.people());
        tallies[0].groups.iter().map(|group| group.next.as_ref().map(|next| next.at)).collect()
    };
    assert_eq!(at(&request, &world), [Some(begin + 30.minutes()), Some(begin + 20.minutes())]);
    let code = |who: &str| request.claim(&id(who), &world.people()).unwrap_err().code();
    assert_eq!(code("maria"), "claimed_before");
    assert_eq!(code("eve"), "not_an_approver");
    assert_eq!(code("dora"), "own_request");
    assert!(request.claim(&id("ana"), &world.people()).is_ok(), "her area is another");

    world.pass(10);
    let escalated = world.advance(&request).unwrap();
    assert_eq!(told(&escalated, "request.escalated"), all(&["carlos"]), "only Security's step");
    // Maria decides: what was left of her claim is not waited for.
    let mut group_of_two = escalated.state;
    group_of_two.quorums[0].groups[0].need = Voices::AtLeast(2);
    world.pass(2);
    let decided = world.yes(&group_of_two, "maria").state;
    assert_eq!(at(&decided, &world)[0], Some(begin + 27.minutes()));
}

#[test]
fn two_of_one_group_do_not_claim_at_once() {
    let mut world = World::with(policy(vec![any("DBAs", &["group:dba"])]));
    let request = world.ask("dora", "1h").unwrap().state;
    let request = request.claim(&id("maria"), &world.people()).unwrap().state;
    assert_eq!(request.claim(&id("joao"), &world.people()).unwrap_err().code(), "already_claimed");
    world.pass(15);
    assert!(request.claim(&id("joao"), &world.people()).is_ok());
}

#[test]
fn a_substitute_fills_the_seat_of_one_who_is_away_and_no_second_one() {
    let two = ApproverGroup::new("DBAs", Voices::AtLeast(2), approvers(&["group:dba"]));
    let mut world = World::with(policy(vec![two]));
    let request = world.ask("dora", "1h").unwrap().state;
    world.pass(1);
    world.delegations.push(Delegation {
        id: DelegationId::new(world.now, [1; 10]),
        from: id("maria"),
        to: id("eve"),
        since: world.now,
        until: world.now + 1.hour(),
        ended_at: None,
    });
    let asked = world.advance(&request).unwrap();
    assert_eq!(told(&asked, "request.waiting"), all(&["eve"]));
    let first = world.yes(&asked.state, "eve");
    assert_eq!(told(&first, "request.withdrawn"), all(&["maria"]), "her seat is taken");
    // Maria may still speak, but her seat counts once.
    let twice = world.yes(&first.state, "maria").state;
    assert_eq!(twice.state, RequestState::Pending);
    // What was said while it held counts when it is over; nothing new may be said.
    world.pass(60);
    assert_eq!(world.yes(&first.state, "joao").state.state, RequestState::Approved);
    assert_eq!(
        world.say(&asked.state, "eve", Verdict::Approve).unwrap_err().code(),
        "not_an_approver"
    );
}

#[test]
fn a_requester_is_nobodys_substitute_for_their_own_request() {
    let mut world = World::with(policy(vec![any("DBAs", &["user:maria@example.com"])]));
    world.delegations.push(Delegation {
        id: DelegationId::new(world.now, [1; 10]),
        from: id("maria"),
        to: id("dora"),
        since: world.now,
        until: world.now + 1.hour(),
        ended_at: None,
    });
    let asked = world.ask("dora", "1h").unwrap();
    assert_eq!(told(&asked, "request.created"), all(&["maria"]));
    assert_eq!(
        world.say(&asked.state, "dora", Verdict::Approve).unwrap_err().code(),
        "own_request"
    );
}

#[test]
fn whoever_is_on_call_is_asked_and_so_is_the_next() {
    let mut world = World::with(policy(vec![any("On call", &["on-call:dba"])]));
    let schedule = Schedule {
        name: "dba".parse().unwrap(),
        zone: "UTC".parse().unwrap(),
        rotation: Rotation {
            every: Turn::Day { at: "11:00".parse().unwrap() },
            starts: "2026-11-22".parse().unwrap(),
            people: vec![id("maria"), id("joao")],
        },
        overrides: Vec::new(),
    };
    world.schedules.insert(schedule.name.clone(), schedule);
    let asked = world.ask("dora", "1h").unwrap();
    assert_eq!(told(&asked, "request.created"), all(&["maria"]));
    assert_eq!(asked.state.due_at(), Some("2026-11-23T11:00:00Z".parse().unwrap()));
    world.pass(60);
    let next = world.advance(&asked.state).unwrap();
    assert_eq!(told(&next, "request.waiting"), all(&["joao"]));
    assert_eq!(told(&next, "request.withdrawn"), all(&["maria"]));
    assert_eq!(
        world.say(&next.state, "maria", Verdict::Approve).unwrap_err().code(),
        "not_an_approver"
    );
    assert_eq!(world.yes(&next.state, "joao").state.state, RequestState::Approved);
}

#[test]
fn manager_and_owner_are_the_people_of_that_hour() {
    let mut world =
        World::with(policy(vec![any("Manager", &["manager"]), any("Owner", &["owner"])]));
    world.tags.insert("owner".to_owned(), "maria@example.com".to_owned());
    let asked = world.ask("dora", "1h").unwrap();
    assert_eq!(told(&asked, "request.created"), all(&["carlos", "maria"]));
    // A new manager is no approver of what was asked before.
    world.directory = Directory::new(
        world
            .directory
            .all()
            .cloned()
            .map(|principal| Principal { manager: Some(id("eve")), ..principal }),
    );
    assert_eq!(
        world.say(&asked.state, "eve", Verdict::Approve).unwrap_err().code(),
        "not_an_approver"
    );
    assert!(world.say(&asked.state, "carlos", Verdict::Approve).is_ok());
}

#[test]
fn a_refusal_names_the_group_and_why() {
    let refused = |approval: ApprovalPolicy, who: &str| {
        World::with(approval).ask(who, "1h").unwrap_err().to_string()
    };
    let manager = refused(policy(vec![any("Manager", &["manager"])]), "maria");
    assert!(
        manager.contains("Manager (the manager of maria@example.com is not known)"),
        "{manager}"
    );
    let owner = refused(policy(vec![any("Owner", &["owner"])]), "dora");
    assert!(owner.contains("the owner of the resource is not known"), "{owner}");
    let three = ApproverGroup::new("DBAs", Voices::AtLeast(3), approvers(&["group:dba"]));
    let few = refused(policy(vec![three]), "dora");
    assert!(few.contains("DBAs needs 3 approvals and has 2 people"), "{few}");
    let twice =
        policy(vec![any("A", &["user:ana@example.com"]), any("B", &["user:ana@example.com"])]);
    let one = refused(twice, "dora");
    assert!(one.contains("one person would have to speak for two groups"), "{one}");
    let all_of = ApproverGroup::new("Both", Voices::All, approvers(&["manager", "group:dba"]));
    let unknown = refused(policy(vec![all_of]), "maria");
    assert!(unknown.contains("the manager of maria@example.com is not known"), "{unknown}");
}

#[test]
fn one_person_may_speak_for_two_groups_where_the_flow_says_so() {
    let groups = vec![any("A", &["user:ana@example.com"]), any("B", &["group:security"])];
    let strict = World::with(policy(groups.clone()));
    let request = strict.ask("dora", "1h").unwrap().state;
    assert_eq!(strict.yes(&request, "ana").state.state, RequestState::Pending);
    let mut lenient = policy(groups);
    if let ApprovalPolicy::Groups { distinct, .. } = &mut lenient {
        *distinct = false;
    }
    let world = World::with(lenient);
    let request = world.ask("dora", "1h").unwrap().state;
    assert_eq!(world.yes(&request, "ana").state.state, RequestState::Approved);
}

#[test]
fn a_group_that_denies_by_all_lets_one_disagree() {
    let mut group = any("DBAs", &["group:dba"]);
    group.deny = Need::All;
    let world = World::with(policy(vec![group]));
    let request = world.ask("dora", "1h").unwrap().state;
    let one = world.say(&request, "maria", Verdict::Deny).unwrap().state;
    assert_eq!(one.state, RequestState::Pending);
    assert_eq!(world.yes(&one, "joao").state.state, RequestState::Approved);
    let both = world.say(&one, "joao", Verdict::Deny).unwrap().state;
    assert_eq!(both.state, RequestState::Denied);
}

#[test]
fn the_first_rule_that_fits_decides() {
    let short = Condition { duration_at_most: Some("1h".parse().unwrap()), ..Condition::default() };
    let office = Condition {
        hours: Some(
            serde_json::from_str(
                r#"{"days":["mon","tue","wed","thu","fri"],"from":"09:00","to":"18:00","zone":"UTC"}"#,
            )
            .unwrap(),
        ),
        ..Condition::default()
    };
    let mut world = World::with(pii());
    world.flow.rules = vec![
        ApprovalRule { when: short, policy: ApprovalPolicy::Automatic },
        ApprovalRule { when: office, policy: policy(vec![any("DBAs", &["group:dba"])]) },
    ];
    let quick = world.ask("dora", "1h").unwrap();
    assert_eq!(quick.state.state, RequestState::Approved);
    assert_eq!(quick.events[0].details["rules"][0], "prod/postgres/pii: rule 1: at most 1h");
    let by_day = world.ask("dora", "2h").unwrap().state;
    assert_eq!(by_day.quorums[0].groups.len(), 1);
    world.pass(10 * 60);
    let by_night = world.ask("dora", "2h").unwrap().state;
    assert_eq!(by_night.quorums[0].groups.len(), 2);
    assert_eq!(by_day.quorums[0].groups.len(), 1, "frozen when it was asked");
}
