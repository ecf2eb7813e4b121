//! Users and their access keys.

use std::sync::Arc;

use axum::body::Body;
use http::Response;
use secrecy::ExposeSecret as _;

use super::directory::{AccessKey, Directory, Entity};
use super::owner::Owner;
use super::{NAMESPACE, Page, exists, name_of, not_found, path_of};
use crate::clock::iso_seconds;
use crate::error::AwsError;
use crate::ids::{secret_access_key, unique_id};
use crate::policy::Context;
use crate::query::{Checks, Params, answer, done};
use crate::service::Call;
use crate::xml::Xml;

/// `CreateUser`.
pub(super) fn create(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = name_of(params, "UserName", 64)?;
    let path = path_of(params)?;
    let tags = params.tags();
    let mut checks = Checks::default();
    checks.tags(&tags, 50)?;
    checks.finish()?;
    let mut user = Entity::new(name, &path, "AIDA", call.now);
    user.tags = tags.into_iter().collect();
    let arn = user.arn(&call.fake.account, "user");
    call.authorize("iam:CreateUser", &arn, Context::default())?;
    call.fake.change_iam(|directory| {
        if directory.users.contains_key(name) {
            return Err(exists(format!("User with name {name} already exists.")));
        }
        directory.users.insert(name.to_owned(), Arc::new(user.clone()));
        Ok(())
    })?;
    Ok(answer(call, NAMESPACE, |xml| {
        write(xml, &call.fake.account, &user);
    }))
}

/// The user that an operation is about, by default the caller; lets pass who may.
fn authorize(call: &Call<'_>, params: &Params) -> Result<String, AwsError> {
    let name = if params.get("UserName").is_none() && call.caller.assumed().is_none() {
        let own = call.caller.arn.rsplit('/').next();
        own.unwrap_or_default().to_owned()
    } else {
        Owner::User.name_of(params)?.to_owned()
    };
    let directory = call.fake.world.lock().iam.current();
    let arn = Owner::User.arn(&directory, &call.fake.account, &name);
    call.authorize(&format!("iam:{}", call.operation), &arn, Context::default())?;
    Ok(name)
}

fn keys_of<'a>(
    directory: &'a Directory,
    user: &'a str,
) -> impl Iterator<Item = &'a Arc<AccessKey>> {
    directory.keys.values().filter(move |key| key.user == user)
}

/// `GetUser`.
pub(super) fn get(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = authorize(call, params)?;
    let directory = call.fake.world.lock().iam.current();
    let user = Owner::User.find(&directory, &name)?;
    Ok(answer(call, NAMESPACE, |xml| {
        write(xml, &call.fake.account, &user);
    }))
}

/// `DeleteUser`.
pub(super) fn delete(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = authorize(call, params)?;
    call.fake.change_iam(|directory| {
        let user = Owner::User.find(directory, &name)?;
        let conflict = |message| Err(AwsError::conflict("DeleteConflict", message));
        if keys_of(directory, &name).next().is_some() {
            return conflict("Cannot delete entity, must delete access keys first.");
        }
        if !user.attached.is_empty() {
            return conflict("Cannot delete entity, must detach all policies first.");
        }
        if !user.inline.is_empty() {
            return conflict("Cannot delete entity, must delete policies first.");
        }
        directory.users.remove(&name);
        Ok(())
    })?;
    Ok(done(call, NAMESPACE))
}

/// `CreateAccessKey`.
pub(super) fn create_key(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = authorize(call, params)?;
    let key = Arc::new(AccessKey {
        id: unique_id("AKIA", 16),
        secret: secret_access_key(),
        user: name.clone(),
        active: true,
        created: call.now,
    });
    call.fake.change_iam(|directory| {
        Owner::User.find(directory, &name)?;
        if keys_of(directory, &name).count() >= 2 {
            return Err(AwsError::conflict(
                "LimitExceeded",
                "Cannot exceed quota for AccessKeysPerUser: 2",
            ));
        }
        directory.keys.insert(key.id.clone(), Arc::clone(&key));
        Ok(())
    })?;
    Ok(answer(call, NAMESPACE, |xml| {
        xml.node("AccessKey", |xml| {
            write_key(xml, &key);
            xml.text("SecretAccessKey", key.secret.expose_secret());
        });
    }))
}

/// `ListAccessKeys`.
pub(super) fn list_keys(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = authorize(call, params)?;
    let directory = call.fake.world.lock().iam.current();
    Owner::User.find(&directory, &name)?;
    let page = Page::cut(params, keys_of(&directory, &name), |key| &key.id)?;
    Ok(answer(call, NAMESPACE, |xml| {
        xml.node("AccessKeyMetadata", |xml| {
            for key in &page.items {
                xml.node("member", |xml| write_key(xml, key));
            }
        });
        page.write_end(xml);
    }))
}

/// The key that is named, if it is the user's.
fn own_key(directory: &Directory, user: &str, id: &str) -> Result<Arc<AccessKey>, AwsError> {
    keys_of(directory, user)
        .find(|key| key.id == id)
        .cloned()
        .ok_or_else(|| not_found(format!("The Access Key with id {id} cannot be found.")))
}

/// `UpdateAccessKey`.
pub(super) fn update_key(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let id = name_of(params, "AccessKeyId", 128)?;
    let active = match params.get("Status") {
        Some("Active") => true,
        Some("Inactive") => false,
        _ => {
            return Err(AwsError::bad_request(
                "ValidationError",
                "1 validation error detected: Value at 'status' failed to satisfy constraint: \
                 Member must satisfy enum value set: [Active, Inactive]",
            ));
        }
    };
    let name = authorize(call, params)?;
    call.fake.change_iam(|directory| {
        let key = own_key(directory, &name, id)?;
        let changed = AccessKey {
            id: key.id.clone(),
            secret: key.secret.clone(),
            user: key.user.clone(),
            active,
            created: key.created,
        };
        directory.keys.insert(key.id.clone(), Arc::new(changed));
        Ok::<_, AwsError>(())
    })?;
    Ok(done(call, NAMESPACE))
}

/// `DeleteAccessKey`.
pub(super) fn delete_key(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let id = name_of(params, "AccessKeyId", 128)?;
    let name = authorize(call, params)?;
    call.fake.change_iam(|directory| {
        let key = own_key(directory, &name, id)?;
        directory.keys.remove(&key.id);
        Ok::<_, AwsError>(())
    })?;
    Ok(done(call, NAMESPACE))
}

fn write(xml: &mut Xml, account: &str, user: &Entity) {
    xml.node("User", |xml| {
        xml.text("Path", &user.path);
        xml.text("UserName", &user.name);
        xml.text("UserId", &user.id);
        xml.text("Arn", user.arn(account, "user"));
        xml.text("CreateDate", iso_seconds(user.created));
    });
}

fn write_key(xml: &mut Xml, key: &AccessKey) {
    xml.text("UserName", &key.user);
    xml.text("AccessKeyId", &key.id);
    xml.text("Status", if key.active { "Active" } else { "Inactive" });
    xml.text("CreateDate", iso_seconds(key.created));
}
