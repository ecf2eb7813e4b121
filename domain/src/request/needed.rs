//! Which approval a request needs: its flow's rules, looked at item by item.

use super::RequestItem;
use crate::{
    approval::{Case, Quorum, Subjects},
    condition::Asked,
    duration::AccessDuration,
    flow::{AccessFlow, ApprovalPolicy},
    names::PrincipalId,
    people::People,
    refusal::Refusal,
};

/// The approval that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// All of these; none where the policy is automatic for every item.
    pub quorums: Vec<Quorum>,
    /// Within this time; the shortest of the policies'.
    pub timeout: Option<AccessDuration>,
    /// Which rule decided for each item, in words; none where the flow has no rules.
    pub rules: Vec<String>,
}

/// What these items need when they are asked for so long, now. Those that need the same of the
/// same people need it once.
///
/// # Errors
/// [`Refusal::ApprovalUnsatisfiable`] where too few people could approve.
pub fn approval_needed(
    flow: &AccessFlow,
    requester: &PrincipalId,
    items: &[RequestItem],
    duration: AccessDuration,
    people: &People<'_>,
) -> Result<Needed, Refusal> {
    let mut needed = Needed { quorums: Vec::new(), timeout: None, rules: Vec::new() };
    for item in items {
        let asked = Asked {
            duration,
            permission: &item.permission,
            tags: &item.resource.tags,
            at: people.now,
        };
        let (rule, policy) = flow.policy(asked);
        if !flow.rules.is_empty() {
            let rule = rule.map_or("no rule fits".to_owned(), |rule| {
                format!("rule {}: {}", rule + 1, flow.rules[rule].when)
            });
            needed.rules.push(format!("{}: {rule}", item.resource.id));
        }
        let ApprovalPolicy::Groups { between, groups, request_timeout, distinct, claim } = policy
        else {
            continue;
        };
        let owner = item.resource.owner();
        let subjects = Subjects { requester, owner: owner.as_ref() };
        let mut quorum = Quorum::freeze(*between, groups, subjects, people);
        quorum.distinct = *distinct;
        quorum.claim = *claim;
        let shortest = needed.timeout.map_or(*request_timeout, |other| other.min(*request_timeout));
        needed.timeout = Some(shortest);
        match needed.quorums.iter_mut().find(|other| other.asks_the_same(&quorum)) {
            Some(same) => same.items.push(item.grant),
            None => {
                quorum.items.push(item.grant);
                needed.quorums.push(quorum);
            }
        }
    }
    let case =
        Case { requester, quorums: &needed.quorums, reviews: &[], claims: &[], since: people.now };
    let lacks = case.lack(people);
    if !lacks.is_empty() {
        return Err(Refusal::ApprovalUnsatisfiable { flow: flow.name.clone(), lacks });
    }
    Ok(needed)
}
