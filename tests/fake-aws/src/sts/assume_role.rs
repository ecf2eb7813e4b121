//! `AssumeRole`. <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use http::Response;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;

use super::NAMESPACE;
use super::session::Session;
use crate::clock::iso_seconds;
use crate::error::AwsError;
use crate::iam::directory::Role;
use crate::ids::{secret_access_key, session_token, unique_id};
use crate::policy::{Context, Denial, Kind, Policy, Question, Trust, Trustee, trust};
use crate::query::{self, Checks, Params};
use crate::service::Call;

/// The longest session of a session, in seconds.
const CHAINED_MAX: i64 = 3_600;
/// What policies and tags may take in the token's packed form. AWS publishes neither the form nor
/// the limit: this is an approximation, so that `PackedPolicySize` grows as it does there and can
/// be exceeded.
const PACKED_BYTES: usize = 4_096;

/// What was asked for, its limits checked.
struct Wish<'a> {
    role_arn: &'a str,
    session_name: &'a str,
    duration: i64,
    policy_text: Option<&'a str>,
    policy: Option<Arc<Policy>>,
    policy_arns: Vec<String>,
    tags: Vec<(String, String)>,
    transitive: BTreeSet<String>,
    source_identity: Option<&'a str>,
    external_id: Option<&'a str>,
}

/// Serves the call.
pub(super) fn answer(call: &Call<'_>, params: &Params) -> Result<Response<Body>, AwsError> {
    let wish = Wish::read(params)?;
    call.note_resource(wish.role_arn);
    call.note("roleSessionName", wish.session_name);
    call.note("durationSeconds", &wish.duration.to_string());
    if let Some(identity) = wish.source_identity {
        call.note("sourceIdentity", identity);
    }
    let role = find_role(call, &wish)?;
    let inherited = Inherited::from(call, &wish)?;
    authorize(call, &wish, &role, &inherited)?;
    wish.check_duration(call, &role)?;
    let packed = wish.packed_percent()?;
    let session = Arc::new(wish.session(&role, inherited, call.now));
    call.fake.world.lock().sts.insert(Arc::clone(&session));
    Ok(query::answer(call, NAMESPACE, |xml| {
        xml.optional("SourceIdentity", session.source_identity.as_ref());
        xml.node("AssumedRoleUser", |xml| {
            xml.text("AssumedRoleId", session.user_id());
            xml.text("Arn", session.arn(&call.fake.account));
        });
        xml.node("Credentials", |xml| {
            xml.text("AccessKeyId", &session.access_key_id);
            xml.text("SecretAccessKey", session.secret.expose_secret());
            xml.text("SessionToken", session.token.expose_secret());
            xml.text("Expiration", iso_seconds(session.expires));
        });
        xml.optional("PackedPolicySize", packed.map(|percent| percent.to_string()));
    }))
}

impl<'a> Wish<'a> {
    fn read(params: &'a Params) -> Result<Self, AwsError> {
        let mut checks = Checks::default();
        let role_arn = checks.required("roleArn", params.get("RoleArn"));
        let session_name = checks.required("roleSessionName", params.get("RoleSessionName"));
        if params.get("RoleArn").is_some() {
            checks.length("roleArn", role_arn, 20, 2_048);
        }
        let source_identity = params.get("SourceIdentity");
        let names = [
            ("roleSessionName", params.get("RoleSessionName")),
            ("sourceIdentity", source_identity),
        ];
        for (field, name) in names {
            if let Some(name) = name {
                checks.name(field, name);
                checks.length(field, name, 2, 64);
            }
        }
        let duration = params.get("DurationSeconds");
        let duration = checks.number("durationSeconds", duration, 3_600, 900, 43_200);
        let policy_text = params.get("Policy");
        if let Some(text) = policy_text {
            checks.length("policy", text, 1, 2_048);
        }
        let external_id = params.get("ExternalId");
        if let Some(id) = external_id {
            checks.length("externalId", id, 2, 1_224);
        }
        let tags = params.tags();
        checks.tags(&tags, 50)?;
        checks.finish()?;

        let transitive: BTreeSet<String> =
            params.list("TransitiveTagKeys", "").into_iter().map(str::to_owned).collect();
        if let Some(key) = transitive.iter().find(|key| !tags.iter().any(|(tag, _)| tag == *key)) {
            return Err(AwsError::bad_request(
                "InvalidParameterValue",
                format!("The transitive tag key {key} is not among the session's tags."),
            ));
        }
        let policy_arns = params.list("PolicyArns", ".arn");
        if policy_arns.len() > 10 {
            return Err(AwsError::bad_request(
                "ValidationError",
                "1 validation error detected: Value '[…]' at 'policyArns' failed to satisfy \
                 constraint: Member must have length less than or equal to 10",
            ));
        }
        let policy = policy_text
            .map(|text| Policy::parse(text, Kind::Permissions))
            .transpose()
            .map_err(|message| AwsError::bad_request("MalformedPolicyDocument", message))?
            .map(Arc::new);
        Ok(Self {
            role_arn,
            session_name,
            duration,
            policy_text,
            policy,
            policy_arns: policy_arns.into_iter().map(str::to_owned).collect(),
            tags,
            transitive,
            source_identity,
            external_id,
        })
    }

