//! Somebody writes into the database by hand: what they wrote is not believed, is told of, and keeps
//! nobody else's from working.

use async_trait::async_trait;
use ebbgate_domain::{
    audit::{Action, Actor, AuditEvent},
    grant::{Attempts, Grant, GrantState, RevokeReason},
    ids::GrantId,
    request::{AccessRequest, RequestState},
};

use super::{
    Checked,
    samples::{
        active, agent, agent_id, at, event, grant, grant_id, notice, notice_id, put, request,
        token, token_id,
    },
};
use crate::{
    Store, StoreError,
    store::{AgentRecord, Change, GrantQuery, OutboxItem, RequestQuery, Versioned, Write},
    verify_audit,
};

/// Whoever can write to a store's database and does not have the broker's key.
#[async_trait]
pub trait ByHand: Send + Sync {
    /// Runs statements that every database understands.
    async fn by_hand(&self, sql: &str) -> Checked;
}

const ANA: &str = "ana@example.com";

pub(super) fn refused<T>(result: &Result<T, StoreError>, id: &str) -> bool {
    matches!(result, Err(StoreError::NotBelieved { id: named, .. }) if named == id)
}

/// A request and two grants that are due at 10 and 20 s.
async fn two_grants(
    store: &dyn Store,
) -> Result<[Grant; 2], Box<dyn std::error::Error + Send + Sync>> {
    let grants =
        [1, 2].map(|n| grant(n, 1, ANA, "prod-db").map(|g| active(g, at(10 * i64::from(n)))));
    let [first, second] = grants;
    let grants = [first?, second?];
    put(store, [request(1, ANA)?], grants.clone()).await?;
    Ok(grants)
}

async fn listed(store: &dyn Store) -> Result<Vec<GrantId>, StoreError> {
    let query = GrantQuery { limit: 50, ..GrantQuery::default() };
    Ok(store.grants(&query).await?.into_iter().map(|grant| grant.value.id).collect())
}

/// A new row, made of a good one with its seal.
///
/// # Errors
/// The store failed.
pub async fn a_forged_row_is_not_believed(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    let [first, second] = two_grants(store).await?;
    let forged = grant_id(9);
    hand.by_hand(&format!(
        "INSERT INTO grants (id, version, request_id, principal, integration, state, is_over,
                             due_at_ns, document, seal)
         SELECT '{forged}', version, request_id, principal, integration, state, is_over, 0,
                replace(document, '{}', '{forged}'), seal FROM grants WHERE id = '{}'",
        first.id, first.id
    ))
    .await?;

    assert!(refused(&store.grant(forged).await, &forged.to_string()));
    assert_eq!(listed(store).await?, [second.id, first.id]);
    let due = store.due_grants(at(99), &[], 9).await?;
    assert_eq!(due.iter().map(|grant| grant.value.id).collect::<Vec<_>>(), [first.id, second.id]);
    assert_eq!(store.broken_seals(), 1, "told once, however often it was met");
    Ok(())
}

