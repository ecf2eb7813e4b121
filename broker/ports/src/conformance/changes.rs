//! Commits: compare-and-swap, all or nothing, keys.

use std::{future::poll_fn, task::Poll};

use ebbgate_domain::request::AccessRequest;
use futures_util::future::{join_all, select};

use super::{
    Checked,
    delegations::delegation,
    flow_sets::set as flow_set,
    samples::{
        Made, agent, agent_id, at, channel, event, grant, grant_id, key, notice, put, request,
        request_id, token,
    },
};
use crate::{
    Store, StoreError,
    store::{Change, Versioned, Write},
    verify_audit,
};

/// Requests and grants come back as they were, with version 1; others are not there.
///
/// # Errors
/// The store failed.
pub async fn what_was_inserted_is_read_back(store: &dyn Store) -> Checked {
    let (wish, planned) =
        (request(1, "ana@example.com")?, grant(2, 1, "ana@example.com", "prod-db")?);
    put(store, [wish.clone()], [planned.clone()]).await?;

    assert_eq!(store.request(wish.id).await?, Some(Versioned { version: 1, value: wish }));
    assert_eq!(store.grant(planned.id).await?, Some(Versioned { version: 1, value: planned }));
    assert_eq!(store.request(request_id(9)).await?, None);
    assert_eq!(store.grant(grant_id(9)).await?, None);
    store.ping().await?;
    Ok(())
}

/// An update needs the newest version, an insert an absence; whoever is wrong changes nothing.
///
/// # Errors
/// The store failed.
pub async fn writes_need_the_version_that_was_read(store: &dyn Store) -> Checked {
    let (mut wish, mut planned) =
        (request(1, "ana@example.com")?, grant(2, 1, "ana@example.com", "prod-db")?);
    put(store, [wish.clone()], [planned.clone()]).await?;
    wish.reason = Some("better".to_owned());
    planned.seq = 7;
    let update = |version| Change {
        requests: vec![Write::Update(Versioned { version, value: wish.clone() })],
        grants: vec![Write::Update(Versioned { version, value: planned.clone() })],
        ..Change::default()
    };
    store.commit(update(1)).await?;
    assert_eq!(store.request(wish.id).await?, Some(Versioned { version: 2, value: wish.clone() }));
    assert_eq!(
        store.grant(planned.id).await?,
        Some(Versioned { version: 2, value: planned.clone() })
    );

    for wrong in [
        update(1),
        update(3),
        Change { requests: vec![Write::Insert(wish.clone())], ..Change::default() },
        Change { grants: vec![Write::Insert(planned.clone())], ..Change::default() },
        Change {
            requests: vec![Write::Update(Versioned {
                version: 1,
                value: request(9, "bo@example.com")?,
            })],
            ..Change::default()
        },
    ] {
        assert!(matches!(store.commit(wrong).await, Err(StoreError::Conflict)));
    }
    assert_eq!(store.request(wish.id).await?.map(|found| found.version), Some(2));
    assert_eq!(store.request(request_id(9)).await?, None);
    Ok(())
}

/// Of many who update the same version at once one wins; the others learn that they lost.
///
/// # Errors
/// The store failed.
pub async fn one_of_many_racing_updates_wins(store: &dyn Store) -> Checked {
    let wish = request(1, "ana@example.com")?;
    put(store, [wish.clone()], []).await?;
    let racers = (0..8).map(|n| {
        let value = with_reason(&wish, n);
        let change = Change {
            requests: vec![Write::Update(Versioned { version: 1, value })],
            events: vec![event(n)],
            ..Change::default()
        };
        store.commit(change)
    });
    let results = join_all(racers).await;

    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let lost = |result: &&Result<(), StoreError>| matches!(result, Err(StoreError::Conflict));
    assert_eq!(results.iter().filter(lost).count(), 7, "{results:?}");
    assert_eq!(store.request(wish.id).await?.map(|found| found.version), Some(2));
    assert_eq!(store.audit_head().await?.records, 1);
    Ok(())
}

fn with_reason(wish: &AccessRequest, n: i64) -> AccessRequest {
    AccessRequest { reason: Some(format!("racer {n}")), ..wish.clone() }
}

