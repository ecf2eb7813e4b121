//! Delegations: compare-and-swap, and listed until they are over.

use ebbgate_domain::{Timestamp, delegation::Delegation, ids::DelegationId};

use super::{
    Checked,
    samples::{Made, at},
};
use crate::{
    Store, StoreError,
    store::{Change, Versioned, Write},
};

/// Carla speaks for Ana from `at(n)` until `until`.
pub(super) fn delegation(n: u8, until: Timestamp) -> Made<Delegation> {
    Ok(Delegation {
        id: DelegationId::new(at(i64::from(n)), [n; 10]),
        from: "ana@example.com".parse()?,
        to: "carla@example.com".parse()?,
        since: at(i64::from(n)),
        until,
        ended_at: None,
    })
}

/// Those that are not over are listed as they were made, those to come too; one that was ended is
/// over; an update needs the version that was read.
///
/// # Errors
/// The store failed.
pub async fn delegations_are_listed_until_they_are_over(store: &dyn Store) -> Checked {
    let (short, long) = (delegation(1, at(10))?, delegation(2, at(20))?);
    let insert = [long.clone(), short.clone()].map(Write::Insert).to_vec();
    store.commit(Change { delegations: insert, ..Change::default() }).await?;
    let first = |value: &Delegation| Versioned { version: 1, value: value.clone() };
    assert_eq!(store.delegations(at(0)).await?, [first(&short), first(&long)]);
    assert_eq!(store.delegations(at(10)).await?, [first(&long)], "its last moment is its end");
    assert_eq!(store.delegations(Timestamp::MIN).await?.len(), 2);

    let ended = Delegation { ended_at: Some(at(5)), ..long };
    let update = |version| {
        let write = Write::Update(Versioned { version, value: ended.clone() });
        Change { delegations: vec![write], ..Change::default() }
    };
    let stale = store.commit(update(7)).await;
    assert!(matches!(stale, Err(StoreError::Conflict)), "{stale:?}");
    store.commit(update(1)).await?;
    assert_eq!(store.delegations(at(5)).await?, [first(&short)]);
    assert_eq!(
        store.delegations(at(4)).await?,
        [first(&short), Versioned { version: 2, value: ended }]
    );
    let again = Change { delegations: vec![Write::Insert(short)], ..Change::default() };
    assert!(matches!(store.commit(again).await, Err(StoreError::Conflict)));
    Ok(())
}
