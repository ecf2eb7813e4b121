//! Approval against a model: random flows, people, schedules, substitutes, reviews, claims, delays
//! and restarts; after each step the real rules and a small reference that tries every assignment
//! must agree.
//!
//! `EBBGATE_SEED=17 cargo test -p ebbgate-domain --test approval` repeats one case and tells it;
//! `EBBGATE_CASES=100000` tries more.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(clippy::print_stdout, reason = "a repeated case tells its story")]

mod model;
mod random;
mod scenario;

use std::{collections::BTreeSet, panic, thread};

use ebbgate_domain::{
    Effect, Timestamp,
    approval::{Review, Verdict},
    ids::RequestId,
    people::People,
    request::{AccessRequest, RequestState, Submission, submit},
};

use model::Model;
use scenario::{Deed, MINUTE, Scenario, id};

/// Cases of one run.
const CASES: u64 = 10_000;

#[test]
fn agrees_with_the_model() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    if let Some(seed) = number("EBBGATE_SEED") {
        run(seed, true);
        return;
    }
    let cases = number("EBBGATE_CASES").unwrap_or(CASES);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut reached = Reached::default();
    thread::scope(|scope| {
        let share =
            |first| move || (first..cases).step_by(workers).map(checked).collect::<Vec<_>>();
        let shares: Vec<_> = (0..workers as u64).map(|first| scope.spawn(share(first))).collect();
        for one in shares.into_iter().flat_map(|share| share.join().unwrap()) {
            reached.add(&one);
        }
    });
    println!("{reached:?}");
    // A generator that no longer gets anywhere would agree with anything.
    reached.is_everywhere();
}

fn checked(seed: u64) -> Reached {
    panic::catch_unwind(|| run(seed, false))
        .unwrap_or_else(|_| panic!("the case with EBBGATE_SEED={seed} fails"))
}

/// What the cases have come to.
#[derive(Debug, Default)]
struct Reached {
    refused: u32,
    automatic: u32,
    approved: u32,
    approved_by_substitutes: u32,
    denied: u32,
    denied_later: u32,
    lapsed: u32,
    cancelled: u32,
    escalated: u32,
    claimed: u32,
    withdrawn: u32,
    several_quorums: u32,
}

impl Reached {
    fn counts(&mut self) -> [&mut u32; 12] {
        [
            &mut self.refused,
            &mut self.automatic,
            &mut self.approved,
            &mut self.approved_by_substitutes,
            &mut self.denied,
            &mut self.denied_later,
            &mut self.lapsed,
            &mut self.cancelled,
            &mut self.escalated,
            &mut self.claimed,
            &mut self.withdrawn,
            &mut self.several_quorums,
        ]
    }

    fn add(&mut self, one: &Self) {
        let mut one = Self { ..*one };
        for (sum, count) in self.counts().into_iter().zip(one.counts()) {
            *sum += *count;
        }
    }

    fn is_everywhere(&mut self) {
        let all = self.counts().iter().all(|count| **count > 20);
        assert!(all, "the generator misses something: {self:?}");
    }
}

/// One case: the real request and the model side by side.
fn run(seed: u64, tell: bool) -> Reached {
    let mut scenario = Scenario::of(seed);
    if tell {
        println!("{scenario:#?}");
    }
    let mut reached = Reached::default();
    let mut now = scenario.begin;
    let directory = scenario.directory();
    let people = People { now, ..scenario.people(&directory) };
    let submission = Submission {
        id: RequestId::new(now, [1; 10]),
        requester: &id(0),
        flow: &scenario.flow,
        items: &scenario.items(),
        duration: Some(scenario.duration),
        reason: None,
        ticket: None,
        starts_at: None,
        overdue_review: None,
    };
    let asked = submit(submission, &scenario.policies, &people);
    let mut model = Model::new(&scenario, now);
    let Ok(asked) = asked else {
        assert!(!model.could_be_approved(&scenario), "{:?}", asked.unwrap_err());
        reached.refused += 1;
        return reached;
    };
    let mut request = asked.state;
    if model.is_automatic() {
        assert_eq!(request.state, RequestState::Approved);
        reached.automatic += 1;
        return reached;
    }
    assert!(model.could_be_approved(&scenario));
    reached.several_quorums += u32::from(request.quorums.len() > 1);
    let told = notified(&asked.effects);
    model.settle(&scenario);
    compare(&request, &model, &scenario, now, &told);

    for step in 0..scenario.deeds.len() {
        let deed = scenario.deeds[step].clone();
        if tell {
            println!("{now} {deed:?}");
        }
        match deed {
            Deed::Wait(minutes) => {
                for _ in 0..minutes {
                    now = now.checked_add(MINUTE).unwrap();
                    let changed = model.minute(&scenario);
                    let told = tick(&mut request, &scenario, now, &mut reached);
                    assert!(told.is_empty() || changed, "told without a change");
                    compare(&request, &model, &scenario, now, &told);
                }
                continue;
            }
            Deed::Restart => {
                let json = serde_json::to_string(&request).unwrap();
                let again: AccessRequest = serde_json::from_str(&json).unwrap();
                assert_eq!(again, request);
                request = again;
                continue;
            }
            Deed::Review(who, verdict) => {
                let directory = scenario.directory();
                let people = People { now, ..scenario.people(&directory) };
                let review = Review::new(id(who), verdict, Some("seen".to_owned()), now);
                let real = request.review(review, &people);
                let expected = model.review(&scenario, who, verdict);
                assert_eq!(real.as_ref().err().map(|refusal| refusal.code()), expected, "{deed:?}");
                let Ok(transition) = real else { continue };
                let told = notified(&transition.effects);
                note(&transition.effects, &mut reached);
                request = transition.state;
                if request.state == RequestState::Denied {
                    let others = request.reviews.iter().filter(|r| r.verdict == Verdict::Deny);
                    reached.denied_later += u32::from(others.count() > 1);
                }
                compare(&request, &model, &scenario, now, &told);
            }
            Deed::Claim(who) => {
                let directory = scenario.directory();
                let people = People { now, ..scenario.people(&directory) };
                let real = request.claim(&id(who), &people);
                let expected = model.claim(&scenario, who);
                assert_eq!(real.as_ref().err().map(|refusal| refusal.code()), expected, "{deed:?}");
                let Ok(transition) = real else { continue };
                reached.claimed += 1;
                let told = notified(&transition.effects);
                request = transition.state;
                compare(&request, &model, &scenario, now, &told);
            }
            Deed::Change(change) => {
                scenario.apply(&change, now);
                model.settle(&scenario);
                let told = look(&mut request, &scenario, now, &mut reached);
                compare(&request, &model, &scenario, now, &told);
            }
        }
    }
    finish(&request, &mut reached);
    reached
}

