use std::{collections::BTreeMap, sync::Arc};

use rstest::rstest;

use super::*;
use crate::{
    flow::{AccessFlow, Activation, ApprovalPolicy},
    guardrail::{GuardrailSet, Guardrails},
    inventory::Resource,
    request::time_tests::{
        active, approve, at, dba, directory, flow, id, notices, planned, policies,
    },
};

/// Forbids what a test says.
#[derive(Debug)]
struct Rule(fn(&Wanted<'_>) -> bool);

impl Guardrails for Rule {
    fn forbids(&self, wanted: &Wanted<'_>) -> Option<Forbidden> {
        let advice = Some("ask security".to_owned());
        (self.0)(wanted).then(|| Forbidden { guardrail: "rule".to_owned(), advice })
    }
}

fn under(rule: fn(&Wanted<'_>) -> bool, flow: &AccessFlow) -> Policies {
    Policies { guardrails: GuardrailSet::new(Arc::new(Rule(rule))), ..policies(flow) }
}

/// Whether `rule` lets this step be taken now.
fn lets(
    rule: fn(&Wanted<'_>) -> bool,
    before: Option<&AccessRequest>,
    step: &Transition<AccessRequest>,
    now: i64,
) -> bool {
    let people = directory();
    let people = People::new(&people, at(now));
    let guard = under(rule, &step.state.flow).guard(before, step, &people, &Inventory::default());
    let Err(refusal) = guard else { return true };
    assert_eq!(refusal.code(), "forbidden_by_guardrail");
    assert_eq!(refusal.to_string(), "the guardrail 'rule' forbids this: ask security");
    false
}

fn asked(flow: AccessFlow) -> AccessRequest {
    let mut request = active(flow);
    request.state = RequestState::Pending;
    request.activated_at = None;
    request.reviews.clear();
    request
}

#[rstest]
#[case::asking_alone(Activation::AtApproval, dba(), &[Stage::Submit])]
#[case::what_nobody_approves_begins_at_once(
    Activation::AtApproval, ApprovalPolicy::Automatic,
    &[Stage::Submit, Stage::Approve, Stage::Activate]
)]
#[case::what_waits_for_its_requester(
    Activation::ByRequester { within: "8h".parse().unwrap() }, ApprovalPolicy::Automatic,
    &[Stage::Submit, Stage::Approve]
)]
fn what_is_asked_when_a_request_is_made(
    #[case] activation: Activation,
    #[case] approval: ApprovalPolicy,
    #[case] stages: &[Stage],
) {
    let mut request = asked(flow(activation, approval));
    request.quorums = asked(flow(Activation::AtApproval, dba())).quorums;
    let step = match stages.len() {
        1 => Transition::to(request),
        _ => request.approved(BTreeSet::new(), &People::new(&directory(), at(0))),
    };
    let seen: Vec<_> = deeds(None, &step).iter().map(|deed| deed.stage).collect();
    assert_eq!(seen, stages);
}

#[test]
fn an_approval_is_put_to_them_with_whose_it_is() {
    let request = asked(flow(Activation::AtApproval, dba()));
    let step = approve(&request, 60);
    assert_eq!(planned(&step).len(), 1);
    let by = |wanted: &Wanted<'_>| wanted.approved_by.contains(&id("ben"));
    assert!(!lets(|wanted| wanted.stage == Stage::Approve, Some(&request), &step, 60));
    assert!(!lets(|wanted| wanted.stage == Stage::Activate, Some(&request), &step, 60));
    assert!(lets(|wanted| wanted.stage == Stage::Submit, Some(&request), &step, 60));
    assert!(lets(|wanted| wanted.approved_by.is_empty(), Some(&request), &step, 60));
    let people = directory();
    let people = People::new(&people, at(60));
    let policies =
        Policies { guardrails: GuardrailSet::new(Arc::new(Rule(by))), ..policies(&request.flow) };
    policies.guard(Some(&request), &step, &people, &Inventory::default()).unwrap_err();
}

