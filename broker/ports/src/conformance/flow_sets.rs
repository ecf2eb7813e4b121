//! Applied flows: one more with each, kept for good, and in force by what the audit log says.

use ebbgate_domain::{
    audit::{Action, Actor, AuditEvent},
    flow_set::{FlowFile, FlowSet},
};

use super::{
    ByHand, Checked,
    samples::{Made, at},
};
use crate::{
    Store, StoreError,
    store::{Applied, Change},
};

pub(super) fn set(number: u64) -> Made<FlowSet> {
    let text = format!("# \"comment\" {number}\nkind: Scope\n");
    Ok(FlowSet {
        number,
        files: vec![FlowFile { name: "shop.yaml".to_owned(), text }],
        by: "adam@example.com".parse()?,
        at: at(i64::try_from(number)?),
    })
}

async fn apply(store: &dyn Store, set: FlowSet) -> Result<(), StoreError> {
    let event = AuditEvent::new(Action::FlowsApplied, Actor::Principal(set.by.clone()), set.at)
        .detail("number", set.number);
    store.commit(Change { flows: Some(set), events: vec![event], ..Change::default() }).await
}

async fn applied(store: &dyn Store, newer_than: u64) -> Result<Option<Applied>, StoreError> {
    store.applied_flows(newer_than).await
}

fn whole(set: FlowSet) -> Option<Applied> {
    Some(Applied { number: set.number, set: Some(set) })
}

/// The last one is in force, the former ones are kept; a number is given once.
///
/// # Errors
/// The store failed.
pub async fn applied_flows_are_kept_and_the_last_is_told(store: &dyn Store) -> Checked {
    assert_eq!(applied(store, 0).await?, None);
    assert_eq!(store.flow_sets(None, 9).await?, []);
    for number in 1..=11 {
        apply(store, set(number)?).await?;
        assert_eq!(applied(store, number - 1).await?, whole(set(number)?));
        assert_eq!(applied(store, number).await?, None);
    }
    assert_eq!(applied(store, 0).await?, whole(set(11)?));
    let again = apply(store, set(11)?).await;
    assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
    assert_eq!(store.flow_sets(None, 2).await?, [set(11)?, set(10)?]);
    assert_eq!(store.flow_sets(Some(2), 9).await?, [set(1)?]);
    Ok(())
}

/// Of many who apply at once one does, and nobody's event is there without their flows.
///
/// # Errors
/// The store failed.
pub async fn one_of_many_who_apply_at_once_does(store: &dyn Store) -> Checked {
    apply(store, set(1)?).await?;
    let tries = (0..8).map(|n| {
        set(2).map(|mut two| {
            two.files[0].text = n.to_string();
            apply(store, two)
        })
    });
    let tries = tries.collect::<Result<Vec<_>, _>>()?;
    let done = futures_util::future::join_all(tries).await;
    assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 1, "{done:?}");
    let lost = |one: &Result<(), StoreError>| matches!(one, Err(StoreError::Conflict) | Ok(()));
    assert!(done.iter().all(lost), "{done:?}");
    assert_eq!(store.audit_head().await?.records, 2);
    assert_eq!(store.flow_sets(None, 9).await?.len(), 2);
    Ok(())
}

/// A set that was changed, made up or brought back under a higher number is not in force, and
/// neither is the one before where the last one was deleted.
///
/// # Errors
/// The store failed.
pub async fn forged_flows_are_not_in_force(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    apply(store, set(1)?).await?;
    apply(store, set(2)?).await?;
    hand.by_hand("CREATE TABLE kept AS SELECT * FROM flow_sets").await?;
    let id = |number: u64| format!("{number:020}");
    let (one, two, three) = (id(1), id(2), id(3));
    let unknown = Some(Applied { number: 2, set: None });

    // A row of nobody's, and an old one under a new number: what is in force stays in force.
    hand.by_hand(&format!(
        "INSERT INTO flow_sets SELECT '{three}', document, seal FROM kept WHERE id = '{one}';
         INSERT INTO flow_sets SELECT '9{two}', replace(document, 'comment', 'forged'), NULL
         FROM kept WHERE id = '{two}'"
    ))
    .await?;
    assert_eq!(applied(store, 0).await?, whole(set(2)?));
    assert_eq!(applied(store, 2).await?, None);
    assert_eq!(store.flow_sets(None, 2).await?, [set(2)?, set(1)?], "they take nobody's place");

    for tamper in [
        format!(
            "UPDATE flow_sets SET document = replace(document, 'comment', 'x') WHERE id = '{two}'"
        ),
        format!("UPDATE flow_sets SET seal = NULL WHERE id = '{two}'"),
        format!("DELETE FROM flow_sets WHERE id = '{two}'"),
        "DELETE FROM flow_sets".to_owned(),
    ] {
        hand.by_hand(&tamper).await?;
        assert_eq!(applied(store, 0).await?, unknown, "{tamper}");
        hand.by_hand("DELETE FROM flow_sets; INSERT INTO flow_sets SELECT * FROM kept").await?;
        assert_eq!(applied(store, 0).await?, whole(set(2)?), "{tamper}");
    }
    assert!(store.broken_seals() > 0, "it is told");

    // One that nobody believes keeps no number from those who apply.
    hand.by_hand(&format!(
        "INSERT INTO flow_sets SELECT '{three}', document, seal FROM kept WHERE id = '{one}'"
    ))
    .await?;
    apply(store, set(3)?).await?;
    assert_eq!(applied(store, 0).await?, whole(set(3)?));
    // A number that the log has given is not given again, whether its row is there or not.
    hand.by_hand(&format!("DELETE FROM flow_sets WHERE id = '{three}'")).await?;
    assert!(apply(store, set(3)?).await.is_err());
    apply(store, set(4)?).await?;
    assert_eq!(applied(store, 0).await?, whole(set(4)?));
    Ok(())
}
