//! Approvers as flows write them: people, groups, and those whom only the request or the hour
//! tells: the requester's manager, the resource's owner, whoever is on call.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    names::{InvalidName, ScheduleName},
    principal::{InvalidSubject, Subject},
};

/// One entry of an approver group: `user:ana@example.com`, `group:dba`, `manager`, `owner`,
/// `on-call:dba`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Approver {
    /// A person or a group.
    Subject(Subject),
    /// The requester's manager; becomes a person when the request is made.
    Manager,
    /// The resource's owner; becomes a person or a group when the request is made.
    Owner,
    /// Whoever the schedule has on call, at each moment.
    OnCall(ScheduleName),
}

/// Why a text names no approver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidApprover {
    /// None of the forms.
    #[error(
        "'{0}' names no approver: write user:NAME, group:NAME, manager, owner or on-call:SCHEDULE"
    )]
    Form(String),
    /// What follows the prefix is not a name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl FromStr for Approver {
    type Err = InvalidApprover;

    fn from_str(text: &str) -> Result<Self, InvalidApprover> {
        match text {
            "manager" => return Ok(Self::Manager),
            "owner" => return Ok(Self::Owner),
            _ => {}
        }
        if let Some(schedule) = text.strip_prefix("on-call:") {
            return Ok(Self::OnCall(schedule.parse()?));
        }
        text.parse().map(Self::Subject).map_err(|error| match error {
            InvalidSubject::Prefix(text) => InvalidApprover::Form(text),
            InvalidSubject::Name(name) => InvalidApprover::Name(name),
        })
    }
}

impl TryFrom<String> for Approver {
    type Error = InvalidApprover;

    fn try_from(text: String) -> Result<Self, InvalidApprover> {
        text.parse()
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject(subject) => fmt::Display::fmt(subject, f),
            Self::Manager => f.write_str("manager"),
            Self::Owner => f.write_str("owner"),
            Self::OnCall(schedule) => write!(f, "on-call:{schedule}"),
        }
    }
}

impl fmt::Debug for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Approver> for String {
    fn from(approver: Approver) -> String {
        approver.to_string()
    }
}

impl From<Subject> for Approver {
    fn from(subject: Subject) -> Self {
        Self::Subject(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approvers_read_what_they_write() {
        for text in ["user:ana@example.com", "group:dba", "manager", "owner", "on-call:dba"] {
            let approver: Approver = text.parse().unwrap();
            assert_eq!(approver.to_string(), text);
            let json = serde_json::to_string(&approver).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Approver>(&json).unwrap(), approver);
        }
    }

    #[test]
    fn a_mistake_names_the_forms() {
        let error = "boss".parse::<Approver>().unwrap_err().to_string();
        assert!(error.contains("on-call:SCHEDULE"), "{error}");
        assert!("on-call:A B".parse::<Approver>().is_err());
        assert!("group:".parse::<Approver>().is_err());
    }
}
