//! Who calls, once the signature is verified: an IAM user or a session of a role, with all that
//! decides about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::clock::iso_millis;
use crate::iam::directory::{Directory, Entity};
use crate::policy::{Context, Layers};
use crate::sts::session::Session;

/// A caller. Its policies are those that were in effect when the call came in.
#[derive(Debug)]
pub(crate) struct Caller {
    /// The user's ARN, or `arn:aws:sts::…:assumed-role/…`.
    pub(crate) arn: String,
    /// `aws:userid`: the user's id, or `AROA…:session-name`.
    pub(crate) user_id: String,
    /// `aws:PrincipalArn`: the user's ARN, or the role's.
    pub(crate) principal_arn: String,
    pub(crate) layers: Layers,
    /// `aws:PrincipalTag/*`: the session's tags over the role's.
    tags: BTreeMap<String, String>,
    identity: Identity,
}

#[derive(Debug)]
enum Identity {
    User { name: String },
    Session(Arc<Session>),
}

impl Caller {
    /// An IAM user.
    pub(crate) fn user(account: &str, directory: &Directory, user: &Entity) -> Self {
        let arn = user.arn(account, "user");
        Self {
            user_id: user.id.clone(),
            principal_arn: arn.clone(),
            arn,
            layers: directory.layers(user),
            tags: user.tags.clone(),
            identity: Identity::User { name: user.name.clone() },
        }
    }

    /// A session of a role.
    pub(crate) fn session(
        account: &str,
        directory: &Directory,
        role: &Entity,
        session: Arc<Session>,
    ) -> Self {
        let mut layers = directory.layers(role);
        layers.session = session.policies(directory);
        let mut tags = role.tags.clone();
        tags.extend(session.tags.clone());
        Self {
            arn: session.arn(account),
            user_id: session.user_id(),
            principal_arn: role.arn(account, "role"),
            layers,
            tags,
            identity: Identity::Session(session),
        }
    }

    /// The session behind the caller, if it is one.
    pub(crate) fn assumed(&self) -> Option<&Session> {
        match &self.identity {
            Identity::User { .. } => None,
            Identity::Session(session) => Some(session),
        }
    }

    /// The condition keys that every request of this caller has.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
    pub(crate) fn context(&self, account: &str, now: Timestamp) -> Context {
        let mut context = Context::default();
        context.set("aws:CurrentTime", iso_millis(now));
        context.set("aws:EpochTime", now.as_second().to_string());
        context.set("aws:userid", &self.user_id);
        context.set("aws:PrincipalArn", &self.principal_arn);
        context.set("aws:PrincipalAccount", account);
        context.set("aws:ResourceAccount", account);
        context.set("aws:ViaAWSService", "false");
        // This double stands where HTTPS is: policies that insist on it must not fail for its plain
        // HTTP.
        context.set("aws:SecureTransport", "true");
        for (key, value) in &self.tags {
            context.set(&format!("aws:PrincipalTag/{key}"), value);
        }
        match &self.identity {
            Identity::User { name } => {
                context.set("aws:PrincipalType", "User");
                context.set("aws:username", name);
            }
            Identity::Session(session) => {
                context.set("aws:PrincipalType", "AssumedRole");
                context.set("aws:TokenIssueTime", iso_millis(session.issued));
                context.set("aws:MultiFactorAuthPresent", "false");
                if let Some(identity) = &session.source_identity {
                    context.set("aws:SourceIdentity", identity);
                }
            }
        }
        context
    }
}
