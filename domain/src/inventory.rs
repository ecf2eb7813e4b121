//! What can be accessed: resources and the integrations they live in.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    names::{IntegrationName, PermissionName, ResourceId},
    principal::Subject,
};

/// The tag that names a resource's owner.
pub const OWNER_TAG: &str = "owner";

/// What sort of thing a resource is. It decides which permissions exist for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// One database of a PostgreSQL server.
    Postgres,
    /// One database of a MySQL or MariaDB server.
    Mysql,
    /// One S3 bucket.
    S3,
    /// One EC2 instance. Flows may be about them; no connector gives access to them yet.
    Ec2,
}

impl ResourceKind {
    /// All kinds, for messages and completions.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Mysql, Self::S3, Self::Ec2];

    /// The kind as settings and flows write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::S3 => "s3",
            Self::Ec2 => "ec2",
        }
    }

    /// The permissions that the connectors know for this kind.
    pub fn permissions(self) -> &'static [&'static str] {
        match self {
            Self::Postgres | Self::Mysql => &["select", "full", "ddl", "admin"],
            Self::S3 => &["read-only", "read-write"],
            Self::Ec2 => &["ssm-session"],
        }
    }

    /// Whether `permission` can be granted on a resource of this kind.
    pub fn offers(self, permission: &PermissionName) -> bool {
        self.permissions().contains(&permission.as_str())
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One thing to be accessed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// `integration/kind/native`.
    pub id: ResourceId,
    /// Where it lives.
    pub integration: IntegrationName,
    /// What it is.
    pub kind: ResourceKind,
    /// What its target calls it: a database's or a bucket's name.
    pub native: String,
    /// Labels that scopes select by.
    pub tags: BTreeMap<String, String>,
}

impl Resource {
    /// Who owns it, as its tag `owner` says: an e-mail address, `user:…` or `group:…`.
    pub fn owner(&self) -> Option<Subject> {
        let owner = self.tags.get(OWNER_TAG)?;
        let owner = owner.parse().or_else(|_| owner.parse().map(Subject::User)).ok();
        // A tag must not make everybody an approver.
        owner.filter(|owner| *owner != Subject::Everyone)
    }
}

/// All resources that are known now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    resources: BTreeMap<ResourceId, Resource>,
    /// Those that bear each native name, so that finding one by its name costs no walk over all.
    names: BTreeMap<String, Vec<ResourceId>>,
}

impl Inventory {
    /// An inventory of these resources.
    pub fn new(resources: impl IntoIterator<Item = Resource>) -> Self {
        let resources: BTreeMap<_, _> = resources.into_iter().map(|r| (r.id.clone(), r)).collect();
        let mut names: BTreeMap<String, Vec<ResourceId>> = BTreeMap::new();
        for resource in resources.values() {
            names.entry(resource.native.clone()).or_default().push(resource.id.clone());
        }
        Self { resources, names }
    }

    /// The resource of that id.
    pub fn get(&self, id: &ResourceId) -> Option<&Resource> {
        self.resources.get(id)
    }

    /// The resources that their targets call so, in the order of their ids.
    pub fn named(&self, native: &str) -> impl Iterator<Item = &Resource> {
        self.names.get(native).into_iter().flatten().filter_map(|id| self.resources.get(id))
    }

    /// The resources whose ids come after this one, in the order of their ids; all where it is none.
    pub fn after(&self, id: Option<&ResourceId>) -> impl Iterator<Item = &Resource> {
        use std::ops::Bound::{Excluded, Unbounded};

        let from = id.map_or(Unbounded, Excluded);
        self.resources.range::<ResourceId, _>((from, Unbounded)).map(|(_, resource)| resource)
    }

    /// All resources in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.resources.values()
    }
}
