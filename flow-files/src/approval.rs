//! `approval`: who must approve, perhaps by rules.

use ebbgate_domain::{
    approver::Approver,
    duration::AccessDuration,
    flow::{
        ApprovalPolicy, ApprovalRule, ApproverGroup, EscalationStep, Need, Voices, default_claim,
    },
    principal::Subject,
};
use ebbgate_settings::{MapReader, Mistakes, Node};

use crate::{References, condition};

/// How long a request waits for a decision where the flow says nothing: a day, in seconds.
const DEFAULT_REQUEST_TIMEOUT: u32 = 86_400;

/// What a flow says of approval.
pub(crate) struct Approval {
    /// Where a condition holds.
    pub(crate) rules: Vec<ApprovalRule>,
    /// Where none does.
    pub(crate) policy: ApprovalPolicy,
}

/// Reads `automatic`, a map with approver groups, or a map with rules.
pub(crate) fn read(
    node: Node,
    mistakes: &mut Mistakes,
    references: &mut References,
) -> Option<Approval> {
    if !node.is_map() {
        let policy = policy(node, mistakes, references)?;
        return Some(Approval { rules: Vec::new(), policy });
    }
    let mut map = node.map(mistakes)?;
    let Some(rules) = map.take("rules") else {
        let policy = groups(map, references)?;
        return Some(Approval { rules: Vec::new(), policy });
    };
    let approval = ordered(rules, map.mistakes, references);
    map.finish();
    approval
}

/// The first rule that fits decides; the last one fits always, so that none is left without.
fn ordered(node: Node, mistakes: &mut Mistakes, references: &mut References) -> Option<Approval> {
    let place = node.place;
    let mut nodes = node.list();
    let Some(last) = nodes.pop() else {
        mistakes.add(place, "no rules: write at least one, without 'when'");
        return None;
    };
    let rules: Vec<_> = nodes
        .into_iter()
        .map(|node| {
            let place = node.place;
            let (when, policy) = rule(node, mistakes, references)?;
            if when.as_ref().is_none_or(condition::is_always) {
                mistakes.add(place, "this rule holds always, so that those after it never do");
            }
            Some(ApprovalRule { when: when.unwrap_or_default(), policy })
        })
        .collect();
    let place = last.place;
    let (when, policy) = rule(last, mistakes, references)?;
    if when.is_some() {
        mistakes.add(place, "the last rule must hold always: leave out its 'when'");
    }
    Some(Approval { rules: rules.into_iter().collect::<Option<_>>()?, policy })
}

type Rule = (Option<ebbgate_domain::condition::Condition>, ApprovalPolicy);

fn rule(node: Node, mistakes: &mut Mistakes, references: &mut References) -> Option<Rule> {
    let mut map = node.map(mistakes)?;
    let when = match map.take("when") {
        Some(node) => Some(condition::read(node, map.mistakes, references)),
        None => None,
    };
    let policy = map.need("approval").and_then(|node| policy(node, map.mistakes, references));
    map.finish();
    // A condition that cannot be read is not one that holds always.
    let when = match when {
        Some(when) => Some(when?),
        None => None,
    };
    Some((when, policy?))
}

fn policy(
    node: Node,
    mistakes: &mut Mistakes,
    references: &mut References,
) -> Option<ApprovalPolicy> {
    if node.text() == Some("automatic") {
        return Some(ApprovalPolicy::Automatic);
    }
    if !node.is_map() {
        mistakes.add(node.place, "write 'automatic' or a map with approver groups");
        return None;
    }
    groups(node.map(mistakes)?, references)
}

fn groups(mut map: MapReader<'_>, references: &mut References) -> Option<ApprovalPolicy> {
    let between = map.take("between").map_or(Some(Need::All), |node| need(&node, map.mistakes));
    let place = map.place;
    let mut groups: Vec<ApproverGroup> = Vec::new();
    for node in map.need("groups").map_or_else(Vec::new, Node::list) {
        let place = node.place;
        let Some(group) = approver_group(node, map.mistakes, references) else { continue };
        if groups.iter().any(|other| other.name == group.name) {
            map.mistakes.add(place, format!("two groups are called '{}'", group.name));
        }
        groups.push(group);
    }
    if groups.is_empty() {
        map.mistakes.add(place, "no approver groups: nobody could approve");
    }
    let request_timeout = match map.take("request_timeout") {
        Some(node) => node.parse(map.mistakes),
        None => AccessDuration::from_seconds(DEFAULT_REQUEST_TIMEOUT),
    };
    let distinct = map.take("distinct").map_or(Some(true), |node| node.parse(map.mistakes));
    let claim = map.take("claim").map_or(Some(default_claim()), |node| node.parse(map.mistakes));
    map.finish();
    Some(ApprovalPolicy::Groups {
        between: between?,
        groups,
        request_timeout: request_timeout?,
        distinct: distinct?,
        claim: claim?,
    })
}

