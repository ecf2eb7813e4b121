//! The people of every world, with the groups that decide what they may do.

/// Somebody with a token of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Person {
    /// Works with data: asks for access.
    Ana,
    /// A database administrator: approves.
    Ben,
    /// Another database administrator.
    Bea,
    /// Security: approves what is delicate.
    Carla,
    /// Sells things: no flow is for her.
    Eve,
    /// Of the platform group: administrator.
    Adam,
    /// Of the audit group: auditor.
    Audrey,
    /// Left the company: disabled.
    Leo,
    /// A database administrator of the data team; approves what is personal.
    Maria,
    /// The same.
    Joao,
    /// Leads security.
    Carlos,
}

impl Person {
    /// Everybody.
    pub const ALL: [Self; 11] = [
        Self::Ana,
        Self::Ben,
        Self::Bea,
        Self::Carla,
        Self::Eve,
        Self::Adam,
        Self::Audrey,
        Self::Leo,
        Self::Maria,
        Self::Joao,
        Self::Carlos,
    ];

    /// First name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ana => "ana",
            Self::Ben => "ben",
            Self::Bea => "bea",
            Self::Carla => "carla",
            Self::Eve => "eve",
            Self::Adam => "adam",
            Self::Audrey => "audrey",
            Self::Leo => "leo",
            Self::Maria => "maria",
            Self::Joao => "joao",
            Self::Carlos => "carlos",
        }
    }

    /// The id by which the broker knows them.
    pub fn id(self) -> String {
        format!("{}@example.com", self.name())
    }

    /// The group they are in.
    pub fn group(self) -> &'static str {
        match self {
            Self::Ana | Self::Leo => "data",
            Self::Ben | Self::Bea => "dba",
            Self::Carla => "security",
            Self::Eve => "sales",
            Self::Adam => "platform",
            Self::Audrey => "audit",
            Self::Maria | Self::Joao => "data-team",
            Self::Carlos => "leads",
        }
    }

    /// Whether their account is disabled.
    pub fn disabled(self) -> bool {
        self == Self::Leo
    }
}
