//! What a permission on a database consists of. A permission that an operator defines is a list of
//! these; it is frozen with the request and travels in the order.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest identifier in bytes that every supported database takes (PostgreSQL's 63).
const LONGEST: usize = 63;

/// A level of access to a database; each holds the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Read rows.
    Select,
    /// Read and write rows.
    Full,
    /// Make, change and drop tables and other objects.
    Ddl,
    /// Everything that the database's owner may, but for giving rights away.
    Admin,
}

impl Level {
    /// All levels, the least first.
    pub const ALL: [Self; 4] = [Self::Select, Self::Full, Self::Ddl, Self::Admin];

    /// The level as settings write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Full => "full",
            Self::Ddl => "ddl",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = InvalidRight;

    fn from_str(text: &str) -> Result<Self, InvalidRight> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| InvalidRight::Level(text.chars().take(80).collect()))
    }
}

/// A name as a database knows it: a database's, a schema's or a role's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

impl DatabaseName {
    /// The name as text. It may hold any character but NUL: quote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseName {
    type Err = InvalidRight;

    fn from_str(text: &str) -> Result<Self, InvalidRight> {
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(InvalidRight::Name(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = InvalidRight;

    fn try_from(text: String) -> Result<Self, InvalidRight> {
        text.parse()
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> Self {
        name.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One right on a database server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "right", rename_all = "kebab-case")]
pub enum Right {
    /// A level of access that the connector sets up by itself.
    Level {
        /// In which database; none: the resource's own.
        database: Option<DatabaseName>,
        /// In which schema; none: in all of them. MySQL and MariaDB have none.
        schema: Option<DatabaseName>,
        /// Which.
        level: Level,
    },
    /// Membership in a role that the operator has made on the server.
    Role {
        /// Its name.
        name: DatabaseName,
    },
}

impl fmt::Display for Right {
    /// `select on shop.public`, `full`, `the role app_support`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role { name } => write!(f, "the role {name}"),
            Self::Level { database: None, schema: None, level } => write!(f, "{level}"),
            Self::Level { database: Some(database), schema: None, level } => {
                write!(f, "{level} on {database}")
            }
            Self::Level { database: None, schema: Some(schema), level } => {
                write!(f, "{level} on the schema {schema}")
            }
            Self::Level { database: Some(database), schema: Some(schema), level } => {
                write!(f, "{level} on {database}.{schema}")
            }
        }
    }
}

/// Why a right makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRight {
    /// No such level.
    #[error("'{0}' is no level of access: use select, full, ddl or admin")]
    Level(String),
    /// No usable name.
    #[error(
        "'{0}' is no name of a database, schema or role: 1 to 63 bytes without control characters"
    )]
    Name(String),
}