/// Document, id, version, seal, another row's document with its seal: each makes the row one that
/// nobody believes, and the other grant goes its way.
///
/// # Errors
/// The store failed.
pub async fn a_changed_row_is_not_believed(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    let [first, second] = two_grants(store).await?;
    let (id, other) = (first.id, second.id);
    hand.by_hand("CREATE TABLE before_it AS SELECT * FROM grants").await?;
    for set in [
        format!("document = replace(document, 'select', 'full') WHERE id = '{id}'"),
        format!("version = version + 1 WHERE id = '{id}'"),
        format!("seal = NULL WHERE id = '{id}'"),
        format!("seal = '{}' WHERE id = '{id}'", "0".repeat(64)),
        format!("seal = (SELECT seal FROM before_it WHERE id = '{other}') WHERE id = '{id}'"),
        format!(
            "document = (SELECT document FROM before_it WHERE id = '{other}'),
             seal = (SELECT seal FROM before_it WHERE id = '{other}') WHERE id = '{id}'"
        ),
    ] {
        hand.by_hand(&format!("UPDATE grants SET {set}")).await?;
        assert!(refused(&store.grant(id).await, &id.to_string()), "{set}");
        assert_eq!(listed(store).await?, [other], "{set}");
        hand.by_hand(&format!(
            "UPDATE grants SET version = 1,
                 document = (SELECT document FROM before_it WHERE id = '{id}'),
                 seal = (SELECT seal FROM before_it WHERE id = '{id}') WHERE id = '{id}'"
        ))
        .await?;
        assert!(store.grant(id).await?.is_some(), "{set}");
    }
    let renamed = grant_id(9);
    hand.by_hand(&format!("UPDATE grants SET id = '{renamed}' WHERE id = '{id}'")).await?;
    assert!(refused(&store.grant(renamed).await, &renamed.to_string()));

    let later = Versioned { version: 1, value: active(second.clone(), at(90)) };
    let change =
        Change { grants: vec![Write::Update(later)], events: vec![event(1)], ..Change::default() };
    store.commit(change).await?;
    assert_eq!(store.grant(other).await?.map(|grant| grant.version), Some(2));
    verify_audit(store).await??;
    Ok(())
}

/// Columns choose what is found and when, never what is true of it.
///
/// # Errors
/// The store failed.
pub async fn columns_are_not_believed(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    let [first, _] = two_grants(store).await?;
    hand.by_hand(&format!(
        "UPDATE grants SET principal = 'bo@example.com', integration = 'elsewhere', due_at_ns = 0
             WHERE id = '{}';
         UPDATE requests SET requester = 'bo@example.com', state = 'ended', is_over = true",
        first.id
    ))
    .await?;
    let bo = Some("bo@example.com".parse()?);
    let grants = GrantQuery { principal: bo.clone(), limit: 9, ..GrantQuery::default() };
    assert_eq!(store.grants(&grants).await?, []);
    let elsewhere = vec!["elsewhere".parse()?];
    let grants = GrantQuery { integrations: elsewhere, limit: 9, ..GrantQuery::default() };
    assert_eq!(store.grants(&grants).await?, []);
    let requests = RequestQuery { requester: bo, limit: 9, ..RequestQuery::default() };
    assert_eq!(store.requests(&requests).await?, []);
    assert_eq!(store.due_grants(at(9), &[], 9).await?, []);
    // Found by its id it is what it was.
    assert_eq!(store.grant(first.id).await?.map(|grant| grant.value), Some(first));
    assert_eq!(store.broken_seals(), 2);
    Ok(())
}

/// However many forged rows stand in front of a good one, it is found.
///
/// # Errors
/// The store failed.
pub async fn forged_rows_take_nobodys_place(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    let [first, second] = two_grants(store).await?;
    hand.by_hand(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO grants (id, version, request_id, principal, integration, state, is_over,
                             due_at_ns, document, seal)
         SELECT 'grt_z' || i, version, request_id, principal, integration, state, is_over, 0,
                document, seal FROM grants, n WHERE id = '{}'",
        first.id
    ))
    .await?;
    let due = store.due_grants(at(99), &[], 2).await?;
    assert_eq!(due.iter().map(|grant| grant.value.id).collect::<Vec<_>>(), [first.id, second.id]);
    let page = GrantQuery { live: true, limit: 1, ..GrantQuery::default() };
    let found = store.grants(&page).await?;
    assert_eq!(found.first().map(|grant| grant.value.id), Some(second.id));
    Ok(())
}

