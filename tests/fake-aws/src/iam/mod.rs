//! IAM: users and their keys, roles, inline and managed policies.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Operations.html>

pub(crate) mod directory;
mod inline;
mod managed;
mod owner;
pub(crate) mod propagation;
mod roles;
mod users;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;

use crate::auth::AuthFault;
use crate::error::AwsError;
use crate::policy::Context;
use crate::query::{self, Checks, Params, is_name_char};
use crate::request::Request;
use crate::service::{Call, Service};
use crate::xml::Xml;
use owner::Owner;

const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// The service.
pub(crate) struct Iam;

impl Service for Iam {
    fn operation(&self, request: &Request) -> Result<String, AwsError> {
        Params::read(request).action()
    }

    fn answer(&self, call: &Call<'_>) -> Result<Response<Body>, AwsError> {
        let params = &Params::read(call.request);
        match call.operation {
            "CreateUser" => users::create(call, params),
            "GetUser" => users::get(call, params),
            "DeleteUser" => users::delete(call, params),
            "CreateAccessKey" => users::create_key(call, params),
            "ListAccessKeys" => users::list_keys(call, params),
            "UpdateAccessKey" => users::update_key(call, params),
            "DeleteAccessKey" => users::delete_key(call, params),
            "CreateRole" => roles::create(call, params),
            "GetRole" => roles::get(call, params),
            "ListRoles" => roles::list(call, params),
            "DeleteRole" => roles::delete(call, params),
            "UpdateAssumeRolePolicy" => roles::update_trust(call, params),
            "CreatePolicy" => managed::create(call, params),
            "GetPolicy" => managed::get(call, params),
            "DeletePolicy" => managed::delete(call, params),
            "PutUserPolicy" => inline::put(call, params, Owner::User),
            "GetUserPolicy" => inline::get(call, params, Owner::User),
            "ListUserPolicies" => inline::list(call, params, Owner::User),
            "DeleteUserPolicy" => inline::delete(call, params, Owner::User),
            "AttachUserPolicy" => inline::attach(call, params, Owner::User),
            "DetachUserPolicy" => inline::detach(call, params, Owner::User),
            "ListAttachedUserPolicies" => inline::list_attached(call, params, Owner::User),
            "PutRolePolicy" => inline::put(call, params, Owner::Role),
            "GetRolePolicy" => inline::get(call, params, Owner::Role),
            "ListRolePolicies" => inline::list(call, params, Owner::Role),
            "DeleteRolePolicy" => inline::delete(call, params, Owner::Role),
            "AttachRolePolicy" => inline::attach(call, params, Owner::Role),
            "DetachRolePolicy" => inline::detach(call, params, Owner::Role),
            "ListAttachedRolePolicies" => inline::list_attached(call, params, Owner::Role),
            other => {
                // AWS has more operations than this double: who may not use one is told so.
                call.authorize(&format!("iam:{other}"), "*", Context::default())?;
                let message = format!("Could not find operation {other} for version 2010-05-08");
                Err(AwsError::bad_request("InvalidAction", message))
            }
        }
    }

    fn refuse(&self, error: &AwsError, _: &Request, request_id: &str) -> Response<Body> {
        query::refuse(error, NAMESPACE, request_id)
    }

    fn unauthenticated(&self, fault: &AuthFault) -> AwsError {
        fault.in_query_words()
    }
}

fn not_found(message: String) -> AwsError {
    AwsError::not_found("NoSuchEntity", message)
}

fn exists(message: String) -> AwsError {
    AwsError::conflict("EntityAlreadyExists", message)
}

fn malformed(message: String) -> AwsError {
    AwsError::bad_request("MalformedPolicyDocument", message)
}

/// A required parameter that is a name of at most `longest` characters.
fn name_of<'a>(params: &'a Params, name: &str, longest: usize) -> Result<&'a str, AwsError> {
    let field = lower_camel(name);
    let given = params.get(name);
    let mut checks = Checks::default();
    let value = checks.required(&field, given);
    if given.is_some() {
        checks.length(&field, value, 1, longest);
    }
    checks.finish()?;
    if !value.chars().all(is_name_char) {
        return Err(AwsError::bad_request(
            "ValidationError",
            format!(
                "The specified value for {field} is invalid. It must contain only alphanumeric \
                 characters and/or the following: +=,.@_-"
            ),
        ));
    }
    Ok(value)
}

/// The parameter `Path`, `/` by default.
fn path_of(params: &Params) -> Result<String, AwsError> {
    let path = params.get("Path").unwrap_or("/");
    let printable = path.chars().all(|c| ('\u{21}'..='\u{7e}').contains(&c));
    if path.len() > 512 || !path.starts_with('/') || !path.ends_with('/') || !printable {
        return Err(AwsError::bad_request(
            "ValidationError",
            "The specified value for path is invalid. It must begin and end with / and contain \
             only alphanumeric characters and/or / characters.",
        ));
    }
    Ok(path.to_owned())
}

fn lower_camel(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// One page of a list.
struct Page<T> {
    items: Vec<T>,
    /// The name of the last item, if more follow.
    next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a page out of items in the order of their names, by `Marker` and `MaxItems`.
    fn cut(
        params: &Params,
        items: impl Iterator<Item = T>,
        name: impl Fn(&T) -> &str,
    ) -> Result<Self, AwsError> {
        let mut checks = Checks::default();
        let most = checks.number("maxItems", params.get("MaxItems"), 100, 1, 1_000);
        checks.finish()?;
        let most = usize::try_from(most).unwrap_or(100);
        let after = params
            .get("Marker")
            .map(|marker| {
                URL_SAFE_NO_PAD
                    .decode(marker)
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| {
                        AwsError::bad_request(
                            "ValidationError",
                            format!("Invalid Marker: {marker}"),
                        )
                    })
            })
            .transpose()?;
        let mut rest = items.filter(|item| after.as_deref().is_none_or(|after| name(item) > after));
        let items: Vec<T> = rest.by_ref().take(most).collect();
        let next = rest.next().and_then(|_| items.last()).map(|last| name(last).to_owned());
        Ok(Self { items, next })
    }

    /// Writes whether more follow, and from where.
    fn write_end(&self, xml: &mut Xml) {
        xml.text("IsTruncated", self.next.is_some().to_string());
        xml.optional("Marker", self.next.as_ref().map(|n| URL_SAFE_NO_PAD.encode(n)));
    }
}

#[cfg(test)]
mod tests;
