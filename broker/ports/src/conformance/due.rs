//! What is due, and when the next is.

use ebbgate_domain::{
    Timestamp,
    ids::{GrantId, RequestId},
    names::IntegrationName,
    request::{AccessRequest, RequestState},
};
use jiff::SignedDuration;

use super::{
    Checked,
    samples::{active, at, grant, grant_id, put, request, request_id},
};
use crate::{
    Store, StoreError,
    store::{Change, Versioned, Write},
};

const ANA: &str = "ana@example.com";

async fn due(
    store: &dyn Store,
    now: Timestamp,
    ready: &[IntegrationName],
    limit: u32,
) -> Result<Vec<GrantId>, StoreError> {
    let found = store.due_grants(now, ready, limit).await?;
    Ok(found.into_iter().map(|grant| grant.value.id).collect())
}

/// Earliest first, planned ones among the others, and not a nanosecond early.
///
/// # Errors
/// The store failed.
pub async fn due_grants_come_earliest_first(store: &dyn Store) -> Checked {
    let ready = ["here".parse()?];
    let grants = [
        active(grant(1, 1, ANA, "here")?, at(30)),
        active(grant(2, 1, ANA, "away")?, at(10)),
        grant(20, 1, ANA, "here")?,
        grant(5, 1, ANA, "away")?,
    ];
    put(store, [request(1, ANA)?], grants).await?;

    assert_eq!(due(store, at(60), &ready, 10).await?, [2, 20, 1].map(grant_id));
    assert_eq!(due(store, at(60), &ready, 2).await?, [2, 20].map(grant_id));
    assert_eq!(due(store, at(60), &[], 10).await?, [2, 1].map(grant_id));
    let both = ["here".parse()?, "away".parse()?];
    assert_eq!(due(store, at(60), &both, 10).await?, [5, 2, 20, 1].map(grant_id));

    assert_eq!(due(store, at(10), &ready, 10).await?, [grant_id(2)]);
    assert_eq!(due(store, at(10) - SignedDuration::from_nanos(1), &ready, 10).await?, []);

    // What was done is not due any more.
    let found = store.grant(grant_id(2)).await?.ok_or("no grant")?;
    let later = Versioned { version: found.version, value: active(found.value, at(90)) };
    store.commit(Change { grants: vec![Write::Update(later)], ..Change::default() }).await?;
    assert_eq!(due(store, at(60), &ready, 10).await?, [20, 1].map(grant_id));
    Ok(())
}

/// Many grants that wait for an absent agent, all of them earlier, take nobody's place.
///
/// # Errors
/// The store failed.
pub async fn absent_agents_do_not_crowd_out_due_grants(store: &dyn Store) -> Checked {
    let mut grants = Vec::new();
    for n in 1..=50 {
        grants.push(grant(n, 1, ANA, "away")?);
    }
    grants.push(grant(60, 1, ANA, "here")?);
    grants.push(active(grant(61, 1, ANA, "away")?, at(70)));
    put(store, [request(1, ANA)?], grants).await?;

    assert_eq!(due(store, at(99), &["here".parse()?], 2).await?, [60, 61].map(grant_id));
    Ok(())
}

/// Only pending requests, earliest first.
///
/// # Errors
/// The store failed.
pub async fn due_requests_come_earliest_first(store: &dyn Store) -> Checked {
    let lapsing = |n, seconds, state| {
        request(n, ANA).map(|wish| AccessRequest { lapses_at: Some(at(seconds)), state, ..wish })
    };
    let requests = [
        lapsing(1, 30, RequestState::Pending)?,
        lapsing(2, 10, RequestState::Pending)?,
        lapsing(3, 5, RequestState::Approved)?,
        lapsing(4, 20, RequestState::Pending)?,
        request(5, ANA)?,
    ];
    put(store, requests, []).await?;
    let found = async |now, limit| -> Result<Vec<RequestId>, StoreError> {
        let due = store.due_requests(now, limit).await?;
        Ok(due.into_iter().map(|found| found.value.id).collect())
    };

    assert_eq!(found(at(60), 10).await?, [2, 4, 1].map(request_id));
    assert_eq!(found(at(60), 1).await?, [request_id(2)]);
    assert_eq!(found(at(10), 10).await?, [request_id(2)]);
    assert_eq!(found(at(10) - SignedDuration::from_nanos(1), 10).await?, []);
    Ok(())
}

/// The earliest moment beyond now, of requests and grants alike; what is due already is no reason
/// to wake up.
///
/// # Errors
/// The store failed.
pub async fn the_next_moment_is_beyond_now(store: &dyn Store) -> Checked {
    assert_eq!(store.next_due(at(0)).await?, None);
    let wish = AccessRequest { lapses_at: Some(at(20)), ..request(1, ANA)? };
    let grants = [grant(5, 1, ANA, "away")?, active(grant(6, 1, ANA, "here")?, at(30))];
    put(store, [wish], grants).await?;

    assert_eq!(store.next_due(at(0)).await?, Some(at(5)));
    assert_eq!(store.next_due(at(5)).await?, Some(at(20)));
    assert_eq!(store.next_due(at(20) - SignedDuration::from_nanos(1)).await?, Some(at(20)));
    assert_eq!(store.next_due(at(20)).await?, Some(at(30)));
    assert_eq!(store.next_due(at(30)).await?, None);
    Ok(())
}
