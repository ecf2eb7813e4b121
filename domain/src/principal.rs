//! Who there is: principals, their groups, and the directory as it stands at one moment.

use std::{collections::BTreeMap, collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::names::{GroupName, InvalidName, PrincipalId};

/// A user or a service account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// Its name, an e-mail address for people.
    pub id: PrincipalId,
    /// How to call it on a screen.
    pub display_name: String,
    /// The groups it is in now.
    pub groups: BTreeSet<GroupName>,
    /// Who its manager is, where the identity provider tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<PrincipalId>,
    /// A disabled principal may do nothing; it is kept so that old records can be read.
    pub disabled: bool,
}

impl Principal {
    /// A principal in these groups, called by its name.
    pub fn new(id: PrincipalId, groups: impl IntoIterator<Item = GroupName>) -> Self {
        Self {
            display_name: id.to_string(),
            id,
            groups: groups.into_iter().collect(),
            manager: None,
            disabled: false,
        }
    }
}

/// A person or a group, as settings and flows write it: `user:ana@example.com`, `group:data`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// One principal.
    User(PrincipalId),
    /// Everybody in a group, as of now.
    Group(GroupName),
    /// Everybody who is known. Only a flow's requesters may say so: a text is never read as this
    /// without being asked, so that nobody makes everybody an approver or an administrator.
    Everyone,
}

/// How everybody is written.
pub const EVERYONE: &str = "everyone";

/// Why a text names no subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubject {
    /// Neither `user:` nor `group:` stands before the name.
    #[error("'{0}' names nobody: write user:NAME or group:NAME")]
    Prefix(String),
    /// What follows the prefix is not a name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        match text.split_once(':') {
            Some(("user", name)) => Ok(Self::User(name.parse()?)),
            Some(("group", name)) => Ok(Self::Group(name.parse()?)),
            _ => Err(InvalidSubject::Prefix(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Subject {
    type Error = InvalidSubject;

    fn try_from(text: String) -> Result<Self, InvalidSubject> {
        if text == EVERYONE { Ok(Self::Everyone) } else { text.parse() }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Everyone => f.write_str(EVERYONE),
        }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> String {
        subject.to_string()
    }
}

/// All principals at one moment. Decisions take it as an argument, so that a leaver or a lost
/// group takes effect with the next decision (I10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    principals: BTreeMap<PrincipalId, Principal>,
    /// The active members of each group, so that asking costs what the group is, not the company.
    groups: BTreeMap<GroupName, BTreeSet<PrincipalId>>,
}

impl Directory {
    /// A directory of these principals; the last of one name wins.
    pub fn new(principals: impl IntoIterator<Item = Principal>) -> Self {
        let principals: BTreeMap<_, _> =
            principals.into_iter().map(|p| (p.id.clone(), p)).collect();
        let mut groups: BTreeMap<GroupName, BTreeSet<PrincipalId>> = BTreeMap::new();
        for principal in principals.values().filter(|principal| !principal.disabled) {
            for group in &principal.groups {
                groups.entry(group.clone()).or_default().insert(principal.id.clone());
            }
        }
        Self { principals, groups }
    }

    /// The principal of that name, if it is known and not disabled.
    pub fn active(&self, id: &PrincipalId) -> Option<&Principal> {
        self.principals.get(id).filter(|p| !p.disabled)
    }

    /// Every principal, disabled ones too.
    pub fn all(&self) -> impl Iterator<Item = &Principal> {
        self.principals.values()
    }

    /// Whether an active principal is meant by `subject`.
    pub fn matches(&self, subject: &Subject, id: &PrincipalId) -> bool {
        self.active(id).is_some_and(|principal| match subject {
            Subject::User(user) => user == id,
            Subject::Group(group) => principal.groups.contains(group),
            Subject::Everyone => true,
        })
    }

    /// Every active principal that `subject` means.
    pub fn members(&self, subject: &Subject) -> impl Iterator<Item = PrincipalId> {
        let (user, group, everyone) = match subject {
            Subject::User(user) => (self.active(user).map(|user| user.id.clone()), None, None),
            Subject::Group(group) => (None, self.groups.get(group), None),
            Subject::Everyone => (None, None, Some(self.principals.values())),
        };
        let everyone = everyone.into_iter().flatten().filter(|person| !person.disabled);
        user.into_iter()
            .chain(group.into_iter().flatten().cloned())
            .chain(everyone.map(|person| person.id.clone()))
    }

    /// Every active principal that one of `subjects` means.
    pub fn resolve<'a>(
        &self,
        subjects: impl IntoIterator<Item = &'a Subject>,
    ) -> BTreeSet<PrincipalId> {
        subjects.into_iter().flat_map(|subject| self.members(subject)).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A principal in these groups.
    pub(crate) fn person(name: &str, groups: &[&str]) -> Principal {
        let id = format!("{name}@example.com").parse().unwrap();
        Principal::new(id, groups.iter().map(|group| group.parse().unwrap()))
    }

    #[test]
    fn a_disabled_principal_is_nobody() {
        let mut ben = person("ben", &["dba"]);
        ben.disabled = true;
        let directory = Directory::new([person("ana", &["dba"]), ben]);
        let dba = Subject::Group("dba".parse().unwrap());
        assert_eq!(directory.resolve([&dba]).len(), 1);
        assert_eq!(directory.resolve([&Subject::Everyone]).len(), 1);
        assert!(directory.active(&"ben@example.com".parse().unwrap()).is_none());
    }

    #[test]
    fn subjects_read_what_they_write() {
        for text in ["user:ana@example.com", "group:data"] {
            assert_eq!(text.parse::<Subject>().unwrap().to_string(), text);
        }
        assert!("data".parse::<Subject>().unwrap_err().to_string().contains("user:NAME"));
        assert!("group:Data".parse::<Subject>().is_err());
    }

    #[test]
    fn everyone_is_read_only_where_it_is_asked_for() {
        assert!("everyone".parse::<Subject>().is_err());
        let json = serde_json::to_string(&Subject::Everyone).unwrap();
        assert_eq!(serde_json::from_str::<Subject>(&json).unwrap(), Subject::Everyone);
    }
}
