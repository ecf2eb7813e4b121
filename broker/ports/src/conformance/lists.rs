//! Lists: filters, order, pages.

use ebbgate_domain::{
    grant::{Grant, GrantState, RevokeReason},
    ids::{GrantId, RequestId},
    request::{AccessRequest, RequestState},
};

use super::{
    Checked,
    samples::{active, at, grant, grant_id, put, request, request_id},
};
use crate::{
    Store, StoreError,
    store::{GrantQuery, RequestQuery},
};

/// Requests by requester, pending, open, page by page.
///
/// # Errors
/// The store failed.
pub async fn requests_are_listed_newest_first_by_query(store: &dyn Store) -> Checked {
    let with = |n, who, state| request(n, who).map(|wish| AccessRequest { state, ..wish });
    let (ana, bo) = ("ana@example.com", "bo@example.com");
    let requests = [
        with(1, ana, RequestState::Denied)?,
        with(2, ana, RequestState::Pending)?,
        with(3, bo, RequestState::Pending)?,
        with(4, ana, RequestState::Active)?,
        with(5, bo, RequestState::Lapsed)?,
    ];
    // Not in their order: what counts is the id.
    put(store, requests.into_iter().rev(), []).await?;
    let all = RequestQuery { limit: 10, ..RequestQuery::default() };
    let of = |who: &str| who.parse().map(Some);
    for (query, expected) in [
        (all.clone(), &[5, 4, 3, 2, 1][..]),
        (RequestQuery { limit: 2, ..all.clone() }, &[5, 4]),
        (RequestQuery { limit: 2, before: Some(request_id(4)), ..all.clone() }, &[3, 2]),
        (RequestQuery { limit: 0, ..all.clone() }, &[]),
        (RequestQuery { pending: true, ..all.clone() }, &[3, 2]),
        (RequestQuery { open: true, ..all.clone() }, &[4, 3, 2]),
        (RequestQuery { open: true, before: Some(request_id(4)), ..all.clone() }, &[3, 2]),
        (RequestQuery { requester: of(ana)?, ..all.clone() }, &[4, 2, 1]),
        (RequestQuery { requester: of(ana)?, open: true, ..all.clone() }, &[4, 2]),
        (RequestQuery { requester: of(bo)?, pending: true, ..all.clone() }, &[3]),
        (
            RequestQuery {
                requester: of(ana)?,
                limit: 1,
                before: Some(request_id(4)),
                ..all.clone()
            },
            &[2],
        ),
        (RequestQuery { requester: of("cy@example.com")?, ..all }, &[]),
    ] {
        let found = requests_found(store, &query).await?;
        assert_eq!(found, expected.iter().map(|n| request_id(*n)).collect::<Vec<_>>(), "{query:?}");
    }
    Ok(())
}

async fn requests_found(
    store: &dyn Store,
    query: &RequestQuery,
) -> Result<Vec<RequestId>, StoreError> {
    Ok(store.requests(query).await?.into_iter().map(|found| found.value.id).collect())
}

/// Grants by principal, request, integrations, live, page by page.
///
/// # Errors
/// The store failed.
pub async fn grants_are_listed_newest_first_by_query(store: &dyn Store) -> Checked {
    let (ana, bo) = ("ana@example.com", "bo@example.com");
    let over = |grant: Grant| Grant {
        state: GrantState::Revoked { reason: RevokeReason::Released, at: at(9), finding: None },
        ..grant
    };
    let grants = [
        over(grant(1, 1, ana, "one")?),
        grant(2, 1, ana, "two")?,
        active(grant(3, 2, bo, "one")?, at(60)),
        active(grant(4, 2, ana, "three")?, at(60)),
        over(grant(5, 2, bo, "two")?),
    ];
    put(store, [request(1, ana)?, request(2, bo)?], grants.into_iter().rev()).await?;
    let all = GrantQuery { limit: 10, ..GrantQuery::default() };
    let on = |names: &[&str]| names.iter().map(|name| name.parse()).collect::<Result<Vec<_>, _>>();
    let of = |who: &str| who.parse().map(Some);
    let (first, second) = (Some(request_id(1)), Some(request_id(2)));
    for (query, expected) in [
        (all.clone(), &[5, 4, 3, 2, 1][..]),
        (GrantQuery { limit: 2, before: Some(grant_id(4)), ..all.clone() }, &[3, 2]),
        (GrantQuery { limit: 0, ..all.clone() }, &[]),
        (GrantQuery { live: true, ..all.clone() }, &[4, 3, 2]),
        (GrantQuery { live: true, limit: 1, before: Some(grant_id(4)), ..all.clone() }, &[3]),
        (GrantQuery { request: first, ..all.clone() }, &[2, 1]),
        (GrantQuery { request: second, live: true, ..all.clone() }, &[4, 3]),
        (GrantQuery { request: second, principal: of(ana)?, ..all.clone() }, &[4]),
        (GrantQuery { principal: of(bo)?, ..all.clone() }, &[5, 3]),
        (GrantQuery { principal: of(ana)?, live: true, ..all.clone() }, &[4, 2]),
        (GrantQuery { integrations: on(&["one"])?, ..all.clone() }, &[3, 1]),
        (GrantQuery { integrations: on(&["one", "two"])?, live: true, ..all.clone() }, &[3, 2]),
        (GrantQuery { integrations: on(&["none"])?, ..all }, &[]),
    ] {
        let found = grants_found(store, &query).await?;
        assert_eq!(found, expected.iter().map(|n| grant_id(*n)).collect::<Vec<_>>(), "{query:?}");
    }
    Ok(())
}

async fn grants_found(store: &dyn Store, query: &GrantQuery) -> Result<Vec<GrantId>, StoreError> {
    Ok(store.grants(query).await?.into_iter().map(|found| found.value.id).collect())
}