    /// AWS refuses, it does not shorten.
    fn check_duration(&self, call: &Call<'_>, role: &Role) -> Result<(), AwsError> {
        let refuse = |message| Err(AwsError::bad_request("ValidationError", message));
        if call.caller.assumed().is_some() && self.duration > CHAINED_MAX {
            return refuse(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed \
                 by role chaining",
            );
        }
        if self.duration > role.max_session {
            return refuse(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            );
        }
        Ok(())
    }

    /// How full the packed policies and tags are, if there are any.
    fn packed_percent(&self) -> Result<Option<usize>, AwsError> {
        let policy = self.policy_text.map_or(0, str::len);
        let arns: usize = self.policy_arns.iter().map(String::len).sum();
        let tags: usize = self.tags.iter().map(|(k, v)| k.len() + v.len()).sum();
        let bytes = policy + arns + tags;
        let percent = (bytes * 100).div_ceil(PACKED_BYTES);
        if percent > 100 {
            return Err(AwsError::bad_request(
                "PackedPolicyTooLarge",
                format!(
                    "Packed policy consumes {percent}% of allotted space, please use smaller policy."
                ),
            ));
        }
        Ok((bytes > 0).then_some(percent))
    }

    fn session(self, role: &Role, inherited: Inherited, now: Timestamp) -> Session {
        // Expiration is told in whole seconds, and must be the moment at which it happens.
        let whole = SignedDuration::from_nanos(i64::from(now.subsec_nanosecond()));
        let lifetime = SignedDuration::from_secs(self.duration);
        let expires = now.saturating_add(lifetime - whole).unwrap_or(now);
        let mut tags = inherited.tags;
        let mut transitive: BTreeSet<String> = tags.keys().cloned().collect();
        transitive.extend(self.transitive);
        tags.extend(self.tags);
        Session {
            access_key_id: unique_id("ASIA", 16),
            secret: secret_access_key(),
            token: session_token(),
            role_name: role.entity.name.clone(),
            role_id: role.entity.id.clone(),
            session_name: self.session_name.to_owned(),
            source_identity: inherited.source_identity,
            tags,
            transitive,
            inline_policy: self.policy,
            policy_arns: self.policy_arns,
            issued: now,
            expires,
        }
    }
}

/// What a session of a session takes over.
struct Inherited {
    /// Asked for, or the calling session's.
    source_identity: Option<String>,
    /// The calling session's transitive tags.
    tags: BTreeMap<String, String>,
}

