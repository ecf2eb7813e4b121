//! What IAM holds: users with their keys, roles, policies. Values only; the operations are beside
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use super::managed::{self, ManagedPolicy};
use crate::ids::unique_id;
use crate::policy::{Kind, Layers, Policy};

/// All of IAM. Cloned at each change, hence the shared entries.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    pub(crate) users: BTreeMap<String, Arc<Entity>>,
    pub(crate) roles: BTreeMap<String, Arc<Role>>,
    /// By access key id.
    pub(crate) keys: BTreeMap<String, Arc<AccessKey>>,
    /// By ARN.
    pub(crate) managed: BTreeMap<String, Arc<ManagedPolicy>>,
}

/// What users and roles have in common.
#[derive(Debug, Clone)]
pub(crate) struct Entity {
    pub(crate) name: String,
    /// Begins and ends with a slash.
    pub(crate) path: String,
    /// `AIDA…` or `AROA…`.
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: BTreeMap<String, String>,
    /// Inline policies by name.
    pub(crate) inline: BTreeMap<String, Document>,
    /// The ARNs of attached managed policies.
    pub(crate) attached: BTreeSet<String>,
    /// The ARN of the managed policy that is the permissions boundary.
    pub(crate) boundary: Option<String>,
}

/// A role.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) entity: Entity,
    pub(crate) trust: Document,
    /// The longest session, in seconds.
    pub(crate) max_session: i64,
    pub(crate) description: Option<String>,
}

/// A long-term access key of a user.
#[derive(Debug)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
    pub(crate) user: String,
    pub(crate) active: bool,
    pub(crate) created: Timestamp,
}

/// A policy as it was written, and read.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) policy: Arc<Policy>,
}

impl Document {
    /// Reads a policy.
    ///
    /// # Errors
    /// IAM's complaint about it.
    pub(crate) fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        Ok(Self { text: text.to_owned(), policy: Arc::new(Policy::parse(text, kind)?) })
    }

    /// What counts for IAM's limits: its characters without white space.
    pub(crate) fn size(&self) -> usize {
        self.text.chars().filter(|c| !c.is_whitespace()).count()
    }
}

impl Entity {
    /// A new one with a fresh id.
    pub(crate) fn new(name: &str, path: &str, id_prefix: &str, created: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            path: path.to_owned(),
            id: unique_id(id_prefix, 17),
            created,
            tags: BTreeMap::new(),
            inline: BTreeMap::new(),
            attached: BTreeSet::new(),
            boundary: None,
        }
    }

    /// `arn:aws:iam::…:role/path/name`, for `kind` "role" or "user".
    pub(crate) fn arn(&self, account: &str, kind: &str) -> String {
        let Self { path, name, .. } = self;
        format!("arn:aws:iam::{account}:{kind}{path}{name}")
    }
}

impl Directory {
    /// Empty but for AWS's own policies and the user `admin` with one key.
    ///
    /// # Errors
    /// When a built-in policy can't be read.
    pub(crate) fn with_admin(
        key_id: String,
        secret: SecretString,
        now: Timestamp,
    ) -> Result<Self, String> {
        let mut admin = Entity::new("admin", "/", "AIDA", now);
        admin.attached.insert(managed::ADMINISTRATOR.to_owned());
        let key = AccessKey {
            id: key_id.clone(),
            secret,
            user: admin.name.clone(),
            active: true,
            created: now,
        };
        Ok(Self {
            users: BTreeMap::from([(admin.name.clone(), Arc::new(admin))]),
            roles: BTreeMap::new(),
            keys: BTreeMap::from([(key_id, Arc::new(key))]),
            managed: managed::built_in(now)?,
        })
    }

    /// What decides about a user or a role, session policies aside.
    pub(crate) fn layers(&self, entity: &Entity) -> Layers {
        let inline = entity.inline.values().map(|d| Arc::clone(&d.policy));
        Layers {
            identity: inline.chain(self.managed_policies(&entity.attached)).collect(),
            boundary: entity.boundary.as_ref().map(|arn| self.managed_policies([arn]).collect()),
            session: None,
        }
    }

    /// The policies behind ARNs, of those that exist.
    pub(crate) fn managed_policies<'a>(
        &'a self,
        arns: impl IntoIterator<Item = &'a String> + 'a,
    ) -> impl Iterator<Item = Arc<Policy>> + 'a {
        arns.into_iter()
            .filter_map(|arn| self.managed.get(arn))
            .map(|managed| Arc::clone(&managed.document.policy))
    }

    /// The users' and roles' entities.
    pub(crate) fn entities(&self) -> impl Iterator<Item = &Entity> {
        let users = self.users.values().map(|user| &**user);
        users.chain(self.roles.values().map(|role| &role.entity))
    }
}