fn approver_group(
    node: Node,
    mistakes: &mut Mistakes,
    references: &mut References,
) -> Option<ApproverGroup> {
    let mut map = node.map(mistakes)?;
    let name: Option<String> = map.required("name");
    let at = map.take("need");
    let need_place = at.as_ref().map_or(map.place, |node| node.place);
    let voices = at.map_or(Some(Voices::Any), |node| voices(&node, map.mistakes));
    let place = map.place;
    let of = approvers(map.take("of"), map.mistakes, references);
    if of.is_empty() {
        map.mistakes.add(place, "the group has no members: name some under 'of'");
    }
    let deny = map.take("deny").map_or(Some(Need::Any), |node| need(&node, map.mistakes));
    let escalate: Vec<_> = map
        .take("escalate")
        .map_or_else(Vec::new, Node::list)
        .into_iter()
        .map(|node| step(node, map.mistakes, references))
        .collect();
    map.finish();
    let escalate: Vec<_> = escalate.into_iter().collect::<Option<_>>()?;
    let voices = voices?;
    if let Voices::AtLeast(count) = voices {
        check_count(count, &of, &escalate)
            .map_or_else(|message| mistakes.add(need_place, message), |()| {});
    }
    Some(ApproverGroup { name: name?, need: voices, of, deny: deny?, escalate })
}

/// A group that lists single people can be counted before anybody asks.
fn check_count(count: u32, of: &[Approver], steps: &[EscalationStep]) -> Result<(), String> {
    let all: Vec<_> = of.iter().chain(steps.iter().flat_map(|step| &step.to)).collect();
    let counted = all.iter().all(|approver| {
        matches!(approver, Approver::Subject(Subject::User(_)) | Approver::Manager)
    });
    let people: std::collections::BTreeSet<_> = all.into_iter().collect();
    if counted && (count as usize) > people.len() {
        let have = people.len();
        return Err(format!("{count} approvals are needed and {have} people are listed"));
    }
    Ok(())
}

fn step(
    node: Node,
    mistakes: &mut Mistakes,
    references: &mut References,
) -> Option<EscalationStep> {
    let mut map = node.map(mistakes)?;
    let after = map.required("after");
    let place = map.place;
    let to = approvers(map.take("to"), map.mistakes, references);
    if to.is_empty() {
        map.mistakes.add(place, "the step asks nobody: name some under 'to'");
    }
    map.finish();
    Some(EscalationStep { after: after?, to })
}

/// Approvers; the schedules among them are checked when all files are read.
fn approvers(
    node: Option<Node>,
    mistakes: &mut Mistakes,
    references: &mut References,
) -> Vec<Approver> {
    let mut found = Vec::new();
    for node in node.map_or_else(Vec::new, Node::list) {
        let Some(approver) = node.parse::<Approver>(mistakes) else { continue };
        if let Approver::OnCall(schedule) = &approver {
            references.schedules.push((schedule.clone(), node.place));
        }
        found.push(approver);
    }
    found
}

fn need(node: &Node, mistakes: &mut Mistakes) -> Option<Need> {
    match node.parse::<String>(mistakes)?.as_str() {
        "any" => Some(Need::Any),
        "all" => Some(Need::All),
        other => {
            mistakes.add(node.place, format!("'{other}' is neither 'any' nor 'all'"));
            None
        }
    }
}

fn voices(node: &Node, mistakes: &mut Mistakes) -> Option<Voices> {
    let text: String = node.parse(mistakes)?;
    match (text.as_str(), text.parse::<u32>()) {
        ("any", _) => Some(Voices::Any),
        ("all", _) => Some(Voices::All),
        (_, Ok(count)) if count > 0 => Some(Voices::AtLeast(count)),
        (other, _) => {
            let message = format!("'{other}' is neither 'any' nor 'all' nor a number from 1 on");
            mistakes.add(node.place, message);
            None
        }
    }
}
