//! The outbox: at least once, in order for each request, hidden while somebody has it.

use ebbgate_domain::{Timestamp, ids::NoticeId};
use futures_util::future::join_all;

use super::{
    Checked,
    samples::{at, notice, notice_id},
};
use crate::{
    Store, StoreError,
    store::{Change, OutboxItem},
};

async fn put(store: &dyn Store, notices: Vec<OutboxItem>) -> Result<(), StoreError> {
    store.commit(Change { notices, ..Change::default() }).await
}

async fn taken(
    store: &dyn Store,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<NoticeId>, StoreError> {
    Ok(store.take_notices(now, until, limit).await?.into_iter().map(|item| item.id).collect())
}

/// In the order in which they were put in, whatever their ids; as they were; once while hidden.
///
/// # Errors
/// The store failed.
pub async fn notices_are_taken_in_their_order(store: &dyn Store) -> Checked {
    put(store, vec![notice(3, 1)?, notice(1, 2)?]).await?;
    put(store, vec![notice(2, 3)?]).await?;

    assert_eq!(store.take_notices(at(10), at(20), 2).await?, [notice(3, 1)?, notice(1, 2)?]);
    assert_eq!(taken(store, at(10), at(20), 2).await?, [notice_id(2)]);
    assert_eq!(taken(store, at(10), at(20), 2).await?, []);
    Ok(())
}

/// What was taken and not told of comes again when its time is over, with the same id; so does what
/// failed, and it counts how often. What was delivered is gone, also when that is told twice.
///
/// # Errors
/// The store failed.
pub async fn what_is_not_delivered_comes_again_with_its_id(store: &dyn Store) -> Checked {
    put(store, vec![notice(1, 1)?]).await?;
    assert_eq!(taken(store, at(10), at(20), 5).await?, [notice_id(1)]);
    assert_eq!(taken(store, at(19), at(29), 5).await?, []);
    assert_eq!(store.take_notices(at(20), at(30), 5).await?, [notice(1, 1)?]);

    store.notice_failed(notice_id(1), at(50)).await?;
    assert_eq!(taken(store, at(49), at(59), 5).await?, []);
    let again = OutboxItem { failures: 1, ..notice(1, 1)? };
    assert_eq!(store.take_notices(at(50), at(60), 5).await?, [again]);

    store.notice_delivered(notice_id(1)).await?;
    store.notice_delivered(notice_id(1)).await?;
    assert_eq!(taken(store, at(999), at(1_000), 5).await?, []);
    Ok(())
}

/// A request's story is told in its order, however long its first part takes; others go on.
///
/// # Errors
/// The store failed.
pub async fn a_later_notice_waits_for_the_earlier_ones_of_its_request(
    store: &dyn Store,
) -> Checked {
    put(store, vec![notice(1, 1)?, notice(2, 1)?, notice(3, 2)?, notice(4, 1)?]).await?;
    assert_eq!(taken(store, at(10), at(20), 5).await?, [1, 3].map(notice_id));
    store.notice_failed(notice_id(1), at(60)).await?;
    store.notice_delivered(notice_id(3)).await?;
    assert_eq!(taken(store, at(30), at(40), 5).await?, []);

    for n in [1, 2, 4] {
        assert_eq!(taken(store, at(60), at(70), 5).await?, [notice_id(n)]);
        store.notice_delivered(notice_id(n)).await?;
    }
    Ok(())
}

/// Many take at once: each notice is handed out once, and all are.
///
/// # Errors
/// The store failed.
pub async fn takers_share_the_outbox_without_overlap(store: &dyn Store) -> Checked {
    let mut notices = Vec::new();
    for n in 1..=40 {
        notices.push(notice(n, n)?);
    }
    put(store, notices).await?;
    let takers = (0..8).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let more = taken(store, at(99), at(999), 3).await?;
            if more.is_empty() {
                return Ok::<_, StoreError>(mine);
            }
            mine.extend(more);
        }
    });
    let mut all = Vec::new();
    for mine in join_all(takers).await {
        all.extend(mine?);
    }
    // A taker that found everything locked by others may have stopped early; nothing is lost by
    // that, since the others go on.
    all.sort();
    assert_eq!(all, (1..=40).map(notice_id).collect::<Vec<_>>());
    Ok(())
}