/// A grant that has ended and a request that was denied are put back as they once were, with the
/// seals that they had then: the log says that they went further.
///
/// # Errors
/// The store failed.
pub async fn what_was_set_back_is_not_believed(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    let planned = grant(1, 1, ANA, "prod-db")?;
    put(store, [request(1, ANA)?, request(2, ANA)?], [planned.clone()]).await?;
    let asked = request(2, ANA)?;
    let said = |action| vec![AuditEvent { action, ..event(1) }.grant(planned.id)];
    hand.by_hand("CREATE TABLE asked AS SELECT * FROM requests").await?;
    let denied = AccessRequest { state: RequestState::Denied, ..asked.clone() };
    let requests = vec![Write::Update(Versioned { version: 1, value: denied })];
    let events = vec![AuditEvent { action: Action::RequestDenied, ..event(1) }.request(asked.id)];
    store.commit(Change { requests, events, ..Change::default() }).await?;

    let attempts = Attempts { since: at(1), failed: 0, next_at: at(2), last_error: None };
    let reason = RevokeReason::Released;
    let revoking = GrantState::Revoking { reason: reason.clone(), attempts: attempts.clone() };
    let steps = [
        (Action::GrantProvisioning, GrantState::Provisioning(attempts)),
        (Action::GrantActive, GrantState::Active),
        (Action::GrantRevoking, revoking),
        (Action::GrantRevoked, GrantState::Revoked { reason, at: at(9), finding: None }),
    ];
    for (version, (action, state)) in (1..).zip(steps) {
        hand.by_hand(&format!("CREATE TABLE step_{version} AS SELECT * FROM grants")).await?;
        let value = Grant { state, deadline: Some(at(99)), ..planned.clone() };
        let grants = vec![Write::Update(Versioned { version, value })];
        store.commit(Change { grants, events: said(action), ..Change::default() }).await?;
    }
    for version in 1..=4 {
        let back = format!("DELETE FROM grants; INSERT INTO grants SELECT * FROM step_{version}");
        hand.by_hand(&back).await?;
        assert!(refused(&store.grant(planned.id).await, &planned.id.to_string()), "{version}");
        let ready = [planned.integration.clone()];
        assert_eq!(store.due_grants(at(99), &ready, 9).await?, [], "{version}");
        assert_eq!(listed(store).await?, []);
        // Whoever had read it before.
        let value = active(planned.clone(), at(99));
        let late = vec![Write::Update(Versioned { version, value })];
        let late = store.commit(Change { grants: late, ..Change::default() }).await;
        assert!(refused(&late, &planned.id.to_string()), "{version}: {late:?}");
    }
    hand.by_hand(&format!(
        "UPDATE requests SET version = 1, state = 'pending', is_over = (SELECT is_over FROM asked LIMIT 1),
             document = (SELECT document FROM asked WHERE id = '{0}'),
             seal = (SELECT seal FROM asked WHERE id = '{0}') WHERE id = '{0}'",
        asked.id
    ))
    .await?;
    assert!(refused(&store.request(asked.id).await, &asked.id.to_string()));
    verify_audit(store).await??;
    Ok(())
}

