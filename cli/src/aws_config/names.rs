//! How grants on AWS are called as profiles: short where that is clear, never two alike.

use std::collections::BTreeMap;

use super::Profile;
use crate::api::{Connect, Grant};

/// Two grants that can't be told apart by a profile's name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profile '{name}' would stand for both {one} and {other}")]
pub(crate) struct SameName {
    name: String,
    one: String,
    other: String,
}

/// One profile for each resource and permission of the grants, which are live ones on AWS: named
/// `ebb-<resource>-<permission>`, with the integration's name where that is not unique; for the
/// grant that lasts longest.
///
/// # Errors
/// Two of them have the same name even so.
pub(crate) fn profiles(grants: &[Grant]) -> Result<Vec<(Profile, &Grant)>, SameName> {
    let mut lasting: BTreeMap<(&str, &str), &Grant> = BTreeMap::new();
    for grant in grants {
        let slot = lasting.entry((&grant.resource, &grant.permission)).or_insert(grant);
        if (grant.deadline, &grant.id) > (slot.deadline, &slot.id) {
            *slot = grant;
        }
    }
    let short =
        |grant: &Grant| format!("ebb-{}-{}", plain(native_name(grant)), plain(&grant.permission));
    let mut users: BTreeMap<String, usize> = BTreeMap::new();
    for grant in lasting.values() {
        *users.entry(short(grant)).or_default() += 1;
    }
    let mut named: BTreeMap<String, &Grant> = BTreeMap::new();
    for grant in lasting.into_values() {
        let name = match users.get(&short(grant)) {
            Some(1) => short(grant),
            _ => format!("ebb-{}-{}", plain(&grant.integration), &short(grant)["ebb-".len()..]),
        };
        if let Some(other) = named.insert(name.clone(), grant) {
            let (one, other) = (other.resource.clone(), grant.resource.clone());
            return Err(SameName { name, one, other });
        }
    }
    let profile = |(name, grant): (String, _)| profile(name, grant).map(|profile| (profile, grant));
    Ok(named.into_iter().filter_map(profile).collect())
}

fn profile(name: String, grant: &Grant) -> Option<Profile> {
    match &grant.connect {
        Some(Connect::Aws { region, endpoint, .. }) => Some(Profile {
            name,
            grant: grant.id.clone(),
            region: region.clone(),
            endpoint: endpoint.clone(),
        }),
        _ => None,
    }
}

fn native_name(grant: &Grant) -> &str {
    grant.resource.splitn(3, '/').nth(2).unwrap_or(&grant.resource)
}

/// What a profile's name may hold without quoting.
fn plain(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.chars().map(|c| if fits(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::tests::grant;

    fn on_aws(n: u8, resource: &str, permission: &str) -> Grant {
        let connect = serde_json::json!({"kind": "aws", "region": "eu-west-1", "account": "1"});
        Grant {
            connect: serde_json::from_value(connect).unwrap(),
            ..grant(n, resource, permission)
        }
    }

    #[test]
    fn profiles_are_named_by_resource_and_permission() {
        let grants = [
            on_aws(1, "prod/s3/reports", "read-only"),
            on_aws(9, "prod/s3/reports", "read-only"),
            on_aws(3, "prod/iam/role/a b", "full"),
            on_aws(4, "prod/s3/logs", "full"),
            on_aws(5, "stage/s3/logs", "full"),
        ];
        let named: Vec<(String, String)> =
            profiles(&grants).unwrap().into_iter().map(|(p, _)| (p.name, p.grant)).collect();
        let expected = [
            ("ebb-prod-logs-full", &grants[3].id),
            ("ebb-reports-read-only", &grants[1].id),
            ("ebb-role-a-b-full", &grants[2].id),
            ("ebb-stage-logs-full", &grants[4].id),
        ];
        assert_eq!(named, expected.map(|(name, id)| (name.to_owned(), id.clone())));
    }

    #[test]
    fn names_that_clash_are_told() {
        let grants = [on_aws(1, "prod/iam/a/b", "full"), on_aws(2, "prod/iam/a-b", "full")];
        assert!(matches!(profiles(&grants), Err(SameName { .. })));
    }
}
