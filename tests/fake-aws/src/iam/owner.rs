//! Users and roles have policies in the same way: here is what differs, so that each operation is
//! written once.

use std::sync::Arc;

use super::directory::{Directory, Entity};
use super::{name_of, not_found};
use crate::error::AwsError;
use crate::query::Params;

/// Whose policies an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    User,
    Role,
}

impl Owner {
    /// "User" or "Role", as in the names of operations.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Role => "Role",
        }
    }

    /// "user" or "role", as in ARNs and messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
        }
    }

    /// The most that all inline policies together may have, white space aside.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    pub(super) fn inline_limit(self) -> usize {
        match self {
            Self::User => 2_048,
            Self::Role => 10_240,
        }
    }

    /// The parameter `UserName` or `RoleName`.
    pub(super) fn name_of(self, params: &Params) -> Result<&str, AwsError> {
        match self {
            Self::User => name_of(params, "UserName", 64),
            Self::Role => name_of(params, "RoleName", 64),
        }
    }

    /// The user or role of a name.
    pub(super) fn find(self, directory: &Directory, name: &str) -> Result<Entity, AwsError> {
        match self {
            Self::User => directory.users.get(name).map(|user| Entity::clone(user)),
            Self::Role => directory.roles.get(name).map(|role| role.entity.clone()),
        }
        .ok_or_else(|| self.missing(name))
    }

    /// As `find`, to change it.
    pub(super) fn find_mut<'a>(
        self,
        directory: &'a mut Directory,
        name: &str,
    ) -> Result<&'a mut Entity, AwsError> {
        match self {
            Self::User => directory.users.get_mut(name).map(Arc::make_mut),
            Self::Role => directory.roles.get_mut(name).map(|role| &mut Arc::make_mut(role).entity),
        }
        .ok_or_else(|| self.missing(name))
    }

    /// `NoSuchEntity`.
    pub(super) fn missing(self, name: &str) -> AwsError {
        not_found(format!("The {} with name {name} cannot be found.", self.noun()))
    }

    /// The ARN of a user or role; one that does not exist is taken to have the path `/`, as AWS
    /// does in refusals.
    pub(super) fn arn(self, directory: &Directory, account: &str, name: &str) -> String {
        match self.find(directory, name) {
            Ok(entity) => entity.arn(account, self.noun()),
            Err(_) => format!("arn:aws:iam::{account}:{}/{name}", self.noun()),
        }
    }
}