fn finish(request: &AccessRequest, reached: &mut Reached) {
    match request.state {
        RequestState::Approved => {
            reached.approved += 1;
            let lent = request.reviews.iter().any(|review| review.standing.len() > 1);
            reached.approved_by_substitutes += u32::from(lent);
        }
        RequestState::Denied => reached.denied += 1,
        RequestState::Lapsed => reached.lapsed += 1,
        RequestState::Cancelled => reached.cancelled += 1,
        _ => {}
    }
}

/// What the scheduler does each minute: nothing unless something is due.
fn tick(
    request: &mut AccessRequest,
    scenario: &Scenario,
    now: Timestamp,
    reached: &mut Reached,
) -> Vec<(String, BTreeSet<usize>)> {
    let due = request.due_at().is_some_and(|due| due <= now);
    if due { look(request, scenario, now, reached) } else { Vec::new() }
}

fn look(
    request: &mut AccessRequest,
    scenario: &Scenario,
    now: Timestamp,
    reached: &mut Reached,
) -> Vec<(String, BTreeSet<usize>)> {
    let directory = scenario.directory();
    let people = People { now, ..scenario.people(&directory) };
    let Some(transition) = request.advance(&scenario.policies, &people) else { return Vec::new() };
    note(&transition.effects, reached);
    *request = transition.state;
    assert!(request.due_at().is_none_or(|due| due > now), "the scheduler would spin");
    assert!(
        request.advance(&scenario.policies, &people).is_none(),
        "a second look finds more to do"
    );
    notified(&transition.effects)
}

fn note(effects: &[Effect], reached: &mut Reached) {
    for (event, _) in notified(effects) {
        reached.escalated += u32::from(event == "request.escalated");
        reached.withdrawn += u32::from(event == "request.withdrawn");
    }
}

/// Whom the notices are for, without those to the requester.
fn notified(effects: &[Effect]) -> Vec<(String, BTreeSet<usize>)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Notify(notice) => Some(notice),
            _ => None,
        })
        .map(|notice| {
            let to = notice.to.iter().map(scenario::number).collect();
            (notice.event.clone(), to)
        })
        .filter(|(_, to)| *to != BTreeSet::from([0]))
        .collect()
}

/// That the request stands as the model says, that the same people may decide, and that exactly
/// those who are newly needed, or no longer, were told so, once.
fn compare(
    request: &AccessRequest,
    model: &Model,
    scenario: &Scenario,
    now: Timestamp,
    told: &[(String, BTreeSet<usize>)],
) {
    assert_eq!(request.state_name(), model.state(), "{:?}", request.reviews);
    let directory = scenario.directory();
    let people = People { now, ..scenario.people(&directory) };
    for who in 0..scenario::PEOPLE {
        let may = request.case().may_decide(&id(who), &people);
        assert_eq!(may, model.may_decide(scenario, who), "whether {who} may decide");
    }
    let (asks, ends): (Vec<_>, Vec<_>) =
        told.iter().partition(|(event, _)| event != "request.withdrawn");
    let gather = |notices: Vec<&(String, BTreeSet<usize>)>| {
        let mut all = BTreeSet::new();
        for (event, to) in notices {
            for who in to {
                assert!(all.insert(*who), "{who} is told twice: {event}");
            }
        }
        all
    };
    assert_eq!(gather(asks), *model.newly_told(), "who is asked");
    assert_eq!(gather(ends), *model.newly_withdrawn(), "who is no longer needed");
    let standing: BTreeSet<usize> = request
        .told
        .iter()
        .flatten()
        .filter(|told| told.withdrawn_at.is_none())
        .map(|told| scenario::number(&told.who))
        .collect();
    assert_eq!(standing, *model.told(), "who was told and is still waited for or has answered");
    if request.state == RequestState::Pending {
        let waiting: BTreeSet<_> = request
            .case()
            .waiting(&people)
            .into_iter()
            .map(|told| scenario::number(&told.who))
            .collect();
        assert_eq!(waiting, model.waiting(scenario), "whom it waits for");
    }
}
