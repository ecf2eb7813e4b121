//! The outbox: at least once, in order for each request, hidden while somebody has it.

use ebbgate_domain::{Timestamp, ids::NoticeId, names::ChannelName};
use futures_util::future::join_all;

use super::{
    Checked,
    samples::{Made, at, channel, notice, notice_id},
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
) -> Made<Vec<NoticeId>> {
    Ok(taken_of(&channel("log")?, store, now, until, limit).await?)
}

async fn taken_of(
    name: &ChannelName,
    store: &dyn Store,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<NoticeId>, StoreError> {
    let items = store.take_notices(name, now, until, limit).await?;
    Ok(items.into_iter().map(|item| item.id).collect())
}

/// In the order in which they were put in, whatever their ids; as they were; once while hidden.
///
/// # Errors
/// The store failed.
pub async fn notices_are_taken_in_their_order(store: &dyn Store) -> Checked {
    put(store, vec![notice(3, 1)?, notice(1, 2)?]).await?;
    put(store, vec![notice(2, 3)?]).await?;

    assert_eq!(
        store.take_notices(&channel("log")?, at(10), at(20), 2).await?,
        [notice(3, 1)?, notice(1, 2)?]
    );
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
    assert_eq!(store.take_notices(&channel("log")?, at(20), at(30), 5).await?, [notice(1, 1)?]);

    store.notice_failed(notice_id(1), Some(at(50)), "away").await?;
    assert_eq!(taken(store, at(49), at(59), 5).await?, []);
    let again = OutboxItem { failures: 1, ..notice(1, 1)? };
    assert_eq!(store.take_notices(&channel("log")?, at(50), at(60), 5).await?, [again]);

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
    store.notice_failed(notice_id(1), Some(at(60)), "away").await?;
    store.notice_delivered(notice_id(3)).await?;
    assert_eq!(taken(store, at(30), at(40), 5).await?, []);

    for n in [1, 2, 4] {
        assert_eq!(taken(store, at(60), at(70), 5).await?, [notice_id(n)]);
        store.notice_delivered(notice_id(n)).await?;
    }
    Ok(())
}

/// One channel's notices wait for none of another's, not even of the same request.
///
/// # Errors
/// The store failed.
pub async fn channels_do_not_wait_for_one_another(store: &dyn Store) -> Checked {
    let mail =
        |n| -> Made<OutboxItem> { Ok(OutboxItem { channel: channel("mail")?, ..notice(n, 1)? }) };
    put(store, vec![notice(1, 1)?, mail(2)?, notice(3, 1)?, mail(4)?]).await?;
    assert_eq!(taken(store, at(10), at(20), 5).await?, [notice_id(1)]);
    store.notice_failed(notice_id(1), Some(at(500)), "the log is full").await?;
    assert_eq!(store.take_notices(&channel("mail")?, at(10), at(20), 5).await?, [mail(2)?]);
    store.notice_delivered(notice_id(2)).await?;
    assert_eq!(taken_of(&channel("mail")?, store, at(10), at(20), 5).await?, [notice_id(4)]);

    let backlog = store.backlog().await?;
    let told: Vec<_> =
        backlog.iter().map(|one| (one.channel.as_str(), one.waiting, one.oldest)).collect();
    assert_eq!(told, [("log", 2, Some(at(1))), ("mail", 1, Some(at(4)))]);
    assert_eq!(backlog[0].last_error.as_deref(), Some("the log is full"));
    Ok(())
}

/// What is set aside holds up nothing, is counted, and is due again when somebody says so; then in
/// its old order, and as if it had never failed.
///
/// # Errors
/// The store failed.
pub async fn what_is_set_aside_waits_for_a_word(store: &dyn Store) -> Checked {
    let other = OutboxItem { channel: channel("mail")?, ..notice(9, 1)? };
    put(store, vec![notice(1, 1)?, notice(2, 1)?, other]).await?;
    assert_eq!(taken(store, at(10), at(20), 5).await?, [notice_id(1)]);
    store.notice_failed(notice_id(1), None, "gone").await?;
    store.notice_failed(notice_id(9), None, "no such box").await?;
    let backlog = store.backlog().await?;
    assert_eq!((backlog[0].waiting, backlog[0].set_aside), (1, 1));
    assert_eq!((backlog[1].waiting, backlog[1].set_aside), (0, 1));

    assert_eq!(taken(store, at(999), at(1_000), 5).await?, [notice_id(2)]);
    store.notice_failed(notice_id(2), Some(at(0)), "away").await?;
    let replay = Some(channel("log")?);
    store.commit(Change { replay, ..Change::default() }).await?;
    let first = store.take_notices(&channel("log")?, at(999), at(1_000), 5).await?;
    assert_eq!(first, [notice(1, 1)?]);
    assert_eq!(taken_of(&channel("mail")?, store, at(999), at(1_000), 5).await?, []);
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
                return Made::Ok(mine);
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
