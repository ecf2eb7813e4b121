//! Each rule as a finding: what it asks for, what was found, whether that is enough.

use std::fmt::Display;

use super::{Finding, Question, Way};
use crate::{
    condition::Asked,
    flow::{Access, AccessFlow, Policies, ScopeRef},
    inventory::Resource,
    names::{IntegrationName, PrincipalId},
    people::People,
    principal::{Directory, Subject},
    scope::{Scope, Selector, glob},
    tags::TagRule,
};

impl Finding {
    fn fact(rule: &'static str, holds: bool, fact: impl Into<String>) -> Self {
        Self { rule, holds, fact: fact.into(), parts: Vec::new() }
    }

    /// Holds where all parts do.
    fn all(rule: &'static str, fact: impl Into<String>, parts: Vec<Self>) -> Self {
        let holds = parts.iter().all(|part| part.holds);
        Self { rule, holds, fact: fact.into(), parts }
    }

    /// Holds where one part does.
    fn any(rule: &'static str, fact: impl Into<String>, parts: Vec<Self>) -> Self {
        let holds = parts.iter().any(|part| part.holds);
        Self { rule, holds, fact: fact.into(), parts }
    }

    /// Holds where no part does.
    fn none(rule: &'static str, fact: impl Into<String>, parts: Vec<Self>) -> Self {
        let holds = !parts.iter().any(|part| part.holds);
        Self { rule, holds, fact: fact.into(), parts }
    }
}

/// Whether the person is known and may act.
pub(super) fn person(person: &PrincipalId, directory: &Directory) -> Finding {
    let Some(known) = directory.all().find(|known| known.id == *person) else {
        return Finding::fact("person", false, format!("nobody is known as {person}"));
    };
    if known.disabled {
        return Finding::fact("person", false, format!("{person} is disabled"));
    }
    Finding::fact("person", true, format!("{person} is in {}", groups_of(person, directory)))
}

fn groups_of(person: &PrincipalId, directory: &Directory) -> String {
    let groups = directory.active(person).into_iter().flat_map(|known| &known.groups);
    let groups: Vec<_> = groups.map(ToString::to_string).collect();
    if groups.is_empty() { "no group".to_owned() } else { groups.join(", ") }
}

/// Whether the flow admits the person.
pub(super) fn requesters(
    flow: &AccessFlow,
    person: &PrincipalId,
    directory: &Directory,
) -> Finding {
    let look = |rule: &'static str, subjects: &[Subject]| -> Vec<_> {
        subjects.iter().map(|subject| is_meant(rule, subject, person, directory)).collect()
    };
    let listed =
        Finding::any("requester", "is one of the requesters", look("subject", &flow.requesters));
    let mut parts = vec![listed];
    if !flow.except.is_empty() {
        let except = look("subject", &flow.except);
        parts.push(Finding::none("exception", "is not one of the exceptions", except));
    }
    Finding::all("requesters", format!("{person} may ask"), parts)
}

fn is_meant(
    rule: &'static str,
    subject: &Subject,
    person: &PrincipalId,
    directory: &Directory,
) -> Finding {
    let holds = directory.matches(subject, person);
    let fact = match subject {
        Subject::User(user) if user == person => format!("{subject} is named"),
        Subject::User(_) => format!("{subject} is somebody else"),
        Subject::Group(_) => {
            format!("{subject}: {person} is in {}", groups_of(person, directory))
        }
        Subject::Everyone => "everyone who is known".to_owned(),
    };
    Finding::fact(rule, holds, fact)
}

/// Whether the flow offers what is asked for on the resource.
pub(super) fn access(flow: &AccessFlow, question: Question<'_>, policies: &Policies) -> Finding {
    let parts = flow.access.iter().map(|access| one_access(access, question, policies)).collect();
    let what = question.permission.map_or_else(|| "access".to_owned(), ToString::to_string);
    Finding::any("access", format!("{what} on {} is offered", question.resource.id), parts)
}

fn one_access(access: &Access, question: Question<'_>, policies: &Policies) -> Finding {
    let resource = question.resource;
    let known: Vec<_> = access
        .permissions
        .iter()
        .filter(|permission| policies.exists(permission, resource.kind))
        .collect();
    let offered = list(&known);
    let permission = match question.permission {
        Some(wanted) => Finding::fact(
            "permission",
            known.contains(&wanted),
            format!("{wanted} is wanted; on offer for {}: {offered}", resource.kind),
        ),
        None => Finding::fact(
            "permission",
            !known.is_empty(),
            format!("on offer for {}: {offered}", resource.kind),
        ),
    };
    let scope = scope(&access.scope, resource, policies);
    Finding::all(
        "offer",
        format!("{}: {}", access.scope, list(&access.permissions)),
        vec![scope, permission],
    )
}

fn scope(scope: &ScopeRef, resource: &Resource, policies: &Policies) -> Finding {
    match scope {
        ScopeRef::Named(name) => match policies.scopes.get(name) {
            Some(scope) => one_scope(scope, resource),
            None => Finding::fact("scope", false, format!("there is no scope {name}")),
        },
        ScopeRef::Everything { everything } => Finding::fact(
            "scope",
            *everything == resource.integration,
            format!("everything in {everything}; it is in {}", resource.integration),
        ),
    }
}