/// A token is bound to what it was made for, and once spent it stays so, also where it is put back
/// with the seal that it had before.
///
/// # Errors
/// The store failed.
pub async fn a_token_cannot_be_widened_or_unspent(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    let made = token(1)?;
    store.commit(Change { tokens: vec![made.clone()], ..Change::default() }).await?;
    hand.by_hand("CREATE TABLE before_it AS SELECT * FROM enrolment_tokens").await?;
    let spend = |n| {
        let agents = agent(n, "site-a").map(|agent| vec![agent]);
        agents.map(|agents| Change {
            agents,
            spend: Some(token_id(1)),
            events: vec![enrolled(n, "site-a")],
            ..Change::default()
        })
    };
    for set in ["agent = 'site-b'", "expires_at_ns = expires_at_ns + 1", "integrations = '[]'"] {
        hand.by_hand(&format!("UPDATE enrolment_tokens SET {set}")).await?;
        let read = store.enrolment_token(&made.secret_hash).await;
        assert!(refused(&read, &made.id.to_string()), "{set}");
        assert!(refused(&store.commit(spend(1)?).await, &made.id.to_string()), "{set}");
        let back =
            "DELETE FROM enrolment_tokens; INSERT INTO enrolment_tokens SELECT * FROM before_it";
        hand.by_hand(back).await?;
    }
    store.commit(spend(1)?).await?;
    hand.by_hand("UPDATE enrolment_tokens SET spent_at_ns = NULL").await?;
    assert!(refused(&store.enrolment_token(&made.secret_hash).await, &made.id.to_string()));
    assert!(refused(&store.commit(spend(2)?).await, &made.id.to_string()));
    assert_eq!(store.agents().await?.len(), 1);

    hand.by_hand(
        "DELETE FROM enrolment_tokens; INSERT INTO enrolment_tokens SELECT * FROM before_it",
    )
    .await?;
    assert!(refused(&store.enrolment_token(&made.secret_hash).await, &made.id.to_string()));
    assert!(refused(&store.commit(spend(2)?).await, &made.id.to_string()));
    assert_eq!(store.agents().await?.len(), 1);
    Ok(())
}

/// An agent that was shut out, or whose name another one has taken, cannot be brought back, and none
/// can be made.
///
/// # Errors
/// The store failed.
pub async fn an_agent_cannot_be_forged_or_brought_back(
    store: &dyn Store,
    hand: &dyn ByHand,
) -> Checked {
    let enrol = async |n| -> Checked {
        let agents = vec![agent(n, "site-a")?];
        let events = vec![enrolled(n, "site-a")];
        Ok(store.commit(Change { agents, events, ..Change::default() }).await?)
    };
    let (old, new) = (agent_id(1), agent_id(2));
    enrol(1).await?;
    hand.by_hand("CREATE TABLE before_it AS SELECT * FROM agents").await?;
    enrol(2).await?;
    hand.by_hand(&format!(
        "UPDATE agents SET document = replace(document, '\"retired\":true', '\"retired\":false')
             WHERE id = '{old}'"
    ))
    .await?;
    assert!(refused(&store.agent(old).await, &old.to_string()));
    // What is noted of it later does not mend it.
    let late = Change { agents: vec![agent(1, "site-a")?], ..Change::default() };
    assert!(refused(&store.commit(late).await, &old.to_string()));
    hand.by_hand(&format!(
        "UPDATE agents SET document = (SELECT document FROM before_it),
             seal = (SELECT seal FROM before_it) WHERE id = '{old}'"
    ))
    .await?;
    assert!(refused(&store.agent(old).await, &old.to_string()));

    let forged = agent_id(7);
    hand.by_hand(&format!(
        "INSERT INTO agents (id, name, retired, document, seal)
         SELECT '{forged}', 'site-c', false, replace(document, '{new}', '{forged}'), seal
         FROM agents WHERE id = '{new}'"
    ))
    .await?;
    assert!(refused(&store.agent(forged).await, &forged.to_string()));
    assert_eq!(store.agents().await?, [agent(2, "site-a")?]);
    // One that is not believed gives its name away all the same.
    store.commit(Change { agents: vec![agent(3, "site-c")?], ..Change::default() }).await?;
    assert_eq!(store.agents().await?, [agent(2, "site-a")?, agent(3, "site-c")?]);

    hand.by_hand("DELETE FROM before_it; INSERT INTO before_it SELECT * FROM agents").await?;
    let revoked = AgentRecord { retired: true, ..agent(2, "site-a")? };
    let revoke = AuditEvent { action: Action::AgentRevoked, ..event(2) };
    let events = vec![revoke.detail("agent_id", new.to_string())];
    store.commit(Change { agents: vec![revoked], events, ..Change::default() }).await?;
    hand.by_hand(&format!(
        "DELETE FROM agents; INSERT INTO agents SELECT * FROM before_it WHERE id = '{new}'"
    ))
    .await?;
    assert!(refused(&store.agent(new).await, &new.to_string()));
    assert_eq!(store.agents().await?, []);
    let late = Change { agents: vec![agent(2, "site-a")?], ..Change::default() };
    assert!(refused(&store.commit(late).await, &new.to_string()));
    Ok(())
}

