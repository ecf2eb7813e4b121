//! Roles.

use std::sync::Arc;

use axum::body::Body;
use http::Response;

use super::directory::{Directory, Document, Entity, Role};
use super::owner::Owner;
use super::{NAMESPACE, Page, exists, malformed, managed, name_of, path_of};
use crate::clock::iso_seconds;
use crate::error::AwsError;
use crate::policy::{Context, Kind, Principal};
use crate::query::{Checks, Params, answer, done};
use crate::request::percent_encode;
use crate::service::Call;
use crate::xml::Xml;

/// Roles in an account, and characters in a trust policy: both can be raised on AWS, by request.
const MOST_ROLES: usize = 1_000;
const LONGEST_TRUST: usize = 2_048;

/// `CreateRole`.
pub(super) fn create(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = name_of(params, "RoleName", 64)?;
    let path = path_of(params)?;
    let tags = params.tags();
    let boundary = params.get("PermissionsBoundary");
    let mut checks = Checks::default();
    let text = checks.required("assumeRolePolicyDocument", params.get("AssumeRolePolicyDocument"));
    let max_session =
        checks.number("maxSessionDuration", params.get("MaxSessionDuration"), 3_600, 3_600, 43_200);
    checks.tags(&tags, 50)?;
    checks.finish()?;

    let mut entity = Entity::new(name, &path, "AROA", call.now);
    entity.tags = tags.iter().cloned().collect();
    entity.boundary = boundary.map(str::to_owned);
    let arn = entity.arn(&call.fake.account, "role");
    let mut extra = Context::default();
    if let Some(boundary) = boundary {
        extra.set("iam:PermissionsBoundary", boundary);
    }
    extra.set_all("aws:TagKeys", tags.iter().map(|(key, _)| key.clone()));
    for (key, value) in &tags {
        extra.set(&format!("aws:RequestTag/{key}"), value);
    }
    if !tags.is_empty() {
        call.authorize("iam:TagRole", &arn, extra.clone())?;
    }
    call.authorize("iam:CreateRole", &arn, extra)?;

    let trust = Document::parse(text, Kind::Trust).map_err(malformed)?;
    let description = params.get("Description").map(str::to_owned);
    let role = Arc::new(Role { entity, trust, max_session, description });
    call.fake.change_iam(|directory| {
        check_trust(directory, &call.fake.account, &role.trust)?;
        if let Some(boundary) = boundary
            && !directory.managed.contains_key(boundary)
        {
            return Err(managed::missing(boundary));
        }
        if directory.roles.contains_key(name) {
            return Err(exists(format!("Role with name {name} already exists.")));
        }
        if directory.roles.len() >= MOST_ROLES {
            return Err(limit(&format!("RolesPerAccount: {MOST_ROLES}")));
        }
        directory.roles.insert(name.to_owned(), Arc::clone(&role));
        Ok(())
    })?;
    Ok(answer(call, NAMESPACE, |xml| {
        xml.node("Role", |xml| write(xml, &call.fake.account, &role, true));
    }))
}

/// IAM refuses principals that don't exist, in the accounts that it can see into: here, the own
/// one.
fn check_trust(directory: &Directory, account: &str, trust: &Document) -> Result<(), AwsError> {
    if trust.size() > LONGEST_TRUST {
        return Err(limit(&format!("ACLSizePerRole: {LONGEST_TRUST}")));
    }
    for principal in trust.policy.principals() {
        let Principal::Arn(arn) = principal else {
            continue;
        };
        let own = format!("::{account}:");
        let Some((_, name)) = arn.split_once(&own) else {
            continue;
        };
        let known = match name.split_once('/') {
            Some(("user", _)) => {
                directory.users.values().any(|user| user.arn(account, "user") == *arn)
            }
            Some(("role", _)) => {
                directory.roles.values().any(|role| role.entity.arn(account, "role") == *arn)
            }
            // Sessions come and go: the role is looked at, not the session.
            Some(("assumed-role", session)) => {
                session.split_once('/').is_some_and(|(role, _)| directory.roles.contains_key(role))
            }
            _ => false,
        };
        if !known {
            return Err(malformed(format!("Invalid principal in policy: \"AWS\":\"{arn}\"")));
        }
    }
    Ok(())
}

