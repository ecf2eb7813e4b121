//! The users file: people, their groups, and the hashes of their API tokens. For a laptop and for
//! a start; an identity provider takes its place later.

use std::collections::BTreeSet;

use ebbgate_broker_identity::TokenHash;
use ebbgate_domain::{
    names::{GroupName, PrincipalId},
    principal::Principal,
};

use ebbgate_settings::{Mistakes, Node, documents};

/// What a users file says.
#[derive(Debug, Default)]
pub(crate) struct Users {
    pub principals: Vec<Principal>,
    pub tokens: Vec<(TokenHash, PrincipalId)>,
}

pub(crate) fn read(text: &str, mistakes: &mut Mistakes) -> Users {
    let mut users = Users::default();
    let mut names = BTreeSet::new();
    for document in documents(text, mistakes) {
        let Some(mut map) = document.map(mistakes) else {
            continue;
        };
        let nodes = map.need("users").map_or_else(Vec::new, Node::list);
        for node in nodes {
            let place = node.place;
            let Some((principal, tokens)) = user(node, map.mistakes) else {
                continue;
            };
            if !names.insert(principal.id.clone()) {
                map.mistakes.add(place, format!("the user {} is defined twice", principal.id));
            }
            users.tokens.extend(tokens.into_iter().map(|token| (token, principal.id.clone())));
            users.principals.push(principal);
        }
        map.finish();
    }
    users
}

fn user(node: Node, mistakes: &mut Mistakes) -> Option<(Principal, Vec<TokenHash>)> {
    let mut map = node.map(mistakes)?;
    let id: Option<PrincipalId> = map.required("id");
    let name: Option<String> = map.optional("name");
    let groups: BTreeSet<GroupName> = map.parsed_list("groups").into_iter().collect();
    let manager = map.optional("manager");
    let disabled = map.optional("disabled").unwrap_or(false);
    let tokens = map.parsed_list("tokens");
    map.finish();
    let id = id?;
    let display_name = name.unwrap_or_else(|| id.to_string());
    Some((Principal { id, display_name, groups, manager, disabled }, tokens))
}
