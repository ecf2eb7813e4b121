//! Why and why not: one engine that looks at every rule of every flow and tells the facts that each
//! used; and its reverse, who can reach a resource.
//!
//! What comes out is never another opinion than that of [`request::submit`]: whether a way is open,
//! and who could approve, is what a request that is made and thrown away says. The tree beside it
//! says why.

mod rules;
mod stuck;

use std::collections::BTreeSet;

use crate::{
    approval::Tally,
    duration::AccessDuration,
    flow::{AccessFlow, JustificationRule, Policies},
    ids::{GrantId, RequestId},
    inventory::Resource,
    names::{FlowName, PermissionName, PrincipalId},
    people::People,
    refusal::Refusal,
    request::{self, Submission},
};

pub use stuck::{Obstacle, stuck};

/// One rule, whether it holds, and the facts that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule: `requesters`, `scope`, `tag`, `duration` … Stable, for programs.
    pub rule: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What it asks for and what was found, in words.
    pub fact: String,
    /// The rules that it consists of.
    pub parts: Vec<Finding>,
}

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Who.
    pub person: &'a PrincipalId,
    /// What for.
    pub resource: &'a Resource,
    /// Which level of access; any where none is named.
    pub permission: Option<&'a PermissionName>,
    /// For how long; each flow's default where nothing is said.
    pub duration: Option<AccessDuration>,
    /// An emergency of this person whose review is overdue, so that they have no other.
    pub overdue_review: Option<RequestId>,
}

/// The answer, flow by flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Whether the person is known and may act.
    pub person: Finding,
    /// Every flow that leads to the resource or admits the person; the open ones first.
    pub flows: Vec<FlowExplanation>,
}

/// What one flow says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowExplanation {
    /// The flow.
    pub flow: FlowName,
    /// Its version.
    pub version: String,
    /// Every rule of it.
    pub rules: Vec<Finding>,
    /// What asking would lead to, for each permission that is meant and on offer.
    pub ways: Vec<Way>,
    /// What must be said, in words; none where nothing must.
    pub must_say: Option<String>,
}

/// What asking for one permission would lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The permission.
    pub permission: PermissionName,
    /// Who decides, or the rule that says no.
    pub outcome: Result<Approval, Refusal>,
}

/// Who would decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// For how long access would be.
    pub duration: AccessDuration,
    /// The approver groups with whom each would wait for; none where nobody needs to agree.
    pub tallies: Vec<Tally>,
}

/// One way in which somebody can reach a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Who.
    pub person: PrincipalId,
    /// Through which flow.
    pub flow: FlowName,
    /// With which permission, and with whose approval.
    pub way: Way,
}

impl Explanation {
    /// Whether any flow leads there.
    pub fn is_open(&self) -> bool {
        self.flows.iter().any(FlowExplanation::is_open)
    }
}

impl FlowExplanation {
    /// Whether asking through this flow could lead to access.
    pub fn is_open(&self) -> bool {
        self.ways.iter().any(|way| way.outcome.is_ok())
    }
}

/// Why, or why not.
pub fn explain(question: Question<'_>, policies: &Policies, people: &People<'_>) -> Explanation {
    let person = rules::person(question.person, people.directory);
    let concerns = |flow: &&AccessFlow| {
        flow.admits(question.person, people.directory)
            || !policies.permissions(flow, question.resource).is_empty()
    };
    let mut flows: Vec<_> = policies
        .flows
        .values()
        .filter(concerns)
        .map(|flow| explain_flow(flow, question, policies, people))
        .collect();
    flows.sort_by_key(|flow| !flow.is_open());
    Explanation { person, flows }
}

/// What one flow says.
pub fn explain_flow(
    flow: &AccessFlow,
    question: Question<'_>,
    policies: &Policies,
    people: &People<'_>,
) -> FlowExplanation {
    let offered = policies.permissions(flow, question.resource);
    let meant: Vec<_> = match question.permission {
        Some(permission) => vec![permission.clone()],
        None => offered,
    };
    let ways: Vec<_> = meant
        .into_iter()
        .map(|permission| way(flow, question, permission, policies, people))
        .collect();
    let mut rules = vec![
        rules::requesters(flow, question.person, people.directory),
        rules::access(flow, question, policies),
        rules::duration(flow, question),
    ];
    rules.extend(rules::approval(flow, question, &ways, people));
    FlowExplanation {
        flow: flow.name.clone(),
        version: flow.version(),
        rules,
        ways,
        must_say: must_say(&flow.justification),
    }
}

/// Everybody who can reach a resource now, flow by flow, in the order of their names.
pub fn reach(
    resource: &Resource,
    permission: Option<&PermissionName>,
    policies: &Policies,
    people: &People<'_>,
) -> Vec<Reach> {
    let mut found = Vec::new();
    for flow in policies.flows.values() {
        let offered = policies.permissions(flow, resource);
        if offered.is_empty() {
            continue;
        }
        let requesters: BTreeSet<_> = people
            .directory
            .resolve(&flow.requesters)
            .into_iter()
            .filter(|person| flow.admits(person, people.directory))
            .collect();
        for person in requesters {
            let question = Question {
                person: &person,
                resource,
                permission,
                duration: None,
                overdue_review: None,
            };
            let meant =
                offered.iter().filter(|name| permission.is_none_or(|wanted| wanted == *name));
            for permission in meant {
                let way = way(flow, question, permission.clone(), policies, people);
                if way.outcome.is_ok() {
                    found.push(Reach { person: person.clone(), flow: flow.name.clone(), way });
                }
            }
        }
    }
    found.sort_by(|a, b| (&a.person, &a.flow).cmp(&(&b.person, &b.flow)));
    found
}

/// Asks, and throws the request away. What must be said is left out of it: that is up to the
/// person, not to the rules.
fn way(
    flow: &AccessFlow,
    question: Question<'_>,
    permission: PermissionName,
    policies: &Policies,
    people: &People<'_>,
) -> Way {
    let silent = AccessFlow { justification: JustificationRule::default(), ..flow.clone() };
    let nobody = [0; 10];
    let items = [(GrantId::new(people.now, nobody), question.resource, Some(permission.clone()))];
    let wish = Submission {
        id: RequestId::new(people.now, nobody),
        requester: question.person,
        flow: &silent,
        items: &items,
        duration: question.duration,
        reason: Some("to see what would happen"),
        ticket: None,
        starts_at: None,
        overdue_review: question.overdue_review,
    };
    let outcome = request::submit(wish, policies, people).map(|asked| Approval {
        duration: asked.state.duration,
        tallies: asked.state.tallies(people),
    });
    Way { permission, outcome }
}

fn must_say(rule: &JustificationRule) -> Option<String> {
    use crate::terms::Saying;

    let reason = match (rule.mode, rule.min_length) {
        (Saying::Required, 0) => Some("a reason".to_owned()),
        (Saying::Required, least) => Some(format!("a reason of at least {least} characters")),
        _ => None,
    };
    let ticket = rule.ticket.as_ref().map(|pattern| format!("a ticket that matches {pattern}"));
    let parts: Vec<_> = reason.into_iter().chain(ticket).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

#[cfg(test)]
mod tests;