fn limit(quota: &str) -> AwsError {
    AwsError::conflict("LimitExceeded", format!("Cannot exceed quota for {quota}"))
}

fn authorize<'a>(call: &Call<'_>, params: &'a Params) -> Result<&'a str, AwsError> {
    let name = Owner::Role.name_of(params)?;
    let directory = call.fake.world.lock().iam.current();
    let arn = Owner::Role.arn(&directory, &call.fake.account, name);
    call.authorize(&format!("iam:{}", call.operation), &arn, Context::default())?;
    Ok(name)
}

/// `GetRole`.
pub(super) fn get(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = authorize(call, params)?;
    let directory = call.fake.world.lock().iam.current();
    let role = directory.roles.get(name).ok_or_else(|| Owner::Role.missing(name))?;
    Ok(answer(call, NAMESPACE, |xml| {
        xml.node("Role", |xml| write(xml, &call.fake.account, role, true));
    }))
}

/// `ListRoles`. As on AWS, tags and boundaries are left out.
pub(super) fn list(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let prefix = params.get("PathPrefix").unwrap_or("/");
    let account = &call.fake.account;
    let resource = format!("arn:aws:iam::{account}:role{prefix}");
    call.authorize("iam:ListRoles", &resource, Context::default())?;
    let directory = call.fake.world.lock().iam.current();
    let roles = directory.roles.values().filter(|role| role.entity.path.starts_with(prefix));
    let page = Page::cut(params, roles, |role| &role.entity.name)?;
    Ok(answer(call, NAMESPACE, |xml| {
        xml.node("Roles", |xml| {
            for role in &page.items {
                xml.node("member", |xml| write(xml, account, role, false));
            }
        });
        page.write_end(xml);
    }))
}

/// `DeleteRole`.
pub(super) fn delete(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = authorize(call, params)?;
    call.fake.change_iam(|directory| {
        let role = Owner::Role.find(directory, name)?;
        let conflict = |message| Err(AwsError::conflict("DeleteConflict", message));
        if !role.attached.is_empty() {
            return conflict("Cannot delete entity, must detach all policies first.");
        }
        if !role.inline.is_empty() {
            return conflict("Cannot delete entity, must delete policies first.");
        }
        directory.roles.remove(name);
        Ok(())
    })?;
    Ok(done(call, NAMESPACE))
}

/// `UpdateAssumeRolePolicy`.
pub(super) fn update_trust(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let mut checks = Checks::default();
    let text = checks.required("policyDocument", params.get("PolicyDocument"));
    checks.finish()?;
    let name = authorize(call, params)?;
    let trust = Document::parse(text, Kind::Trust).map_err(malformed)?;
    call.fake.change_iam(|directory| {
        check_trust(directory, &call.fake.account, &trust)?;
        let role = directory.roles.get_mut(name).ok_or_else(|| Owner::Role.missing(name))?;
        Arc::make_mut(role).trust = trust;
        Ok(())
    })?;
    Ok(done(call, NAMESPACE))
}

fn write(xml: &mut Xml, account: &str, role: &Role, whole: bool) {
    let entity = &role.entity;
    xml.text("Path", &entity.path);
    xml.text("RoleName", &entity.name);
    xml.text("RoleId", &entity.id);
    xml.text("Arn", entity.arn(account, "role"));
    xml.text("CreateDate", iso_seconds(entity.created));
    xml.text("AssumeRolePolicyDocument", percent_encode(&role.trust.text, b""));
    xml.optional("Description", role.description.as_ref());
    xml.text("MaxSessionDuration", role.max_session.to_string());
    if !whole {
        return;
    }
    if let Some(boundary) = &entity.boundary {
        xml.node("PermissionsBoundary", |xml| {
            xml.text("PermissionsBoundaryType", "Policy");
            xml.text("PermissionsBoundaryArn", boundary);
        });
    }
    xml.node("Tags", |xml| {
        for (key, value) in &entity.tags {
            xml.node("member", |xml| {
                xml.text("Key", key);
                xml.text("Value", value);
            });
        }
    });
    xml.node("RoleLastUsed", |_| {});
}
