//! What the queries ask of columns, asked of the values themselves.

use ebbgate_broker_ports::store::{GrantQuery, RequestQuery};
use ebbgate_domain::{
    grant::{Grant, GrantState},
    request::AccessRequest,
};

use crate::nanos;

/// Whether a request is one that the query means, leaving its page aside.
pub fn request_wanted(query: &RequestQuery, request: &AccessRequest) -> bool {
    query.requester.as_ref().is_none_or(|who| request.requester == *who)
        && (!query.pending || request.asks())
        && (!query.open || !request.is_over())
}

/// Whether a grant is one that the query means, leaving its page aside.
pub fn grant_wanted(query: &GrantQuery, grant: &Grant) -> bool {
    query.principal.as_ref().is_none_or(|who| grant.principal == *who)
        && query.request.is_none_or(|request| grant.request == request)
        && (query.integrations.is_empty() || query.integrations.contains(&grant.integration))
        && (!query.live || !grant.is_over())
}

/// Whether a request is due by then, in nanoseconds since 1970.
pub fn due_request(now: i64, request: &AccessRequest) -> bool {
    request.due_at().is_some_and(|due| nanos(due) <= now)
}

/// Whether a grant is due by then, in nanoseconds since 1970; `ready` tells where a planned one can
/// be made.
pub fn due_grant(now: i64, ready: impl Fn(&str) -> bool, grant: &Grant) -> bool {
    grant.due_at().is_some_and(|due| nanos(due) <= now)
        && (grant.state != GrantState::Planned || ready(grant.integration.as_str()))
}
