//! Finds what a person named: by id, by the beginning of an id, by resource.

use anyhow::Result;

use crate::{
    api::{Delegation, Grant, GrantState, Request},
    exit::{Exit, Stop},
};

/// So many hexadecimal digits end an id.
const DIGITS: usize = 32;
/// Fewer digits than this name nothing: approving 'whatever begins with 0' is a slip.
const FEWEST_DIGITS: usize = 4;

/// What has an id.
pub(crate) trait HasId {
    /// What stands before the underscore.
    const PREFIX: &'static str;
    /// In words.
    const WHAT: &'static str;
    fn id(&self) -> &str;
}

impl HasId for Request {
    const PREFIX: &'static str = "req_";
    const WHAT: &'static str = "request";
    fn id(&self) -> &str {
        &self.id
    }
}

impl HasId for Grant {
    const PREFIX: &'static str = "grt_";
    const WHAT: &'static str = "grant";
    fn id(&self) -> &str {
        &self.id
    }
}

impl HasId for Delegation {
    const PREFIX: &'static str = "dlg_";
    const WHAT: &'static str = "delegation";
    fn id(&self) -> &str {
        &self.id
    }
}

/// Whether a text is a whole id, which needs no look at a list.
pub(crate) fn is_whole_id<T: HasId>(text: &str) -> bool {
    digits::<T>(text).is_some_and(|digits| digits.len() == DIGITS)
}

fn digits<T: HasId>(text: &str) -> Option<&str> {
    text.strip_prefix(T::PREFIX)
        .filter(|digits| digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// The only one whose id begins with `text`.
///
/// # Errors
/// `text` is no beginning of an id, none has it, or more than one has.
pub(crate) fn by_id<'a, T: HasId>(items: &'a [T], text: &str) -> Result<&'a T> {
    let enough = digits::<T>(text).is_some_and(|d| (FEWEST_DIGITS..=DIGITS).contains(&d.len()));
    if !enough {
        return Err(Stop::new(
            Exit::USAGE,
            format!(
                "'{text}' is no {}'s id: give it like {}0192ab34…, whole or its beginning",
                T::WHAT,
                T::PREFIX
            ),
        )
        .into());
    }
    let found: Vec<&T> = items.iter().filter(|item| item.id().starts_with(text)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            Err(Stop::new(Exit::ERROR, format!("no {} of yours has the id {text}", T::WHAT)).into())
        }
        many => {
            let ids: Vec<&str> = many.iter().map(|item| item.id()).collect();
            let message = format!("'{text}' begins more than one id: {}", ids.join(", "));
            Err(Stop::new(Exit::USAGE, message).into())
        }
    }
}

/// Whether `text` is the resource's id, or its name alone.
pub(crate) fn names_resource(text: &str, resource: &str) -> bool {
    resource == text || resource.splitn(3, '/').nth(2) == Some(text)
}

/// The grants that `text` names: by id, or those on a resource. A resource's name alone that more
/// than one resource has names nothing.
///
/// # Errors
/// As for [`by_id`], or the name is that of several resources.
pub(crate) fn grants<'a>(live: &'a [Grant], text: &str) -> Result<Vec<&'a Grant>> {
    if text.starts_with(Grant::PREFIX) {
        return by_id(live, text).map(|grant| vec![grant]);
    }
    let found: Vec<&Grant> =
        live.iter().filter(|grant| names_resource(text, &grant.resource)).collect();
    let mut resources: Vec<&str> = found.iter().map(|grant| grant.resource.as_str()).collect();
    resources.sort_unstable();
    resources.dedup();
    if resources.len() > 1 {
        let message =
            format!("'{text}' is more than one resource: say which of {}", resources.join(", "));
        return Err(Stop::new(Exit::USAGE, message).into());
    }
    Ok(found)
}

