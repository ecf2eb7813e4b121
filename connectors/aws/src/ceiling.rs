//! The ceiling role as IAM has it: its inline denies, and how long its sessions may be.

use aws_sdk_iam::Client;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use ebbgate_connector_api::ConnectorError;
use ebbgate_domain::Timestamp;
use tracing::{info, warn};

use crate::{arn::RoleArn, deny::Deny, failure::failed};

/// IAM's code for a role or a policy that is not there.
const NOT_THERE: &str = "NoSuchEntity";
/// IAM's code for policies that are too long in all.
const NO_ROOM: &str = "LimitExceeded";

/// The ceiling role's policies.
#[derive(Debug)]
pub(crate) struct Ceiling {
    iam: Client,
    role: RoleArn,
}

/// Whether a write reached a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrote {
    Done,
    /// There is no such role in the caller's account.
    NoRole,
    /// The role's inline policies are full, of others' or of denies that are still needed.
    NoRoom,
}

impl Ceiling {
    pub(crate) fn new(iam: Client, role: RoleArn) -> Self {
        Self { iam, role }
    }

    /// For how long the role lets sessions live, in seconds; none where there is no such role.
    ///
    /// # Errors
    /// As IAM answers.
    pub(crate) async fn longest_session(&self) -> Result<Option<u32>, ConnectorError> {
        match self.iam.get_role().role_name(self.role.name()).send().await {
            Ok(answer) => {
                // IAM tells it for every role; an emulator may leave it out: then its default.
                let seconds = answer.role.and_then(|role| role.max_session_duration);
                Ok(Some(seconds.and_then(|s| u32::try_from(s).ok()).unwrap_or(3_600)))
            }
            Err(error) if error.code() == Some(NOT_THERE) => Ok(None),
            Err(error) => Err(failed(format!("read the role {}", self.role), &error)),
        }
    }

    /// Our denies on the role; empty where there is no such role.
    ///
    /// # Errors
    /// As IAM answers.
    pub(crate) async fn denies(&self) -> Result<Vec<Deny>, ConnectorError> {
        let pages = self.iam.list_role_policies().role_name(self.role.name());
        let mut names = pages.into_paginator().items().send();
        let mut denies = Vec::new();
        while let Some(name) = names.next().await {
            match name {
                Ok(name) => denies.extend(Deny::parse(&name)),
                Err(error) if error.code() == Some(NOT_THERE) => return Ok(Vec::new()),
                Err(error) => {
                    return Err(failed(format!("list the policies of {}", self.role), &error));
                }
            }
        }
        Ok(denies)
    }

    /// Puts a deny in force, within what IAM calls its propagation. It is not looked up before: what
    /// is there already is replaced by its like.
    ///
    /// # Errors
    /// As IAM answers.
    pub(crate) async fn deny(&self, deny: Deny, now: Timestamp) -> Result<Wrote, ConnectorError> {
        let wrote = self.put(deny).await?;
        if wrote != Wrote::NoRoom {
            return Ok(wrote);
        }
        warn!(aws.role = %self.role, "no room for one more deny: clearing old ones away");
        self.prune(now).await?;
        self.put(deny).await
    }

    /// Deletes the denies that have outlived what they are for.
    ///
    /// # Errors
    /// As IAM answers; the first one, after all were tried.
    pub(crate) async fn prune(&self, now: Timestamp) -> Result<(), ConnectorError> {
        let mut outcome = Ok(());
        for deny in self.denies().await?.into_iter().filter(|deny| deny.is_spent(now)) {
            let deleted = self.delete(deny).await;
            outcome = outcome.and(deleted);
        }
        outcome
    }

    async fn put(&self, deny: Deny) -> Result<Wrote, ConnectorError> {
        let name = deny.policy_name();
        let put = self.iam.put_role_policy().role_name(self.role.name()).policy_name(&name);
        match put.policy_document(deny.document()).send().await {
            Ok(_) => {
                info!(aws.role = %self.role, aws.policy = name, "deny written");
                Ok(Wrote::Done)
            }
            Err(error) => match error.code() {
                Some(NOT_THERE) => Ok(Wrote::NoRole),
                Some(NO_ROOM) => Ok(Wrote::NoRoom),
                _ => Err(failed(format!("put the deny {name} on {}", self.role), &error)),
            },
        }
    }

    async fn delete(&self, deny: Deny) -> Result<(), ConnectorError> {
        let name = deny.policy_name();
        let delete = self.iam.delete_role_policy().role_name(self.role.name()).policy_name(&name);
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(NOT_THERE) => Ok(()),
            Err(error) => Err(failed(format!("delete the deny {name} on {}", self.role), &error)),
        }
    }
}
