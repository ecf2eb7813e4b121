//! How long one request takes to be looked at, and how that grows with flows, resources and people.
//! `cargo bench -p ebbgate-domain --bench evaluate`; a debug build tells so.

#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use ebbgate_domain::{
    Timestamp,
    approval::{Review, Verdict},
    flow::{
        Access, AccessFlow, ApprovalPolicy, ApprovalRule, ApproverGroup, DurationRule,
        EscalationStep, Need, Policies, ScopeRef, Voices,
    },
    ids::{GrantId, RequestId},
    inventory::{Inventory, Resource, ResourceKind},
    offer::choose_flow,
    people::People,
    principal::{Directory, Principal},
    request::{AccessRequest, Submission, submit},
    scope::{Scope, Selector},
};

type Failed = Box<dyn std::error::Error>;

/// A company: flows, resources and people, ten people and ten flows to a group.
struct Company {
    directory: Directory,
    policies: Policies,
    inventory: Inventory,
    groups: usize,
}

fn main() -> Result<(), Failed> {
    if cfg!(debug_assertions) {
        println!("a debug build: use cargo bench");
    }
    println!("   flows resources    people  what                          p50       p99       max");
    for (flows, resources) in [(100, 1_000), (1_000, 10_000), (10_000, 100_000)] {
        let company = company(flows, resources)?;
        let mut named = Vec::new();
        let mut chosen = Vec::new();
        let mut reviewed = Vec::new();
        for round in 0..5_000 {
            let (request, took) = ask(&company, round, true)?;
            named.push(took);
            chosen.push(ask(&company, round, false)?.1);
            reviewed.push(review(&company, &request, round)?);
        }
        let people = company.directory.all().count();
        for (what, times) in [
            ("a request, its flow named", named),
            ("a request, its flow found", chosen),
            ("an approval", reviewed),
        ] {
            let [p50, p99, max] = quantiles(times);
            println!(
                "{flows:8} {resources:9} {people:9}  {what:25} {p50:>9.1?} {p99:>9.1?} {max:>9.1?}"
            );
        }
    }
    println!("goal: p99 under 1 ms with 10,000 flows and 100,000 resources");
    Ok(())
}

fn company(flows: usize, resources: usize) -> Result<Company, Failed> {
    let groups = flows / 10;
    let people = (0..flows).map(|n| {
        let own = format!("team-{}", n % groups).parse()?;
        let everybody = "staff".parse()?;
        let mut person = Principal::new(format!("p{n}@example.com").parse()?, [own, everybody]);
        person.manager = Some(format!("p{}@example.com", (n + 1) % flows).parse()?);
        Ok::<_, Failed>(person)
    });
    let directory = Directory::new(people.collect::<Result<Vec<_>, _>>()?);
    let inventory = (0..resources).map(|n| {
        let native = format!("db-{n}");
        Ok::<_, Failed>(Resource {
            id: format!("prod/postgres/{native}").parse()?,
            integration: "prod".parse()?,
            kind: ResourceKind::Postgres,
            native,
            tags: [("part", n % flows), ("shard", n % 7)]
                .map(|(key, value)| (key.to_owned(), value.to_string()))
                .into(),
        })
    });
    let inventory = Inventory::new(inventory.collect::<Result<Vec<_>, _>>()?);
    let mut policies = Policies::default();
    for n in 0..flows {
        let name: ebbgate_domain::names::ScopeName = format!("part-{n}").parse()?;
        let tags = serde_json::from_str(&format!(r#"{{"part":["{n}"]}}"#))?;
        let selector = Selector { tags, ..Selector::integration("prod".parse()?) };
        policies.scopes.insert(name.clone(), Scope::new(name.clone(), selector));
        let flow = flow(n, groups, ScopeRef::Named(name))?;
        policies.flows.insert(flow.name.clone(), flow);
    }
    Ok(Company { directory, policies, inventory, groups })
}

fn flow(n: usize, groups: usize, scope: ScopeRef) -> Result<AccessFlow, Failed> {
    let mut managers = ApproverGroup::new("Manager", Voices::Any, vec!["manager".parse()?]);
    // The largest group there is: everybody.
    managers.escalate =
        vec![EscalationStep { after: "15m".parse()?, to: vec!["group:staff".parse()?] }];
    let two = format!("group:team-{}", (n + 1) % groups).parse()?;
    let team = ApproverGroup::new("Team", Voices::AtLeast(2), vec![two]);
    let policy = ApprovalPolicy::groups(Need::All, vec![managers, team], "8h".parse()?);
    let when = serde_json::from_str(r#"{"duration_at_most":"5m","tags":{"shard":{"!=":["3"]}}}"#)?;
    let access = vec![Access { scope, permissions: vec!["select".parse()?, "full".parse()?] }];
    Ok(AccessFlow {
        rules: vec![ApprovalRule { when, policy: ApprovalPolicy::Automatic }],
        ..AccessFlow::new(
            format!("flow-{n}").parse()?,
            vec![format!("group:team-{}", n % groups).parse()?],
            access,
            policy,
            DurationRule::new("30m".parse()?, "8h".parse()?),
        )
    })
}

fn now() -> Result<Timestamp, Failed> {
    Ok("2026-11-23T10:00:00Z".parse()?)
}

/// Somebody asks for a resource of one of their team's flows.
fn ask(company: &Company, round: usize, named: bool) -> Result<(AccessRequest, Duration), Failed> {
    let flows = company.policies.flows.len();
    let person = (round * 7_919) % flows;
    let part = person % company.groups + company.groups * (round % 10);
    let id = format!("p{person}@example.com").parse()?;
    let name = format!("flow-{part}").parse()?;
    let native = format!("db-{}", part + flows * (round % 10));
    let permission = "select".parse()?;
    let people = People::new(&company.directory, now()?);
    let begin = Instant::now();
    let resource = company.inventory.named(&native).next().ok_or("no such resource")?;
    let flow = if named {
        company.policies.flows.get(&name).ok_or("no such flow")?
    } else {
        let wanted = [(resource, Some(&permission))];
        choose_flow(&id, &wanted, &company.policies, &company.directory).map_err(Box::new)?
    };
    let submission = Submission {
        id: RequestId::new(people.now, [1; 10]),
        requester: &id,
        flow,
        items: &[(GrantId::new(people.now, [2; 10]), resource, Some(permission.clone()))],
        duration: None,
        reason: Some("a reason"),
        ticket: None,
        starts_at: None,
        overdue_review: None,
    };
    let asked = black_box(submit(submission, &company.policies, &people)).map_err(Box::new)?;
    let took = begin.elapsed();
    Ok((asked.state, took))
}

/// Its requester's manager approves.
fn review(company: &Company, request: &AccessRequest, round: usize) -> Result<Duration, Failed> {
    let people = People::new(&company.directory, now()?);
    let manager = (round * 7_919 % company.policies.flows.len() + 1) % company.policies.flows.len();
    let by = format!("p{manager}@example.com").parse()?;
    let begin = Instant::now();
    let review = Review::new(by, Verdict::Approve, None, people.now);
    black_box(request.review(review, &people).map_err(Box::new)?.state);
    Ok(begin.elapsed())
}

fn quantiles(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort();
    let at = |part: usize| times.get((times.len() - 1) * part / 1_000).copied().unwrap_or_default();
    [at(500), at(990), at(1_000)]
}