/// Why a scope contains a resource, or not.
pub(super) fn one_scope(scope: &Scope, resource: &Resource) -> Finding {
    let mut parts = selector(&scope.selector, resource);
    if !scope.except.is_empty() {
        let except = scope
            .except
            .iter()
            .map(|except| Finding::all("except", "fits", selector(except, resource)))
            .collect();
        parts.push(Finding::none("exceptions", "fits none of the exceptions", except));
    }
    Finding::all("scope", format!("{} is in the scope {}", resource.id, scope.name), parts)
}

fn selector(selector: &Selector, resource: &Resource) -> Vec<Finding> {
    let mut parts = Vec::new();
    if !selector.integrations.is_empty() {
        let holds = selector.integrations.contains(&resource.integration);
        let wanted: Vec<_> = selector.integrations.iter().map(IntegrationName::as_str).collect();
        parts.push(compared("integration", holds, &wanted, &resource.integration));
    }
    if !selector.kinds.is_empty() {
        let holds = selector.kinds.contains(&resource.kind);
        let wanted: Vec<_> = selector.kinds.iter().map(|kind| kind.as_str()).collect();
        parts.push(compared("type", holds, &wanted, &resource.kind));
    }
    if !selector.patterns.is_empty() {
        let holds = selector.patterns.iter().any(|pattern| glob(pattern, &resource.native));
        let wanted: Vec<_> = selector.patterns.iter().map(String::as_str).collect();
        parts.push(compared("name", holds, &wanted, &resource.native));
    }
    for (key, rule) in &selector.tags.0 {
        let value = resource.tags.get(key).map(String::as_str);
        let wanted = match rule {
            TagRule::OneOf(values) => values.join(" or "),
            TagRule::NoneOf { values } => format!("not {}", values.join(" or ")),
            TagRule::Present(true) => "there".to_owned(),
            TagRule::Present(false) => "absent".to_owned(),
        };
        let found = value.unwrap_or("absent");
        let fact = format!("{key}: wanted {wanted}; it is {found}");
        parts.push(Finding::fact("tag", rule.fits(value), fact));
    }
    parts
}

fn compared(rule: &'static str, holds: bool, wanted: &[&str], found: &impl Display) -> Finding {
    Finding::fact(rule, holds, format!("wanted {}; it is {found}", wanted.join(" or ")))
}

/// Whether the flow lasts as long as is asked for.
pub(super) fn duration(flow: &AccessFlow, question: Question<'_>) -> Finding {
    let rule = &flow.duration;
    let longest = question.permission.map_or(rule.max, |permission| rule.longest([permission]));
    match question.duration {
        Some(asked) => Finding::fact(
            "duration",
            asked <= longest,
            format!("{asked} is asked for; at most {longest}"),
        ),
        None => Finding::fact(
            "duration",
            true,
            format!("{} where nothing is said; at most {longest}", rule.default.min(longest)),
        ),
    }
}

/// Who would have to agree, for each permission, and which of the flow's rules says so.
pub(super) fn approval(
    flow: &AccessFlow,
    question: Question<'_>,
    ways: &[Way],
    people: &People<'_>,
) -> Vec<Finding> {
    ways.iter()
        .filter_map(|way| {
            let mut parts = which_rule(flow, question, way, people);
            let (holds, fact) = match &way.outcome {
                Ok(approval) if approval.tallies.is_empty() => {
                    (true, format!("{}: nobody needs to agree", way.permission))
                }
                Ok(approval) => {
                    let groups = approval.tallies.iter().flat_map(|tally| &tally.groups);
                    parts.extend(groups.map(|group| {
                        let who = format!("{}: {}", group.name, list(&group.waiting_for));
                        Finding::fact("group", !group.waiting_for.is_empty(), who)
                    }));
                    (true, format!("{}: these could agree", way.permission))
                }
                Err(refusal) if refusal.code() == "approval_unsatisfiable" => {
                    (false, refusal.to_string())
                }
                Err(_) => return None,
            };
            Some(Finding { rule: "approval", holds, fact, parts })
        })
        .collect()
}

/// The flow's approval rules up to the one that decides; none where it has only one policy.
fn which_rule(
    flow: &AccessFlow,
    question: Question<'_>,
    way: &Way,
    people: &People<'_>,
) -> Vec<Finding> {
    let asked = Asked {
        duration: question.duration.unwrap_or(flow.duration.default),
        permission: &way.permission,
        tags: &question.resource.tags,
        at: people.now,
    };
    let asked = match &way.outcome {
        Ok(approval) => Asked { duration: approval.duration, ..asked },
        Err(_) => asked,
    };
    let decides = flow.policy(asked).0;
    let looked_at = decides.map_or(flow.rules.len(), |rule| rule + 1);
    let rules = flow.rules.iter().take(looked_at).enumerate();
    rules
        .map(|(index, rule)| {
            let fact = format!("rule {}: {}", index + 1, rule.when);
            Finding::fact("when", decides == Some(index), fact)
        })
        .collect()
}

fn list<T: Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
