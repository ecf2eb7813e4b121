//! Agents and the tokens that enrol them.

use futures_util::future::join_all;

use super::{
    Checked,
    samples::{agent, agent_id, at, event, token, token_id},
};
use crate::{
    Store, StoreError,
    store::{AgentRecord, Change, EnrolmentToken},
};

/// Of many who spend a token at once one enrols; the others leave nothing behind. An unknown token
/// is like a spent one.
///
/// # Errors
/// The store failed.
pub async fn a_token_is_spent_by_one_of_many(store: &dyn Store) -> Checked {
    store.commit(Change { tokens: vec![token(1)?], ..Change::default() }).await?;
    let mut racers = Vec::new();
    for n in 1..=8 {
        racers.push(store.commit(Change {
            agents: vec![agent(n, "site-a")?],
            spend: Some(token_id(1)),
            events: vec![event(i64::from(n))],
            ..Change::default()
        }));
    }
    let results = join_all(racers).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    let spent = |result: &&Result<(), StoreError>| matches!(result, Err(StoreError::TokenSpent));
    assert_eq!(results.iter().filter(spent).count(), 7, "{results:?}");

    let enrolled = store.agents().await?;
    assert_eq!(enrolled.len(), 1);
    assert_eq!(store.audit_head().await?.records, 1);
    let when = enrolled.first().map(|agent| agent.enrolled_at);
    let expected = EnrolmentToken { spent_at: when, ..token(1)? };
    assert_eq!(store.enrolment_token(&expected.secret_hash).await?, Some(expected));

    let unknown = Change { spend: Some(token_id(2)), events: vec![event(0)], ..Change::default() };
    assert!(matches!(store.commit(unknown).await, Err(StoreError::TokenSpent)));
    assert_eq!(store.audit_head().await?.records, 1);
    Ok(())
}

/// Agents are ordered by name; one that is on record is replaced.
///
/// # Errors
/// The store failed.
pub async fn agents_are_listed_by_name_and_replaced_by_id(store: &dyn Store) -> Checked {
    let agents = vec![agent(1, "site-b")?, agent(2, "site-a")?];
    store.commit(Change { agents, ..Change::default() }).await?;
    let seen = AgentRecord { last_seen: Some(at(60)), ..agent(1, "site-b")? };
    store.commit(Change { agents: vec![seen.clone()], ..Change::default() }).await?;

    assert_eq!(store.agents().await?, [agent(2, "site-a")?, seen.clone()]);
    assert_eq!(store.agent(agent_id(1)).await?, Some(seen));
    assert_eq!(store.agent(agent_id(9)).await?, None);
    Ok(())
}

/// An enrolment under a name that another agent bears retires that one, and nothing that is
/// noted of it later gives the name back.
///
/// # Errors
/// The store failed.
pub async fn an_enrolment_takes_the_name_for_good(store: &dyn Store) -> Checked {
    for n in [1, 2, 3] {
        store.commit(Change { agents: vec![agent(n, "site-a")?], ..Change::default() }).await?;
    }
    // The first one's stream ends only now; whoever notes that had read it before it was retired.
    let late = AgentRecord { last_seen: Some(at(60)), ..agent(1, "site-a")? };
    store.commit(Change { agents: vec![late.clone()], ..Change::default() }).await?;

    let retired = |agent: AgentRecord| AgentRecord { retired: true, ..agent };
    assert_eq!(store.agent(agent_id(1)).await?, Some(retired(late)));
    assert_eq!(store.agent(agent_id(2)).await?, Some(retired(agent(2, "site-a")?)));
    assert_eq!(store.agent(agent_id(3)).await?, Some(agent(3, "site-a")?));
    Ok(())
}
