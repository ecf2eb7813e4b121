//! What nobody needs any more is removed, and nothing else is; nobody can put it back.

use ebbgate_domain::audit::{Action, AuditEvent};

use super::{
    ByHand, Checked,
    samples::{agent, agent_id, at, event, key, put, request, token, token_id},
    seals::{enrolled, refused},
};
use crate::{
    Store, StoreError,
    store::{AgentRecord, Change, EnrolmentToken, IdempotencyKey, Purged, Stale},
    verify_audit,
};

fn stale(before: i64, agents: &[u8]) -> Stale {
    let agents = agents.iter().copied().map(agent_id).collect();
    Stale { keys_before: at(before), tokens_before: at(before), agents }
}

/// Keys by when they were used, tokens by when they were spent or else ended, agents by their ids
/// where they are retired; so many at a time. A key that is gone can be used anew.
///
/// # Errors
/// The store failed.
pub async fn what_is_stale_is_purged(store: &dyn Store) -> Checked {
    let ana = "ana@example.com".parse()?;
    let used = async |name: &str, seconds| -> Checked {
        let idempotency = IdempotencyKey { at: at(seconds), ..key("ana@example.com", name, "x")? };
        Ok(store.commit(Change { idempotency: Some(idempotency), ..Change::default() }).await?)
    };
    for (name, seconds) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
        used(name, seconds).await?;
    }
    let ends =
        |n, seconds| token(n).map(|token| EnrolmentToken { expires_at: at(seconds), ..token });
    let tokens = vec![ends(1, 3)?, ends(2, 5)?, ends(3, 900)?, ends(4, 900)?];
    store.commit(Change { tokens, ..Change::default() }).await?;
    for (n, spent) in [(1, 3), (2, 4)] {
        let (agents, events) = (vec![agent(n, "site-a")?], vec![event(n.into())]);
        let spend = Some(token_id(spent));
        store.commit(Change { agents, spend, events, ..Change::default() }).await?;
    }
    put(store, [request(1, "ana@example.com")?], []).await?;
    let records = store.audit_head().await?;

    let purged = store.purge(&stale(4, &[1, 2, 9]), 2).await?;
    assert_eq!(purged, Purged { keys: 2, tokens: 2, agents: 1 }, "at most two of each kind");
    let purged = store.purge(&stale(4, &[]), 2).await?;
    assert_eq!(purged, Purged { keys: 1, tokens: 1, agents: 0 });
    assert_eq!(store.purge(&stale(4, &[1]), 2).await?, Purged::default());

    for (name, there) in [("a", false), ("b", false), ("c", false), ("d", true)] {
        assert_eq!(store.idempotency(&ana, name).await?.is_some(), there, "{name}");
    }
    for (n, there) in [(1, false), (2, true), (3, false), (4, false)] {
        let found = store.enrolment_token(&token(n)?.secret_hash).await?;
        assert_eq!(found.is_some(), there, "{n}");
    }
    assert_eq!(store.agents().await?, [agent(2, "site-a")?], "who is not retired stays");
    assert!(matches!(used("d", 5).await, Err(error) if error.to_string().contains("used before")));
    used("a", 5).await?;
    let spend = Change { spend: Some(token_id(3)), events: vec![event(9)], ..Change::default() };
    assert!(matches!(store.commit(spend).await, Err(StoreError::TokenSpent)));
    assert_eq!(store.audit_head().await?, records, "the log is as it was");
    verify_audit(store).await??;
    Ok(())
}

/// A spent token and a retired agent that were purged, put back as they were before that: the log
/// has not forgotten them. What is left of the store is as good as before, and no alarm is raised
/// over what is missing.
///
/// # Errors
/// The store failed.
pub async fn what_was_purged_cannot_be_put_back(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    let made = token(1)?;
    store.commit(Change { tokens: vec![made.clone()], ..Change::default() }).await?;
    hand.by_hand("CREATE TABLE unspent AS SELECT * FROM enrolment_tokens").await?;
    let agents = vec![agent(1, "site-a")?];
    let events = vec![enrolled(1, "site-a").detail("token", made.id.to_string())];
    store.commit(Change { agents, spend: Some(made.id), events, ..Change::default() }).await?;
    hand.by_hand("CREATE TABLE live AS SELECT * FROM agents").await?;
    let agents = vec![AgentRecord { retired: true, ..agent(1, "site-a")? }];
    let revoked = AuditEvent { action: Action::AgentRevoked, ..event(2) };
    let events = vec![revoked.detail("agent_id", agent_id(1).to_string())];
    store.commit(Change { agents, events, ..Change::default() }).await?;

    let purged = store.purge(&stale(900, &[1]), 9).await?;
    assert_eq!(purged, Purged { keys: 0, tokens: 1, agents: 1 });
    assert_eq!(store.agents().await?, []);
    assert_eq!(store.broken_seals(), 0, "a purge is no tampering");
    assert!(store.audit_head_holds().await?);

    hand.by_hand("INSERT INTO enrolment_tokens SELECT * FROM unspent").await?;
    hand.by_hand("INSERT INTO agents SELECT * FROM live").await?;
    assert!(refused(&store.enrolment_token(&made.secret_hash).await, &made.id.to_string()));
    assert!(refused(&store.agent(agent_id(1)).await, &agent_id(1).to_string()));
    assert_eq!(store.agents().await?, []);
    assert_eq!(store.broken_seals(), 2);
    verify_audit(store).await??;
    Ok(())
}
