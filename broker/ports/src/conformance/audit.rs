//! The audit log: one chain, without gaps, as it was written.

use ebbgate_domain::audit::{AuditEvent, AuditRecord, Hash};
use futures_util::future::join_all;

use super::{Checked, samples::event};
use crate::{Store, store::Change, verify_audit};

fn change(events: Vec<AuditEvent>) -> Change {
    Change { events, ..Change::default() }
}

fn parsed(record: &AuditRecord) -> Result<AuditEvent, serde_json::Error> {
    serde_json::from_str(&record.body)
}

/// Where nothing was recorded the chain ends where it begins.
///
/// # Errors
/// The store failed.
pub async fn an_empty_log_is_whole(store: &dyn Store) -> Checked {
    let head = store.audit_head().await?;
    assert_eq!((head.records, head.hash), (0, Hash::GENESIS.to_string()));
    assert_eq!(store.audit(0, 10).await?, []);
    assert_eq!(verify_audit(store).await??.records(), 0);
    Ok(())
}

/// Sixteen at a time append to one chain; the events of one change stay together and in order.
///
/// # Errors
/// The store failed.
pub async fn the_chain_has_no_gaps_under_concurrent_commits(store: &dyn Store) -> Checked {
    let writers = (0..16).map(|writer| async move {
        for round in 0..5 {
            let first = writer * 100 + round * 10;
            store.commit(change(vec![event(first), event(first + 1)])).await?;
        }
        Ok::<(), crate::StoreError>(())
    });
    join_all(writers).await.into_iter().collect::<Result<Vec<()>, _>>()?;

    let walk = verify_audit(store).await??;
    let head = store.audit_head().await?;
    assert_eq!((walk.records(), head.records), (160, 160));
    assert_eq!(walk.head().to_string(), head.hash);
    let records = store.audit(0, 1_000).await?;
    assert!(records.iter().map(|record| record.seq).eq(1..=160));
    for pair in records.chunks(2) {
        let [first, second] = pair else {
            return Err("an odd number of records".into());
        };
        let gap = parsed(second)?.at.duration_since(parsed(first)?.at);
        assert_eq!(gap.as_secs(), 1, "{first:?} {second:?}");
    }
    Ok(())
}

/// Bodies are the events' JSON; pages begin after a number.
///
/// # Errors
/// The store failed.
pub async fn the_log_is_read_in_pages_as_it_was_written(store: &dyn Store) -> Checked {
    let events: Vec<_> = (0..5).map(event).collect();
    store.commit(change(events[..2].to_vec())).await?;
    store.commit(change(events[2..].to_vec())).await?;

    let page = store.audit(1, 3).await?;
    assert_eq!(page.iter().map(|record| record.seq).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(page.iter().map(parsed).collect::<Result<Vec<_>, _>>()?, events[1..4]);
    assert_eq!(page[0].body, serde_json::to_string(&events[1])?);
    assert_eq!(store.audit(5, 3).await?, []);
    Ok(())
}
