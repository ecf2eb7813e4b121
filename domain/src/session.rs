//! Live use of a grant: a database connection, a shell.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::GrantId;

/// One live session under a grant, as its target shows it. It tells what runs and since when, never
/// what was said in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSession {
    /// The target's own name for it: a backend's process id, a connection's number. Together with
    /// `started_at` it names no other session, ever.
    pub id: String,
    /// Under which grant.
    pub grant: GrantId,
    /// Since when it is there.
    pub started_at: Timestamp,
    /// What it does, in the target's words: `active`, `idle`, `idle in transaction`, `Sleep`.
    pub state: String,
    /// Since when it does that.
    pub state_since: Option<Timestamp>,
    /// From where, as the target sees it.
    pub client: Option<String>,
    /// As what program it presents itself.
    pub application: Option<String>,
}
