//! What a person may ask for, through which flow and with whose approval.

use crate::{
    flow::{AccessFlow, ApprovalPolicy, Need, Policies, Voices},
    inventory::{Inventory, Resource},
    names::{PermissionName, PrincipalId},
    principal::Directory,
    refusal::Refusal,
};

/// One permission on one resource through one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// Which level of access.
    pub permission: PermissionName,
    /// Through which flow.
    pub flow: &'a AccessFlow,
}

/// Everything that `person` may ask for now.
pub fn offers<'a>(
    person: &PrincipalId,
    inventory: &'a Inventory,
    policies: &'a Policies,
    directory: &Directory,
) -> Vec<Offer<'a>> {
    let flows = policies.admitting(person, directory);
    let mut offers = Vec::new();
    for resource in inventory.iter() {
        for flow in &flows {
            for permission in policies.permissions(flow, resource) {
                offers.push(Offer { resource, permission, flow });
            }
        }
    }
    offers
}

/// The flow to use where none was named: the only one that admits the person and offers all that
/// is wanted. A flow for emergencies must be named: nobody uses it by accident.
///
/// # Errors
/// None fits, or more than one.
pub fn choose_flow<'a>(
    person: &PrincipalId,
    wanted: &[(&Resource, Option<&PermissionName>)],
    policies: &'a Policies,
    directory: &Directory,
) -> Result<&'a AccessFlow, Refusal> {
    let fits: Vec<_> = policies
        .admitting(person, directory)
        .into_iter()
        .filter(|flow| flow.break_glass.is_none())
        .filter(|flow| {
            wanted.iter().all(|(resource, permission)| {
                let offered = policies.permissions(flow, resource);
                permission.map_or(!offered.is_empty(), |permission| offered.contains(permission))
            })
        })
        .collect();
    match fits.as_slice() {
        [] => Err(Refusal::NoFlow { principal: person.clone() }),
        [only] => Ok(only),
        _ => Err(Refusal::FlowAmbiguous { flows: fits.iter().map(|f| f.name.clone()).collect() }),
    }
}

/// A policy in words: `automatic`, or `any of DBAs (user:…) and all of Security (group:…)`.
pub fn describe(policy: &ApprovalPolicy) -> String {
    let ApprovalPolicy::Groups { between, groups, .. } = policy else {
        return "automatic".to_owned();
    };
    let groups: Vec<_> = groups
        .iter()
        .map(|group| {
            let need = match group.need {
                Voices::Any => "any".to_owned(),
                Voices::All => "all".to_owned(),
                Voices::AtLeast(count) => format!("{count}"),
            };
            let of: Vec<_> = group.of.iter().map(ToString::to_string).collect();
            format!("{need} of {} ({})", group.name, of.join(", "))
        })
        .collect();
    groups.join(match between {
        Need::All => " and ",
        Need::Any => " or ",
    })
}