impl Inherited {
    fn from(call: &Call<'_>, wish: &Wish<'_>) -> Result<Self, AwsError> {
        let asked = wish.source_identity.map(str::to_owned);
        let Some(session) = call.caller.assumed() else {
            return Ok(Self { source_identity: asked, tags: BTreeMap::new() });
        };
        let own = session.source_identity.clone();
        if own.is_some() && asked.is_some() && own != asked {
            return Err(AwsError::access_denied(format!(
                "User: {} is not authorized to perform: sts:SetSourceIdentity on resource: {}",
                call.caller.arn, wish.role_arn
            )));
        }
        let tags: BTreeMap<String, String> = session
            .tags
            .iter()
            .filter(|(key, _)| session.transitive.contains(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let taken = |tag: &str| tags.keys().any(|own| own.eq_ignore_ascii_case(tag));
        if wish.tags.iter().any(|(key, _)| taken(key)) {
            return Err(AwsError::bad_request(
                "InvalidParameterValue",
                "One of the specified transitive tag keys can't be set because it conflicts with a \
                 transitive tag key from the calling session.",
            ));
        }
        Ok(Self { source_identity: own.or(asked), tags })
    }
}

fn find_role(call: &Call<'_>, wish: &Wish<'_>) -> Result<Arc<Role>, AwsError> {
    let directory = call.fake.world.lock().iam.effective();
    if !wish.role_arn.starts_with("arn:aws:iam::") {
        return Err(AwsError::bad_request(
            "ValidationError",
            format!("{} is invalid", wish.role_arn),
        ));
    }
    // AWS looks managed session policies up and refuses unknown ones; with which code is not
    // documented.
    for arn in &wish.policy_arns {
        if !directory.managed.contains_key(arn) {
            return Err(AwsError::bad_request(
                "ValidationError",
                format!("Policy {arn} does not exist or is not attachable."),
            ));
        }
    }
    // An unknown role is refused as a forbidden one: STS does not tell which roles there are.
    let name = wish.role_arn.rsplit('/').next().unwrap_or_default();
    directory
        .roles
        .get(name)
        .filter(|role| role.entity.arn(&call.fake.account, "role") == wish.role_arn)
        .cloned()
        .ok_or_else(|| refusal(call, "sts:AssumeRole", wish.role_arn, None))
}

fn authorize(
    call: &Call<'_>,
    wish: &Wish<'_>,
    role: &Role,
    inherited: &Inherited,
) -> Result<(), AwsError> {
    let context = call.context(wish.keys(role, inherited));
    let tagged = !wish.tags.is_empty() || !inherited.tags.is_empty();
    let asked = [
        ("sts:AssumeRole", true),
        ("sts:SetSourceIdentity", inherited.source_identity.is_some()),
        ("sts:TagSession", tagged),
    ];
    for (action, needed) in asked {
        if needed {
            let question = Question { action, resource: wish.role_arn, context: &context };
            ask(call, role, question)?;
        }
    }
    Ok(())
}

impl Wish<'_> {
    fn keys(&self, role: &Role, inherited: &Inherited) -> Context {
        let mut keys = Context::default();
        keys.set("sts:RoleSessionName", self.session_name);
        if let Some(identity) = &inherited.source_identity {
            keys.set("sts:SourceIdentity", identity);
        }
        if let Some(id) = self.external_id {
            keys.set("sts:ExternalId", id);
        }
        keys.set_all("sts:TransitiveTagKeys", self.transitive.iter().cloned());
        keys.set_all("aws:TagKeys", self.tags.iter().map(|(key, _)| key.clone()));
        for (key, value) in &self.tags {
            keys.set(&format!("aws:RequestTag/{key}"), value);
        }
        for (key, value) in &role.entity.tags {
            keys.set(&format!("aws:ResourceTag/{key}"), value);
            keys.set(&format!("iam:ResourceTag/{key}"), value);
        }
        keys
    }
}

/// The role's trust policy and the caller's own policies together, within one account.
fn ask(call: &Call<'_>, role: &Role, question: Question<'_>) -> Result<(), AwsError> {
    let caller = &call.caller;
    let role_arn = caller.assumed().map(|_| caller.principal_arn.as_str());
    let trustee = Trustee { account: &call.fake.account, arn: &caller.arn, role_arn };
    let refuse = |denial| refusal(call, question.action, question.resource, denial);
    let layers = &caller.layers;
    layers.explicit(question).map_err(|d| refuse(Some(d)))?;
    match trust(&role.trust.policy, question, trustee) {
        Trust::Denied => Err(refuse(Some(Denial { explicit: true, by: "role trust policy" }))),
        Trust::Silent => Err(refuse(None)),
        Trust::Account => layers.decide(question).map_err(|d| refuse(Some(d))),
        Trust::Role => layers.within_limits(question).map_err(|d| refuse(Some(d))),
        Trust::Caller => Ok(()),
    }
}

/// `AccessDenied`; AWS gives no reason where it is the trust policy that does not allow.
fn refusal(call: &Call<'_>, action: &str, role_arn: &str, denial: Option<Denial>) -> AwsError {
    let sentence = format!(
        "User: {} is not authorized to perform: {action} on resource: {role_arn}",
        call.caller.arn
    );
    AwsError::access_denied(match denial {
        Some(denial) => format!("{sentence} {}", denial.reason(action)),
        None => sentence,
    })
}
