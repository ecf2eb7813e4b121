//! Every operation of the API, who may call it and what it leaves in the audit log. The door lets
//! nothing through that is not in this table: the default is no.

use axum::http::Method;
use ebbgate_domain::audit::Action;

/// Who may call an operation. What belongs to one person is checked further in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Everybody, without a token.
    Public,
    /// Everybody who is known.
    Person,
    /// Auditors and administrators.
    Auditor,
    /// Administrators.
    Administrator,
}

impl Rule {
    /// The rule as the API's description shows it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Person => "person",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }
}

/// One operation.
pub(crate) struct Endpoint {
    pub method: Method,
    pub path: &'static str,
    pub rule: Rule,
    /// The audit records that a successful call leaves; none for one that only reads.
    pub records: &'static [Action],
}

const fn reads(path: &'static str, rule: Rule) -> Endpoint {
    Endpoint { method: Method::GET, path, rule, records: &[] }
}

const fn writes(path: &'static str, rule: Rule, records: &'static [Action]) -> Endpoint {
    Endpoint { method: Method::POST, path, rule, records }
}

/// All operations.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    reads("/healthz", Rule::Public),
    reads("/readyz", Rule::Public),
    reads("/metrics", Rule::Public),
    reads("/api/v1/openapi.json", Rule::Public),
    reads("/api/v1/ca.pem", Rule::Public),
    reads("/api/v1/whoami", Rule::Person),
    reads("/api/v1/resources", Rule::Person),
    reads("/api/v1/explain", Rule::Person),
    reads("/api/v1/explain/reach", Rule::Auditor),
    reads("/api/v1/flows", Rule::Auditor),
    Endpoint {
        method: Method::PUT,
        path: "/api/v1/flows",
        rule: Rule::Administrator,
        records: &[Action::FlowsApplied],
    },
    reads("/api/v1/flows/versions", Rule::Auditor),
    reads("/api/v1/flows/versions/{id}", Rule::Auditor),
    reads("/api/v1/inventory", Rule::Auditor),
    reads("/api/v1/requests", Rule::Person),
    writes("/api/v1/requests", Rule::Person, &[Action::RequestCreated]),
    reads("/api/v1/requests/{id}", Rule::Person),
    writes("/api/v1/requests/{id}/approve", Rule::Person, &[Action::RequestReviewed]),
    writes("/api/v1/requests/{id}/deny", Rule::Person, &[Action::RequestDenied]),
    writes("/api/v1/requests/{id}/cancel", Rule::Person, &[Action::RequestCancelled]),
    writes("/api/v1/requests/{id}/claim", Rule::Person, &[Action::RequestClaimed]),
    reads("/api/v1/delegations", Rule::Person),
    writes("/api/v1/delegations", Rule::Person, &[Action::DelegationCreated]),
    writes("/api/v1/delegations/{id}/end", Rule::Person, &[Action::DelegationEnded]),
    writes("/api/v1/requests/{id}/activate", Rule::Person, &[Action::RequestActivated]),
    writes("/api/v1/requests/{id}/extend", Rule::Person, &[Action::ExtensionAsked]),
    reads("/api/v1/reports", Rule::Auditor),
    reads("/api/v1/reports/{id}", Rule::Auditor),
    reads("/api/v1/reviews", Rule::Person),
    reads("/api/v1/reviews/{id}", Rule::Person),
    writes("/api/v1/reviews/{id}", Rule::Person, &[Action::ReviewWritten]),
    reads("/api/v1/grants", Rule::Person),
    reads("/api/v1/grants/{id}", Rule::Person),
    writes("/api/v1/grants/{id}/release", Rule::Person, &[Action::GrantRevoking]),
    writes("/api/v1/grants/{id}/revoke", Rule::Administrator, &[Action::GrantRevoking]),
    writes(
        "/api/v1/grants/{id}/credentials",
        Rule::Person,
        &[Action::CredentialRequested, Action::CredentialIssued],
    ),
    writes("/api/v1/agents/tokens", Rule::Administrator, &[Action::AgentTokenCreated]),
    reads("/api/v1/agents", Rule::Auditor),
    writes("/api/v1/agents/{id}/revoke", Rule::Administrator, &[Action::AgentRevoked]),
    reads("/api/v1/channels", Rule::Auditor),
    writes("/api/v1/channels/{id}/replay", Rule::Administrator, &[Action::ChannelReplayed]),
    reads("/api/v1/drift", Rule::Auditor),
    reads("/api/v1/sessions", Rule::Person),
    writes(
        "/api/v1/sessions/end",
        Rule::Administrator,
        &[Action::SessionEnding, Action::SessionEnded],
    ),
    reads("/api/v1/audit", Rule::Auditor),
    reads("/api/v1/audit/verify", Rule::Auditor),
];

/// The operation of that method and path template, if it is in the table.
pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.method == *method && endpoint.path == path)
}