#[test]
fn tags_are_those_of_now() {
    let request = asked(flow(Activation::AtApproval, dba()));
    let step = approve(&request, 60);
    let rule = |wanted: &Wanted<'_>| wanted.resource.tags.contains_key("pii");
    assert!(lets(rule, Some(&request), &step, 60));
    let tags = BTreeMap::from([("pii".to_owned(), "yes".to_owned())]);
    let inventory = Inventory::new([Resource { tags, ..request.items[0].resource.clone() }]);
    let people = directory();
    let people = People::new(&people, at(60));
    let policies = under(rule, &request.flow);
    policies.guard(Some(&request), &step, &people, &inventory).unwrap_err();
}

#[test]
fn more_time_is_judged_by_the_time_in_all() {
    let request = active(flow(Activation::AtApproval, dba()));
    let people = directory();
    let step = request
        .extend(
            &id("ana"),
            "1h".parse().unwrap(),
            Some("still busy"),
            &People::new(&people, at(60)),
        )
        .unwrap();
    assert!(!lets(
        |wanted| wanted.stage == Stage::Submit && wanted.duration > "1h".parse().unwrap(),
        Some(&request),
        &step,
        60,
    ));
    assert!(lets(|wanted| wanted.stage != Stage::Submit, Some(&request), &step, 60));
    let granted = approve(&step.state, 120);
    for stage in [Stage::Approve, Stage::Activate] {
        let seen = deeds(Some(&step.state), &granted);
        assert!(seen.iter().any(|deed| deed.stage == stage && deed.reviews.len() == 1));
    }
    assert!(!lets(|wanted| wanted.stage == Stage::Activate, Some(&step.state), &granted, 120));
    // It is given once: what happens later is not more time.
    let later = Transition::to(granted.state.clone());
    assert!(deeds(Some(&granted.state), &later).is_empty());
}

#[test]
fn what_the_broker_would_begin_by_itself_ends_instead() {
    let mut flow = flow(Activation::AtApproval, dba());
    flow.notify = vec!["channel:ops".parse().unwrap()];
    let request = AccessRequest { starts_at: Some(at(600)), ..asked(flow) };
    let waiting = approve(&request, 60).state;
    let people = directory();
    let people = People::new(&people, at(600));
    let open = policies(&waiting.flow);
    let step = waiting.advance(&open, &people).unwrap();
    assert_eq!(planned(&step).len(), 1);
    let inventory = Inventory::default();
    assert_eq!(open.guarded(&waiting, step.clone(), &people, &inventory), step);

    let shut = under(|wanted| wanted.stage == Stage::Activate, &waiting.flow);
    let barred = shut.guarded(&waiting, step, &people, &inventory);
    assert_eq!(barred.state.state, RequestState::Cancelled);
    assert!(planned(&barred).is_empty());
    assert_eq!(barred.events[0].details["guardrail"], "rule");
    assert!(notices(&barred)[0].text.contains("the guardrail 'rule' forbids this"));
    assert!(barred.state.is_over(), "and is not tried again");
}

#[test]
fn a_request_that_would_be_approved_without_anybody_acting_is_denied() {
    let request = asked(flow(Activation::AtApproval, dba()));
    let people = directory();
    let people = People::new(&people, at(60));
    let step = approve(&request, 60);
    let shut = under(|wanted| wanted.stage == Stage::Approve, &request.flow);
    let barred = shut.guarded(&request, step, &people, &Inventory::default());
    assert_eq!(barred.state.state, RequestState::Denied);
}

#[test]
fn more_time_that_is_forbidden_leaves_access_as_it_was() {
    let request = active(flow(Activation::AtApproval, dba()));
    let people = directory();
    let people = People::new(&people, at(60));
    let more = "1h".parse().unwrap();
    let asked = request.extend(&id("ana"), more, Some("still busy"), &people).unwrap().state;
    let granted = approve(&asked, 60);
    let shut = under(|wanted| wanted.stage == Stage::Activate, &request.flow);
    let barred = shut.guarded(&asked, granted, &people, &Inventory::default());
    assert_eq!(barred.state.state, RequestState::Active);
    assert_eq!(barred.state.duration, request.duration);
    assert_eq!(barred.state.extensions[0].state, ExtensionState::Denied);
    assert!(!barred.effects.iter().any(|effect| matches!(effect, Effect::Extend(_))));
}
