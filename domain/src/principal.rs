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
    /// A disabled principal may do nothing; it is kept so that old records can be read.
    pub disabled: bool,
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
}

impl Directory {
    /// A directory of these principals; the last of one name wins.
    pub fn new(principals: impl IntoIterator<Item = Principal>) -> Self {
        Self { principals: principals.into_iter().map(|p| (p.id.clone(), p)).collect() }
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

    /// Every active principal that one of `subjects` means.
    pub fn resolve<'a>(
        &self,
        subjects: impl IntoIterator<Item = &'a Subject>,
    ) -> BTreeSet<PrincipalId> {
        let subjects: Vec<_> = subjects.into_iter().collect();
        self.principals
            .keys()
            .filter(|id| subjects.iter().any(|subject| self.matches(subject, id)))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A principal in these groups.
    pub(crate) fn person(name: &str, groups: &[&str]) -> Principal {
        Principal {
            id: format!("{name}@example.com").parse().unwrap(),
            display_name: name.to_owned(),
            groups: groups.iter().map(|g| g.parse().unwrap()).collect(),
            disabled: false,
        }
    }

    #[test]
    fn a_disabled_principal_is_nobody() {
        let mut ben = person("ben", &["dba"]);
        ben.disabled = true;
        let directory = Directory::new([person("ana", &["dba"]), ben]);
        let dba = Subject::Group("dba".parse().unwrap());
        assert_eq!(directory.resolve([&dba]).len(), 1);
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
