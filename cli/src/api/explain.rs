//! What the API says of flows, resources and why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::approval::WaitingFor;

/// Why, or why not.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Explanation {
    pub(crate) user: String,
    pub(crate) resource: String,
    pub(crate) open: bool,
    pub(crate) person: Finding,
    pub(crate) flows: Vec<FlowExplanation>,
    #[serde(default)]
    pub(crate) under_way: Vec<UnderWay>,
}

/// One rule and the facts that decided it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) rule: String,
    pub(crate) holds: bool,
    pub(crate) fact: String,
    #[serde(default)]
    pub(crate) parts: Vec<Finding>,
}

/// What one flow says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FlowExplanation {
    pub(crate) flow: String,
    #[serde(default)]
    pub(crate) version: String,
    pub(crate) open: bool,
    pub(crate) rules: Vec<Finding>,
    pub(crate) ways: Vec<Way>,
    #[serde(default)]
    pub(crate) must_say: Option<String>,
}

/// What asking for one permission would lead to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) permission: String,
    pub(crate) open: bool,
    #[serde(default)]
    pub(crate) duration: Option<String>,
    #[serde(default)]
    pub(crate) groups: Vec<WaitingFor>,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) refusal: Option<String>,
}

/// A request that is under way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UnderWay {
    pub(crate) request_id: String,
    pub(crate) flow: String,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) waits_for: Vec<Obstacle>,
}

/// What a request waits for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Obstacle {
    pub(crate) what: String,
    pub(crate) fact: String,
    #[serde(default)]
    pub(crate) until: Option<Timestamp>,
}

/// Everybody who can reach a resource.
#[derive(Debug, Deserialize)]
pub(crate) struct ReachList {
    pub(crate) items: Vec<Reach>,
}

/// One way in which somebody can reach a resource.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reach {
    pub(crate) user: String,
    pub(crate) flow: String,
    #[serde(flatten)]
    pub(crate) way: Way,
}

/// The flows in force.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FlowsInForce {
    pub(crate) version: String,
    /// `files` or `applied`; none from a broker of before.
    #[serde(default)]
    pub(crate) source: Option<String>,
    #[serde(default = "yes")]
    pub(crate) known: bool,
    pub(crate) files: Vec<FlowFile>,
    pub(crate) flows: Vec<FlowInForce>,
}

fn yes() -> bool {
    true
}

/// A file with scopes, permissions and flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Who applied flows, and when.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FlowSetHead {
    pub(crate) number: u64,
    pub(crate) version: String,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

/// What came of applying flows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AppliedFlows {
    #[serde(flatten)]
    pub(crate) set: FlowSetHead,
    pub(crate) applied: bool,
    pub(crate) added: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) removed: Vec<String>,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
}

/// A flow in a few words.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FlowInForce {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) requesters: Vec<String>,
    #[serde(default)]
    pub(crate) except: Vec<String>,
    pub(crate) access: Vec<AccessInForce>,
    pub(crate) approval: String,
    pub(crate) default_duration: String,
    pub(crate) max_duration: String,
    #[serde(default)]
    pub(crate) reviewed_on: Option<String>,
    #[serde(default)]
    pub(crate) reviewed_by: Option<String>,
}

/// Permissions on the resources of one scope.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AccessInForce {
    pub(crate) scope: String,
    pub(crate) permissions: Vec<String>,
}

/// A resource that the broker knows.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KnownResource {
    pub(crate) id: String,
    pub(crate) integration: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) tags: std::collections::BTreeMap<String, String>,
    pub(crate) owner: Option<String>,
    pub(crate) first_seen: Option<Timestamp>,
    pub(crate) last_seen: Option<Timestamp>,
}
