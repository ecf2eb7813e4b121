//! Access flows: who may ask for what, who must approve, for how long, and with which reason.
//! The unit of policy.

mod approval;
mod doubts;
mod index;

use std::{collections::BTreeMap, fmt, str::FromStr};

use aws_lc_rs::digest;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{
    condition::Asked,
    guardrail::GuardrailSet,
    inventory::{Resource, ResourceKind},
    names::{
        FlowName, IntegrationName, InvalidName, PermissionName, PrincipalId, ScheduleName,
        ScopeName,
    },
    principal::{Directory, Subject},
    right::Right,
    schedule::Schedule,
    scope::Scope,
};

pub use crate::terms::{
    Activation, BreakGlass, DurationRule, JustificationRule, OnChange, Recipient, Saying,
};
pub use approval::{
    ApprovalPolicy, ApprovalRule, ApproverGroup, EscalationStep, Need, Voices, default_claim,
};
pub use index::FlowIndex;

/// One access flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessFlow {
    /// Its name.
    pub name: FlowName,
    /// Who may ask.
    pub requesters: Vec<Subject>,
    /// Who may not ask, though a requester.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Subject>,
    /// What they may ask for.
    pub access: Vec<Access>,
    /// Who must approve where a condition holds; the first rule that fits decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<ApprovalRule>,
    /// Who must approve where no rule fits.
    pub approval: ApprovalPolicy,
    /// For how long.
    pub duration: DurationRule,
    /// From when.
    #[serde(default, skip_serializing_if = "Activation::is_default")]
    pub activation: Activation,
    /// What must be said.
    pub justification: JustificationRule,
    /// What makes it a flow for emergencies, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// What becomes of live access when its principal could not ask for it any more.
    #[serde(default, skip_serializing_if = "OnChange::is_default")]
    pub on_change: OnChange,
    /// Whom to tell of its requests, beside those who take part in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notify: Vec<Recipient>,
    /// Who looked last whether it is still right, where that is noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Reviewed>,
}

/// That somebody has looked whether a flow is still right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// Who.
    pub by: PrincipalId,
    /// On which day.
    pub on: Date,
}

/// Permissions on the resources of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// On which resources.
    pub scope: ScopeRef,
    /// The permissions that may be asked for on its resources.
    pub permissions: Vec<PermissionName>,
}

/// Which resources a flow leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ScopeRef {
    /// Those of a scope.
    Named(ScopeName),
    /// All of an integration, those to come too.
    Everything {
        /// The integration.
        everything: IntegrationName,
    },
}

impl FromStr for ScopeRef {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse().map(Self::Named)
    }
}

impl fmt::Display for ScopeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Everything { everything } => write!(f, "everything in {everything}"),
        }
    }
}

impl AccessFlow {
    /// A flow with the defaults for everything else.
    pub fn new(
        name: FlowName,
        requesters: Vec<Subject>,
        access: Vec<Access>,
        approval: ApprovalPolicy,
        duration: DurationRule,
    ) -> Self {
        Self {
            name,
            requesters,
            except: Vec::new(),
            access,
            rules: Vec::new(),
            approval,
            duration,
            activation: Activation::default(),
            justification: JustificationRule::default(),
            break_glass: None,
            on_change: OnChange::default(),
            notify: Vec::new(),
            reviewed: None,
        }
    }

    /// The first 12 hex digits of SHA-256 over the flow's JSON: the same flow has the same version
    /// on every replica, and a changed one never has an old one's.
    pub fn version(&self) -> String {
        // A tree of strings, numbers and lists always serialises.
        let json = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(&digest::digest(&digest::SHA256, &json).as_ref()[..6])
    }

    /// Who must approve what is asked, and the place of the rule that says so; none where no rule
    /// fits.
    pub fn policy(&self, asked: Asked<'_>) -> (Option<usize>, &ApprovalPolicy) {
        let fits = self.rules.iter().position(|rule| rule.when.holds(asked));
        (fits, fits.map_or(&self.approval, |rule| &self.rules[rule].policy))
    }

    /// Whether `principal` may ask through this flow now.
    pub fn admits(&self, principal: &PrincipalId, directory: &Directory) -> bool {
        let among = |subjects: &[Subject]| {
            subjects.iter().any(|subject| directory.matches(subject, principal))
        };
        among(&self.requesters) && !among(&self.except)
    }
}

/// A permission that an operator has defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// Its name; never one that the connectors know by themselves.
    pub name: PermissionName,
    /// For resources of which kind.
    pub kind: ResourceKind,
    /// What it consists of; at least one.
    pub rights: Vec<Right>,
}

/// All scopes, permissions and flows that are in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    /// The scopes by name.
    pub scopes: BTreeMap<ScopeName, Scope>,
    /// The operator's own permissions by name.
    pub permissions: BTreeMap<PermissionName, Permission>,
    /// Who is on call when, by name.
    pub schedules: BTreeMap<ScheduleName, Schedule>,
    /// The flows by name.
    pub flows: BTreeMap<FlowName, AccessFlow>,
    /// What no flow can give.
    pub guardrails: GuardrailSet,
    /// Whether the flows in force cannot be known, because what says so is not believed. Then none is
    /// in force, and none that is missing was removed.
    pub unknown: bool,
    /// The flows by who may ask; made when it is first needed, from the flows as they are then.
    pub index: FlowIndex,
}

impl Policies {
    /// The flows through which `principal` may ask now, by name. It costs what their groups' flows
    /// are, not what all flows are.
    pub fn admitting(&self, principal: &PrincipalId, directory: &Directory) -> Vec<&AccessFlow> {
        let Some(person) = directory.active(principal) else { return Vec::new() };
        let found = self.index.of(&self.flows, person);
        let flows = found.into_iter().filter_map(|name| self.flows.get(name));
        flows.filter(|flow| flow.admits(principal, directory)).collect()
    }

    /// The permissions that `flow` offers on `resource`, in the flow's order, each once.
    /// A scope that does not exist selects nothing.
    pub fn permissions(&self, flow: &AccessFlow, resource: &Resource) -> Vec<PermissionName> {
        let mut offered = Vec::new();
        for access in &flow.access {
            if !self.contains(&access.scope, resource) {
                continue;
            }
            for permission in &access.permissions {
                if self.exists(permission, resource.kind) && !offered.contains(permission) {
                    offered.push(permission.clone());
                }
            }
        }
        offered
    }

    /// Whether `resource` is among those that `scope` means now.
    pub fn contains(&self, scope: &ScopeRef, resource: &Resource) -> bool {
        match scope {
            ScopeRef::Named(name) => {
                self.scopes.get(name).is_some_and(|scope| scope.contains(resource))
            }
            ScopeRef::Everything { everything } => *everything == resource.integration,
        }
    }

    /// Whether a permission is known for resources of that kind.
    pub fn exists(&self, permission: &PermissionName, kind: ResourceKind) -> bool {
        kind.offers(permission)
            || self.permissions.get(permission).is_some_and(|own| own.kind == kind)
    }

    /// What a permission consists of now; nothing for one that the connectors know by name.
    pub fn rights(&self, permission: &PermissionName) -> Vec<Right> {
        self.permissions.get(permission).map_or_else(Vec::new, |own| own.rights.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_or_everything_is_read_as_it_is_written() {
        for (json, text) in
            [(r#""shop""#, "shop"), (r#"{"everything":"prod"}"#, "everything in prod")]
        {
            let scope: ScopeRef = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&scope).unwrap(), json);
            assert_eq!(scope.to_string(), text);
        }
    }
}