/// Of those that give the same access, the one that lasts longest.
///
/// # Errors
/// They give different permissions; the error lists them.
pub(crate) fn longest<'a>(grants: &[&'a Grant]) -> Result<Option<&'a Grant>> {
    let mut permissions: Vec<&str> = grants.iter().map(|grant| grant.permission.as_str()).collect();
    permissions.sort_unstable();
    permissions.dedup();
    if permissions.len() > 1 {
        let choices: Vec<String> =
            grants.iter().map(|grant| format!("{} ({})", grant.id, grant.permission)).collect();
        let message =
            format!("you have more than one grant there: say which of {}", choices.join(", "));
        return Err(Stop::new(Exit::USAGE, message).into());
    }
    Ok(grants.iter().copied().max_by_key(|grant| grant.deadline))
}

/// Whether a grant can be used now.
pub(crate) fn is_active(grant: &Grant) -> bool {
    grant.state == GrantState::Active
}

/// Whether a grant will be usable soon.
pub(crate) fn is_coming(grant: &Grant) -> bool {
    matches!(grant.state, GrantState::Planned | GrantState::Provisioning)
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;

    use super::*;

    /// A live grant of Ana's; `n` makes its id and orders its deadline.
    pub(crate) fn grant(n: u8, resource: &str, permission: &str) -> Grant {
        serde_json::from_value(serde_json::json!({
            "id": format!("grt_{n:032x}"), "request_id": "req_1", "principal": "ana@example.com",
            "resource": resource, "integration": resource.split('/').next(),
            "type": resource.split('/').nth(1), "permission": permission, "flow": "f",
            "state": "active", "deadline": format!("2026-03-04T14:{n:02}:00Z"),
        }))
        .unwrap()
    }

    fn some() -> Vec<Grant> {
        vec![
            grant(1, "orders/postgres/shop", "select"),
            grant(17, "orders/postgres/shop", "select"),
            grant(18, "prod/s3/reports", "read-only"),
            grant(19, "stage/s3/reports", "read-only"),
        ]
    }

    #[test]
    fn an_id_may_be_cut_short_while_it_is_unique() {
        let grants = some();
        let whole = grants[1].id.clone();
        assert!(is_whole_id::<Grant>(&whole));
        assert_eq!(by_id(&grants, &whole).unwrap().id, whole);
        assert_eq!(by_id(&grants[..1], "grt_0000").unwrap().id, grants[0].id);
        let error = by_id(&grants, &whole[..whole.len() - 1]).unwrap_err().to_string();
        assert!(grants[1..].iter().all(|grant| error.contains(&grant.id)), "{error}");
        assert!(!error.contains(&grants[0].id), "{error}");
    }

    #[rstest]
    #[case("grt_")]
    #[case("grt_000")]
    #[case("req_00000000")]
    #[case("grt_0000'; drop")]
    #[case("")]
    fn what_is_no_id_names_nothing(#[case] text: &str) {
        let error = by_id(&some()[..1], text).unwrap_err();
        assert!(error.to_string().contains("is no grant's id"), "{error}");
    }

    #[test]
    fn a_grant_is_named_by_its_resource() {
        let all = some();
        for text in ["orders/postgres/shop", "shop"] {
            let found = grants(&all, text).unwrap();
            assert_eq!(found.len(), 2, "{text}");
            assert_eq!(longest(&found).unwrap().unwrap().id, all[1].id);
        }
        assert!(grants(&all, "hop").unwrap().is_empty());
        let error = grants(&all, "reports").unwrap_err().to_string();
        assert!(error.contains("prod/s3/reports, stage/s3/reports"), "{error}");
    }

    #[test]
    fn different_permissions_are_never_chosen_between() {
        let all = [grant(1, "a/postgres/b", "select"), grant(2, "a/postgres/b", "full")];
        let error = longest(&grants(&all, "b").unwrap()).unwrap_err().to_string();
        assert!(error.contains("(select)") && error.contains("(full)"), "{error}");
    }
}
