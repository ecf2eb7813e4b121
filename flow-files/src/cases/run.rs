//! Runs a case: asks, lets people speak, and compares what came out.

use std::collections::BTreeSet;

use ebbgate_domain::{
    Timestamp,
    approval::{Review, Verdict as Said},
    duration::AccessDuration,
    flow::{AccessFlow, Policies},
    ids::{GrantId, RequestId},
    names::{FlowName, PrincipalId},
    offer::choose_flow,
    people::People,
    refusal::Refusal,
    request::{self, AccessRequest, RequestState, Submission},
};

use ebbgate_settings::suggestion;

use super::{Case, Outcome, TestFile, Verdict};

/// Tries all cases of a file out on these flows.
pub fn run(file: &TestFile, policies: &Policies) -> Vec<Verdict> {
    file.cases
        .iter()
        .map(|case| Verdict {
            place: case.place,
            name: case.name.clone(),
            failure: check(case, file, policies).err(),
        })
        .collect()
}

/// What came out of a case, told where it is not what was expected.
fn check(case: &Case, file: &TestFile, policies: &Policies) -> Result<(), String> {
    if let Some(name) = case.flow.as_ref().filter(|name| !policies.flows.contains_key(name)) {
        let hint = suggestion(name.as_str(), policies.flows.keys().map(FlowName::as_str));
        return Err(format!("there is no flow '{name}'{hint}"));
    }
    let came = play(case, file, policies);
    let expected = &case.expected;
    let outcome = match &came {
        Err(_) => Outcome::Refused,
        Ok(request) => match request.state {
            RequestState::Pending => Outcome::Pending,
            RequestState::Approved | RequestState::Active => Outcome::Approved,
            _ => Outcome::Denied,
        },
    };
    if outcome != expected.outcome {
        return Err(format!(
            "expected {}, but it is {outcome}{}",
            expected.outcome,
            why(&came, case, file, policies)
        ));
    }
    match &came {
        Err(refusal) => same("code", expected.code.as_deref(), refusal.code()),
        Ok(request) => {
            same("duration", expected.duration, request.duration)?;
            same("grants", expected.grants, request.items.len())?;
            let Some(wanted) = &expected.approvers else { return Ok(()) };
            let wanted: BTreeSet<_> = wanted.iter().collect();
            let found = approvers(request, case, file, policies);
            if found.iter().collect::<BTreeSet<_>>() == wanted {
                return Ok(());
            }
            let wanted: Vec<_> = wanted.into_iter().collect();
            Err(format!("expected the approvers {}, but they are {}", list(&wanted), list(&found)))
        }
    }
}

fn same<T: PartialEq + std::fmt::Display>(
    what: &str,
    expected: Option<T>,
    found: T,
) -> Result<(), String> {
    match expected {
        Some(expected) if expected != found => {
            Err(format!("expected the {what} {expected}, but it is {found}"))
        }
        _ => Ok(()),
    }
}

/// What is the matter, in words that lead on.
fn why(
    came: &Result<AccessRequest, Refusal>,
    case: &Case,
    file: &TestFile,
    policies: &Policies,
) -> String {
    match came {
        Err(refusal) => format!(": {refusal} ({})", refusal.code()),
        Ok(request) if request.state == RequestState::Pending => {
            let waits = approvers(request, case, file, policies);
            format!(" through {}: it waits for {}", request.flow.name, list(&waits))
        }
        Ok(request) => format!(" through {}", request.flow.name),
    }
}

fn list(people: &[impl std::fmt::Display]) -> String {
    if people.is_empty() {
        return "nobody".to_owned();
    }
    people.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Those who can still decide, when the case looks.
fn approvers(
    request: &AccessRequest,
    case: &Case,
    file: &TestFile,
    policies: &Policies,
) -> Vec<PrincipalId> {
    let people = people(file, policies, later(case.at, case.after));
    let waiting: BTreeSet<_> =
        request.case().waiting(&people).into_iter().map(|told| told.who).collect();
    waiting.into_iter().collect()
}

/// The people of the file at one moment.
fn people<'a>(file: &'a TestFile, policies: &'a Policies, now: Timestamp) -> People<'a> {
    let (schedules, delegations) = (&policies.schedules, &file.delegations);
    People { schedules, delegations, ..People::new(&file.directory, now) }
}

/// Asks and lets people speak; the first rule that says no ends it.
fn play(case: &Case, file: &TestFile, policies: &Policies) -> Result<AccessRequest, Refusal> {
    let resources: Vec<_> = case.resources.iter().filter_map(|id| file.inventory.get(id)).collect();
    let flow = flow(case, file, policies)?;
    let items: Vec<_> = resources
        .iter()
        .zip(0..)
        .map(|(resource, n)| (GrantId::new(case.at, [n; 10]), *resource, case.permission.clone()))
        .collect();
    let wish = Submission {
        id: RequestId::new(case.at, [0; 10]),
        requester: &case.user,
        flow,
        items: &items,
        duration: case.duration,
        reason: case.reason.as_deref(),
        ticket: case.ticket.as_deref(),
        starts_at: None,
        overdue_review: None,
    };
    let mut request = request::submit(wish, policies, &people(file, policies, case.at))?.state;
    let now = later(case.at, case.after);
    let said = [(&case.approve, Said::Approve), (&case.deny, Said::Deny)];
    for (speakers, verdict) in said {
        for by in speakers {
            let comment = Some("as the case says".to_owned());
            let review = Review::new(by.clone(), verdict, comment, now);
            request = request.review(review, &people(file, policies, now))?.state;
        }
    }
    Ok(request)
}

/// The flow that the case names, or the only one that fits, as the broker chooses it.
fn flow<'a>(
    case: &Case,
    file: &TestFile,
    policies: &'a Policies,
) -> Result<&'a AccessFlow, Refusal> {
    if let Some(flow) = case.flow.as_ref().and_then(|name| policies.flows.get(name)) {
        return Ok(flow);
    }
    let wanted: Vec<_> = case
        .resources
        .iter()
        .filter_map(|id| Some((file.inventory.get(id)?, case.permission.as_ref())))
        .collect();
    choose_flow(&case.user, &wanted, policies, &file.directory)
}

fn later(at: Timestamp, after: Option<AccessDuration>) -> Timestamp {
    after.map_or(at, |after| after.after(at))
}