pub(super) fn enrolled(n: u8, name: &str) -> AuditEvent {
    let name = name.parse().map_or(Actor::Anonymous, Actor::Agent);
    AuditEvent { action: Action::AgentEnrolled, actor: name, ..event(1) }
        .detail("agent_id", agent_id(n).to_string())
        .detail("token", token_id(1).to_string())
}

/// What people are told cannot be made to be something else.
///
/// # Errors
/// The store failed.
pub async fn notices_are_sealed_too(store: &dyn Store, hand: &dyn ByHand) -> Checked {
    let change = Change { notices: vec![notice(1, 1)?, notice(2, 1)?], ..Change::default() };
    store.commit(change).await?;
    hand.by_hand(&format!(
        "UPDATE outbox SET document = replace(document, 'notice 1', 'pay me') WHERE id = '{}'",
        notice_id(1)
    ))
    .await?;
    let taken = store.take_notices(&"log".parse()?, at(10), at(20), 9).await?;
    assert_eq!(taken, Vec::<OutboxItem>::new(), "the second waited for the first");
    assert_eq!(store.take_notices(&"log".parse()?, at(10), at(20), 9).await?, [notice(2, 1)?]);
    assert_eq!(store.broken_seals(), 1);
    Ok(())
}

/// Whoever cuts the log off, or writes it anew, and moves its end to fit lacks the end's seal. The log
/// goes on and the break stays to be seen; nothing is given meanwhile, and what was given ends.
///
/// # Errors
/// The store failed.
pub async fn a_rewritten_log_gives_nothing_and_lets_things_end(
    store: &dyn Store,
    hand: &dyn ByHand,
) -> Checked {
    let [first, _] = two_grants(store).await?;
    hand.by_hand("CREATE TABLE before_it AS SELECT * FROM audit_head").await?;
    store.commit(Change { events: vec![event(2)], ..Change::default() }).await?;
    verify_audit(store).await??;
    let give = |n| -> Result<Change, Box<dyn std::error::Error + Send + Sync>> {
        let grants = vec![Write::Insert(grant(n, 1, ANA, "prod-db")?)];
        Ok(Change { grants, events: vec![event(3)], ..Change::default() })
    };
    store.commit(give(3)?).await?;
    hand.by_hand("CREATE TABLE whole AS SELECT * FROM audit_head").await?;

    // Its seal is good, and it was the end once.
    let back = "DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM before_it";
    let unsealed = "UPDATE audit_head SET seal = NULL";
    for broken in [back, unsealed] {
        hand.by_hand(broken).await?;
        assert!(refused(&store.commit(give(4)?).await, "end"), "{broken}");
        hand.by_hand("DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM whole").await?;
    }
    store.commit(give(4)?).await?;

    hand.by_hand(unsealed).await?;
    let broken = verify_audit(store).await?.err().ok_or("nothing was noticed")?;
    assert!(broken.reason.contains("seal"), "{broken}");
    let state = GrantState::Revoked { reason: RevokeReason::Released, at: at(9), finding: None };
    let over = Versioned { version: 1, value: Grant { state, ..first.clone() } };
    let grants = vec![Write::Update(over)];
    store.commit(Change { grants, events: vec![event(4)], ..Change::default() }).await?;
    assert!(store.grant(first.id).await?.is_some_and(|grant| grant.value.is_over()));
    assert!(verify_audit(store).await?.is_err(), "a new seal would hide it");
    assert!(refused(&store.commit(give(5)?).await, "end"));
    assert_eq!(store.broken_seals(), 1);
    Ok(())
}
