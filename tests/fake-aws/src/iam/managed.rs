//! Managed policies: those of AWS that tests want, and those that a test creates.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use http::Response;
use jiff::Timestamp;

use super::directory::Document;
use super::{NAMESPACE, exists, malformed, name_of, not_found, path_of};
use crate::clock::iso_seconds;
use crate::error::AwsError;
use crate::ids::unique_id;
use crate::policy::{Context, Kind};
use crate::query::{Checks, Params, answer, done};
use crate::service::Call;
use crate::xml::Xml;

/// What the admin of the account has.
pub(crate) const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// A managed policy.
#[derive(Debug)]
pub(crate) struct ManagedPolicy {
    pub(crate) arn: String,
    pub(crate) name: String,
    path: String,
    id: String,
    created: Timestamp,
    pub(crate) document: Document,
}

/// The longest managed policy, white space aside.
const LONGEST: usize = 6_144;

/// AWS's own policies that exist here. `ReadOnlyAccess` is cut down to the services that this
/// double may speak.
pub(super) fn built_in(now: Timestamp) -> Result<BTreeMap<String, Arc<ManagedPolicy>>, String> {
    let policies = [
        ("AdministratorAccess", r#""*""#),
        ("AmazonS3FullAccess", r#"["s3:*","s3-object-lambda:*"]"#),
        ("AmazonS3ReadOnlyAccess", r#"["s3:Get*","s3:List*","s3:Describe*"]"#),
        ("IAMReadOnlyAccess", r#"["iam:Get*","iam:List*","iam:Simulate*"]"#),
        (
            "ReadOnlyAccess",
            r#"["s3:Get*","s3:List*","iam:Get*","iam:List*","ec2:Describe*","ec2:Get*","rds:Describe*","rds:List*","ssm:Describe*","ssm:Get*","ssm:List*","cloudtrail:LookupEvents","tag:Get*"]"#,
        ),
    ];
    let mut all = BTreeMap::new();
    for (name, actions) in policies {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"*"}}]}}"#
        );
        let policy = ManagedPolicy {
            arn: format!("arn:aws:iam::aws:policy/{name}"),
            name: name.to_owned(),
            path: "/".to_owned(),
            id: unique_id("ANPA", 17),
            created: now,
            document: Document::parse(&text, Kind::Permissions)?,
        };
        all.insert(policy.arn.clone(), Arc::new(policy));
    }
    Ok(all)
}

/// `CreatePolicy`.
pub(super) fn create(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let name = name_of(params, "PolicyName", 128)?;
    let path = path_of(params)?;
    let mut checks = Checks::default();
    let text = checks.required("policyDocument", params.get("PolicyDocument"));
    checks.finish()?;
    let arn = format!("arn:aws:iam::{}:policy{path}{name}", call.fake.account);
    call.authorize("iam:CreatePolicy", &arn, Context::default())?;
    let document = Document::parse(text, Kind::Permissions).map_err(malformed)?;
    if document.size() > LONGEST {
        return Err(AwsError::conflict(
            "LimitExceeded",
            format!("Cannot exceed quota for PolicySize: {LONGEST}"),
        ));
    }
    let policy = Arc::new(ManagedPolicy {
        arn: arn.clone(),
        name: name.to_owned(),
        path,
        id: unique_id("ANPA", 17),
        created: call.now,
        document,
    });
    call.fake.change_iam(|directory| {
        if directory.managed.contains_key(&arn) {
            return Err(exists(format!(
                "A policy called {name} already exists. Duplicate names are not allowed."
            )));
        }
        directory.managed.insert(arn.clone(), Arc::clone(&policy));
        Ok(())
    })?;
    Ok(answer(call, NAMESPACE, |xml| write(xml, &policy)))
}

/// `GetPolicy`.
pub(super) fn get(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let arn = arn_of(params)?;
    call.authorize("iam:GetPolicy", &arn, Context::default())?;
    let directory = call.fake.world.lock().iam.current();
    let policy = directory.managed.get(&arn).ok_or_else(|| missing(&arn))?;
    Ok(answer(call, NAMESPACE, |xml| write(xml, policy)))
}

/// `DeletePolicy`.
pub(super) fn delete(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let arn = arn_of(params)?;
    call.authorize("iam:DeletePolicy", &arn, Context::default())?;
    call.fake.change_iam(|directory| {
        let in_use = directory
            .entities()
            .any(|e| e.attached.contains(&arn) || e.boundary.as_ref() == Some(&arn));
        if in_use {
            return Err(AwsError::conflict(
                "DeleteConflict",
                "Cannot delete a policy attached to entities.",
            ));
        }
        directory.managed.remove(&arn).ok_or_else(|| missing(&arn))
    })?;
    Ok(done(call, NAMESPACE))
}

/// The parameter `PolicyArn`.
pub(super) fn arn_of(params: &Params) -> Result<String, AwsError> {
    let mut checks = Checks::default();
    let arn = checks.required("policyArn", params.get("PolicyArn"));
    if params.get("PolicyArn").is_some() {
        checks.length("policyArn", arn, 20, 2_048);
    }
    checks.finish()?;
    Ok(arn.to_owned())
}

/// `NoSuchEntity` for a managed policy.
pub(super) fn missing(arn: &str) -> AwsError {
    not_found(format!("Policy {arn} does not exist or is not attachable."))
}

fn write(xml: &mut Xml, policy: &ManagedPolicy) {
    xml.node("Policy", |xml| {
        xml.text("PolicyName", &policy.name);
        xml.text("PolicyId", &policy.id);
        xml.text("Arn", &policy.arn);
        xml.text("Path", &policy.path);
        xml.text("DefaultVersionId", "v1");
        xml.text("IsAttachable", "true");
        xml.text("CreateDate", iso_seconds(policy.created));
        xml.text("UpdateDate", iso_seconds(policy.created));
    });
}