/// A change with something of every kind leaves nothing behind when its last write conflicts.
///
/// # Errors
/// The store failed.
pub async fn a_change_is_written_whole_or_not_at_all(store: &dyn Store) -> Checked {
    let everything = |last| -> Made<Change> {
        Ok(Change {
            requests: vec![Write::Insert(request(1, "ana@example.com")?)],
            grants: vec![Write::Insert(grant(2, 1, "ana@example.com", "prod-db")?), last],
            delegations: vec![Write::Insert(delegation(6, at(99))?)],
            agents: vec![agent(3, "site-a")?],
            tokens: vec![token(4)?],
            spend: None,
            flows: Some(flow_set(1)?),
            events: vec![event(0), event(1)],
            notices: vec![notice(5, 1)?],
            replay: None,
            idempotency: Some(key("ana@example.com", "k", "req")?),
        })
    };
    let unwritten = Versioned { version: 1, value: grant(9, 1, "ana@example.com", "prod-db")? };
    let failed = store.commit(everything(Write::Update(unwritten))?).await;
    assert!(matches!(failed, Err(StoreError::Conflict)), "{failed:?}");
    let nobody = "ana@example.com".parse()?;
    assert_eq!(store.request(request_id(1)).await?, None);
    assert_eq!(store.grant(grant_id(2)).await?, None);
    assert_eq!(store.delegations(at(0)).await?, []);
    assert_eq!(store.flow_sets(None, 9).await?, []);
    assert_eq!(store.agent(agent_id(3)).await?, None);
    assert_eq!(store.enrolment_token(&token(4)?.secret_hash).await?, None);
    assert_eq!(store.idempotency(&nobody, "k").await?, None);
    assert_eq!(store.take_notices(&channel("log")?, at(99), at(100), 10).await?, []);
    assert_eq!(store.audit(0, 10).await?, []);
    assert_eq!(store.audit_head().await?.records, 0);

    let last = Write::Insert(grant(9, 1, "ana@example.com", "prod-db")?);
    store.commit(everything(last)?).await?;
    assert!(store.request(request_id(1)).await?.is_some());
    assert_eq!(store.delegations(at(0)).await?.len(), 1);
    assert_eq!(store.flow_sets(None, 9).await?, [flow_set(1)?]);
    assert_eq!(store.agent(agent_id(3)).await?, Some(agent(3, "site-a")?));
    assert_eq!(store.enrolment_token(&token(4)?.secret_hash).await?, Some(token(4)?));
    assert_eq!(store.idempotency(&nobody, "k").await?, Some(key("ana@example.com", "k", "req")?));
    assert_eq!(store.take_notices(&channel("log")?, at(99), at(100), 10).await?, [notice(5, 1)?]);
    assert_eq!(store.audit_head().await?.records, 2);
    Ok(())
}

/// A key that was used keeps what was done under it, for its principal only, however many come at
/// once.
///
/// # Errors
/// The store failed.
pub async fn a_key_is_used_once_by_each_principal(store: &dyn Store) -> Checked {
    let under = |who: &str, n: u8| -> Made<Change> {
        let wish = request(n, who)?;
        let idempotency = Some(key(who, "same", &wish.id.to_string())?);
        Ok(Change { requests: vec![Write::Insert(wish)], idempotency, ..Change::default() })
    };
    let mut racers = Vec::new();
    for n in 1..=8 {
        racers.push(store.commit(under("ana@example.com", n)?));
    }
    let results = join_all(racers).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let used = |result: &&Result<(), StoreError>| matches!(result, Err(StoreError::KeyUsed));
    assert_eq!(results.iter().filter(used).count(), 7, "{results:?}");

    let found = store.idempotency(&"ana@example.com".parse()?, "same").await?.ok_or("no key")?;
    let written = store.request(found.subject.parse()?).await?;
    assert!(written.is_some(), "the key names what was not written");
    assert_eq!(store.idempotency(&"bo@example.com".parse()?, "same").await?, None);
    store.commit(under("bo@example.com", 9)?).await?;
    Ok(())
}

/// Whoever repeats a call must learn that it was done, although its version is gone too.
///
/// # Errors
/// The store failed.
pub async fn a_used_key_is_told_before_a_conflict(store: &dyn Store) -> Checked {
    let wish = request(1, "ana@example.com")?;
    put(store, [wish.clone()], []).await?;
    let call = Change {
        requests: vec![Write::Update(Versioned { version: 1, value: wish })],
        idempotency: Some(key("ana@example.com", "k", "req")?),
        ..Change::default()
    };
    store.commit(call.clone()).await?;
    let again = store.commit(call).await;
    assert!(matches!(again, Err(StoreError::KeyUsed)), "{again:?}");
    Ok(())
}

/// A caller that goes away while it commits, at whatever point, leaves everything or nothing, and
/// does not stand in the way of the next one.
///
/// # Errors
/// The store failed.
pub async fn a_caller_may_go_away_at_any_point(store: &dyn Store) -> Checked {
    for polls in 1..=20 {
        abandon_a_commit(store, polls).await;
    }
    store.commit(three_events()).await?;
    let records = verify_audit(store).await??.records();
    assert!(records >= 3 && records % 3 == 0, "{records} records, in threes");
    Ok(())
}

fn three_events() -> Change {
    Change { events: vec![event(1), event(2), event(3)], ..Change::default() }
}

/// Begins to commit three events, and drops that when its task was polled so often: each poll is
/// a reply that came in. A store's own tests look at what that leaves behind.
pub async fn abandon_a_commit(store: &dyn Store, polls: u32) {
    let mut left = polls;
    let patience = poll_fn(move |_| {
        left = left.saturating_sub(1);
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    });
    // Whether it was done in time does not matter here.
    let _ = select(store.commit(three_events()), patience).await;
}
