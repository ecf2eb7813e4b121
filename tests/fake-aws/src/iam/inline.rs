//! The policies of users and roles: inline, and attached.

use axum::body::Body;
use http::Response;

use super::directory::{Document, Entity};
use super::managed::{self, arn_of};
use super::owner::Owner;
use super::{NAMESPACE, Page, malformed, name_of, not_found};
use crate::error::AwsError;
use crate::policy::{Context, Kind};
use crate::query::{Checks, Params, answer, done};
use crate::request::percent_encode;
use crate::service::Call;

/// Names the owner, lets pass who may do this to it, and gives its name.
fn authorize<'a>(
    call: &Call<'_>,
    params: &'a Params,
    owner: Owner,
    extra: Context,
) -> Result<&'a str, AwsError> {
    let name = owner.name_of(params)?;
    let directory = call.fake.world.lock().iam.current();
    let arn = owner.arn(&directory, &call.fake.account, name);
    call.authorize(&format!("iam:{}", call.operation), &arn, extra)?;
    Ok(name)
}

/// The parameter `PolicyName`.
fn policy_of<'a>(call: &Call<'_>, params: &'a Params) -> Result<&'a str, AwsError> {
    let policy = name_of(params, "PolicyName", 128)?;
    call.note("policyName", policy);
    Ok(policy)
}

fn find(call: &Call<'_>, owner: Owner, name: &str) -> Result<Entity, AwsError> {
    let directory = call.fake.world.lock().iam.current();
    owner.find(&directory, name)
}

fn missing_policy(owner: Owner, policy: &str) -> AwsError {
    not_found(format!("The {} policy with name {policy} cannot be found.", owner.noun()))
}

/// `Put…Policy`.
pub(super) fn put(
    call: &Call<'_>,
    params: &Params,
    owner: Owner,
) -> Result<Response<Body>, AwsError> {
    let policy = policy_of(call, params)?;
    let mut checks = Checks::default();
    let text = checks.required("policyDocument", params.get("PolicyDocument"));
    checks.finish()?;
    let name = authorize(call, params, owner, Context::default())?;
    let document = Document::parse(text, Kind::Permissions).map_err(malformed)?;
    call.fake.change_iam(|directory| {
        let entity = owner.find_mut(directory, name)?;
        let others = entity.inline.iter().filter(|(name, _)| *name != policy);
        let size = others.map(|(_, document)| document.size()).sum::<usize>() + document.size();
        let limit = owner.inline_limit();
        if size > limit {
            return Err(AwsError::conflict(
                "LimitExceeded",
                format!(
                    "Maximum policy size of {limit} bytes exceeded for {} {name}",
                    owner.noun()
                ),
            ));
        }
        entity.inline.insert(policy.to_owned(), document);
        Ok(())
    })?;
    Ok(done(call, NAMESPACE))
}

/// `Get…Policy`.
pub(super) fn get(
    call: &Call<'_>,
    params: &Params,
    owner: Owner,
) -> Result<Response<Body>, AwsError> {
    let policy = policy_of(call, params)?;
    let name = authorize(call, params, owner, Context::default())?;
    let entity = find(call, owner, name)?;
    let document = entity.inline.get(policy).ok_or_else(|| missing_policy(owner, policy))?;
    Ok(answer(call, NAMESPACE, |xml| {
        xml.text(&format!("{}Name", owner.title()), name);
        xml.text("PolicyName", policy);
        xml.text("PolicyDocument", percent_encode(&document.text, b""));
    }))
}

/// `List…Policies`.
pub(super) fn list(
    call: &Call<'_>,
    params: &Params,
    owner: Owner,
) -> Result<Response<Body>, AwsError> {
    let name = authorize(call, params, owner, Context::default())?;
    let entity = find(call, owner, name)?;
    let page = Page::cut(params, entity.inline.keys(), |name| name.as_str())?;
    Ok(answer(call, NAMESPACE, |xml| {
        xml.node("PolicyNames", |xml| {
            for name in &page.items {
                xml.text("member", name);
            }
        });
        page.write_end(xml);
    }))
}

/// `Delete…Policy`.
pub(super) fn delete(
    call: &Call<'_>,
    params: &Params,
    owner: Owner,
) -> Result<Response<Body>, AwsError> {
    let policy = policy_of(call, params)?;
    let name = authorize(call, params, owner, Context::default())?;
    call.fake.change_iam(|directory| {
        let entity = owner.find_mut(directory, name)?;
        let removed = entity.inline.remove(policy);
        removed.ok_or_else(|| missing_policy(owner, policy))
    })?;
    Ok(done(call, NAMESPACE))
}

fn policy_arn_key(arn: &str) -> Context {
    let mut context = Context::default();
    context.set("iam:PolicyARN", arn);
    context
}

/// `Attach…Policy`.
pub(super) fn attach(
    call: &Call<'_>,
    params: &Params,
    owner: Owner,
) -> Result<Response<Body>, AwsError> {
    let arn = arn_of(params)?;
    let name = authorize(call, params, owner, policy_arn_key(&arn))?;
    call.fake.change_iam(|directory| {
        let known = directory.managed.contains_key(&arn);
        let entity = owner.find_mut(directory, name)?;
        if !known {
            return Err(managed::missing(&arn));
        }
        entity.attached.insert(arn.clone());
        Ok(())
    })?;
    Ok(done(call, NAMESPACE))
}

/// `Detach…Policy`.
pub(super) fn detach(
    call: &Call<'_>,
    params: &Params,
    owner: Owner,
) -> Result<Response<Body>, AwsError> {
    let arn = arn_of(params)?;
    let name = authorize(call, params, owner, policy_arn_key(&arn))?;
    call.fake.change_iam(|directory| {
        let entity = owner.find_mut(directory, name)?;
        if entity.attached.remove(&arn) {
            Ok(())
        } else {
            Err(not_found(format!("Policy {arn} was not found.")))
        }
    })?;
    Ok(done(call, NAMESPACE))
}

/// `ListAttached…Policies`.
pub(super) fn list_attached(
    call: &Call<'_>,
    params: &Params,
    owner: Owner,
) -> Result<Response<Body>, AwsError> {
    let name = authorize(call, params, owner, Context::default())?;
    let entity = find(call, owner, name)?;
    let page = Page::cut(params, entity.attached.iter(), |arn| arn.as_str())?;
    Ok(answer(call, NAMESPACE, |xml| {
        xml.node("AttachedPolicies", |xml| {
            for arn in &page.items {
                xml.node("member", |xml| {
                    xml.text("PolicyName", arn.rsplit('/').next().unwrap_or(""));
                    xml.text("PolicyArn", arn);
                });
            }
        });
        page.write_end(xml);
    }))
}
