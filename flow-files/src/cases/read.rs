//! Reads a test file.

use std::path::Path;

use ebbgate_domain::{
    Timestamp,
    delegation::Delegation,
    ids::DelegationId,
    inventory::{Inventory, Resource},
    names::{GroupName, IntegrationName, PrincipalId},
    principal::{Directory, Principal},
};
use ebbgate_settings::{MapReader, Mistake, Mistakes, Node, documents, nearest, suggestion};

use super::{Case, Expected, Outcome, TestFile};
use crate::resource;

/// A Monday at noon: when cases happen that say nothing of time.
const NOON: &str = "2026-01-05T12:00:00Z";

/// Reads a test file; mistakes are added to `found`.
pub fn read(file: &Path, text: &str, found: &mut Vec<Mistake>) -> Option<TestFile> {
    let mut mistakes = Mistakes::of(file);
    let read = document(file, text, &mut mistakes);
    let good = mistakes.is_empty();
    found.extend(mistakes.into_vec());
    read.filter(|_| good)
}

fn document(file: &Path, text: &str, mistakes: &mut Mistakes) -> Option<TestFile> {
    let mut map = documents(text, mistakes).into_iter().next()?.map(mistakes)?;
    let flows = map.parsed_list("flows");
    let people: Vec<_> = list(&mut map, "people", person);
    let resources: Vec<_> = list(&mut map, "resources", one_resource);
    let world = World { people: &people, resources: &resources };
    let nodes = map.need("cases").map_or_else(Vec::new, Node::list);
    let cases = nodes.into_iter().filter_map(|node| case(node, &world, map.mistakes)).collect();
    let directory = Directory::new(people.clone());
    let mut delegations = Vec::new();
    for node in map.take("delegations").map_or_else(Vec::new, Node::list) {
        let read = delegation(node, &world, &delegations, &directory, map.mistakes);
        delegations.extend(read);
    }
    map.finish();
    let inventory = Inventory::new(resources.clone());
    Some(TestFile { file: file.to_owned(), flows, directory, delegations, inventory, cases })
}

/// One that the broker would have taken when it began.
fn delegation(
    node: Node,
    world: &World<'_>,
    others: &[Delegation],
    directory: &Directory,
    mistakes: &mut Mistakes,
) -> Option<Delegation> {
    let mut map = node.map(mistakes)?;
    let place = map.place;
    let from = map.need("from").and_then(|node| world.person(&node, map.mistakes));
    let to = map.need("to").and_then(|node| world.person(&node, map.mistakes));
    let since = map.need("since").and_then(|node| moment(&node, map.mistakes));
    let until = map.need("until").and_then(|node| moment(&node, map.mistakes));
    map.finish();
    let (from, to, since, until) = (from?, to?, since?, until?);
    let number = u8::try_from(others.len()).unwrap_or(u8::MAX);
    let id = DelegationId::new(since, [number; 10]);
    let delegation = Delegation { id, from, to, since, until, ended_at: None };
    match delegation.check(others, directory, since) {
        Ok(()) => Some(delegation),
        Err(refusal) => {
            mistakes.add(place, refusal);
            None
        }
    }
}

fn list<T>(
    map: &mut MapReader<'_>,
    key: &'static str,
    read: impl Fn(Node, &mut Mistakes) -> Option<T>,
) -> Vec<T> {
    let nodes = map.need(key).map_or_else(Vec::new, Node::list);
    nodes.into_iter().filter_map(|node| read(node, map.mistakes)).collect()
}

fn person(node: Node, mistakes: &mut Mistakes) -> Option<Principal> {
    let mut map = node.map(mistakes)?;
    let id: Option<PrincipalId> = map.required("id");
    let groups: Vec<GroupName> = map.parsed_list("groups");
    let manager = map.optional("manager");
    let disabled = map.optional("disabled").unwrap_or(false);
    map.finish();
    Some(Principal { manager, disabled, ..Principal::new(id?, groups) })
}

fn one_resource(node: Node, mistakes: &mut Mistakes) -> Option<Resource> {
    let mut map = node.map(mistakes)?;
    let integration: IntegrationName = map.required("integration")?;
    resource(map, &integration, None)
}

/// What cases may refer to.
struct World<'a> {
    people: &'a [Principal],
    resources: &'a [Resource],
}

impl World<'_> {
    fn person(&self, node: &Node, mistakes: &mut Mistakes) -> Option<PrincipalId> {
        let id: PrincipalId = node.parse(mistakes)?;
        if !self.people.iter().any(|person| person.id == id) {
            let known = self.people.iter().map(|person| person.id.as_str());
            let hint = suggestion(id.as_str(), known);
            mistakes.add(node.place, format!("this file has no person {id}{hint}"));
        }
        Some(id)
    }

    fn people(&self, map: &mut MapReader<'_>, key: &'static str) -> Option<Vec<PrincipalId>> {
        let nodes = map.take(key)?.list();
        Some(nodes.iter().filter_map(|node| self.person(node, map.mistakes)).collect())
    }

    /// A resource by its id, or by its name where only one bears it.
    fn resource<'a>(&'a self, node: &Node, mistakes: &mut Mistakes) -> Option<&'a Resource> {
        let text: String = node.parse(mistakes)?;
        let named = |resource: &&Resource| resource.id.as_str() == text || resource.native == text;
        let found: Vec<_> = self.resources.iter().filter(named).collect();
        match found.as_slice() {
            [one] => return Some(one),
            [] => {
                let known = self.resources.iter().map(|resource| resource.id.as_str());
                let hint = suggestion(&text, known);
                mistakes.add(node.place, format!("this file has no resource '{text}'{hint}"));
            }
            _ => mistakes.add(node.place, format!("'{text}' is ambiguous: write the whole id")),
        }
        None
    }
}

fn case(node: Node, world: &World<'_>, mistakes: &mut Mistakes) -> Option<Case> {
    let mut map = node.map(mistakes)?;
    let place = map.place;
    let name = map.required("name");
    let user = map.need("user").and_then(|node| world.person(&node, map.mistakes));
    let nodes = map.need("resource").map_or_else(Vec::new, Node::list);
    let resources = nodes
        .iter()
        .filter_map(|node| world.resource(node, map.mistakes))
        .map(|resource| resource.id.clone())
        .collect();
    let permission = map.optional("permission");
    let flow = map.optional("flow");
    let duration = map.optional("for");
    let reason = map.optional("reason");
    let ticket = map.optional("ticket");
    let at: Option<Timestamp> = match map.take("at") {
        Some(node) => moment(&node, map.mistakes),
        None => NOON.parse().ok(),
    };
    let after = map.optional("after");
    let approve = world.people(&mut map, "approve").unwrap_or_default();
    let deny = world.people(&mut map, "deny").unwrap_or_default();
    let outcome = map.need("expect").and_then(|node| outcome(&node, map.mistakes));
    let code: Option<String> = map.optional("code");
    if code.is_some() && outcome.is_some_and(|outcome| outcome != Outcome::Refused) {
        map.mistakes.add(place, "only what is refused has a code: write `expect: refused`");
    }
    let approvers = world.people(&mut map, "approvers");
    let expected_duration = map.optional("duration");
    let grants = map.optional("grants");
    map.finish();
    let expected =
        Expected { outcome: outcome?, code, approvers, duration: expected_duration, grants };
    Some(Case {
        place,
        name: name?,
        user: user?,
        resources,
        permission,
        flow,
        duration,
        reason,
        ticket,
        at: at?,
        after,
        approve,
        deny,
        expected,
    })
}

fn moment(node: &Node, mistakes: &mut Mistakes) -> Option<Timestamp> {
    let text: String = node.parse(mistakes)?;
    let moment = text.parse().ok();
    if moment.is_none() {
        mistakes.add(node.place, format!("'{text}' is no moment: write it like {NOON}"));
    }
    moment
}

fn outcome(node: &Node, mistakes: &mut Mistakes) -> Option<Outcome> {
    let text: String = node.parse(mistakes)?;
    let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == text);
    if outcome.is_none() {
        let known = Outcome::ALL.map(Outcome::as_str);
        let hint = match nearest(&text, known) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("known are {}", known.join(", ")),
        };
        mistakes.add(node.place, format!("unknown outcome '{text}': {hint}"));
    }
    outcome
}
