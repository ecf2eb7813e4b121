//! How a grant ends: at its deadline by itself, and before it by a deny on one session.

use ebbgate_connector_api::{Clock as _, Connector as _, ErrorKind};
use ebbgate_domain::order::GrantSpec;
use serde_json::json;

use crate::{person::Answer, support::Account};

/// A delay, in milliseconds, that no test waits for.
const AN_HOUR: u64 = 3_600_000;

#[tokio::test]
async fn what_was_never_used_has_nothing_to_end() {
    let account = Account::start().await;
    let grant = account.grant(1, "read-only", 1_800);
    let finding = account.connector().revoke(&grant, &account).await.unwrap();
    assert_eq!(finding.summary, "no credentials were handed out");
    assert!(finding.closed_at < grant.deadline);
    assert!(account.calls("AssumeRole").await.is_empty());
}

#[tokio::test]
async fn aws_itself_ends_a_grant_at_its_deadline() {
    let account = Account::start().await;
    let connector = account.connector();
    // Shorter than what STS gives at least.
    let mut grant = account.grant(1, "read-only", 300);
    let ana = account.person(&connector, &mut grant).await;
    account.advance(240).await;
    assert_eq!(ana.get("reports/a.csv").await, Answer::Done);
    account.advance(60).await;
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());

    let finding = connector.revoke(&grant, &account).await.unwrap();
    assert_eq!(finding.closed_at, grant.deadline);
    assert!(finding.checked_at >= grant.deadline);
    assert!(finding.summary.contains("since its deadline"), "{}", finding.summary);
    assert!(finding.summary.ends_with("explicit deny"), "{}", finding.summary);
    assert!(account.inline_policies().await.is_empty(), "no write to IAM was needed");
}

#[tokio::test]
async fn an_early_end_kills_one_session_and_leaves_its_neighbour() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut anas = account.grant(1, "read-only", 1_800);
    let mut bos = account.grant(2, "read-only", 1_800);
    let ana = account.person(&connector, &mut anas).await;
    let ana_again = account.person(&connector, &mut anas).await;
    let bo = account.person(&connector, &mut bos).await;

    let before = account.now();
    let finding = connector.revoke(&anas, &account).await.unwrap();
    assert!(before <= finding.closed_at && finding.closed_at <= finding.checked_at);
    assert!(finding.closed_at < anas.deadline);
    assert_eq!(finding.sessions_ended, 1);
    assert!(finding.summary.ends_with("explicit deny"), "{}", finding.summary);
    for session in [&ana, &ana_again] {
        assert_eq!(session.get("reports/a.csv").await, Answer::denied());
        assert_eq!(session.list("reports").await, Answer::denied());
    }
    assert_eq!(bo.get("reports/a.csv").await, Answer::Done);

    // A new session under the same name would be dead from its birth (I5).
    let late = account.person(&connector, &mut anas).await;
    assert_eq!(late.get("reports/a.csv").await, Answer::denied());
}

#[tokio::test]
async fn ending_twice_changes_nothing() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    account.credentials(&connector, &mut grant).await;
    connector.revoke(&grant, &account).await.unwrap();
    let denies = account.inline_policies().await;
    connector.revoke(&grant, &account).await.unwrap();
    assert_eq!(account.inline_policies().await, denies);
}

#[tokio::test]
async fn an_early_end_counts_only_when_it_is_in_force() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    account.faults(json!({"propagation_ms": AN_HOUR})).await;
    let propagate = async {
        account.calls_reach("ListObjectsV2", 3).await;
        assert_eq!(ana.get("reports/a.csv").await, Answer::Done);
        account.faults(json!({"propagation_ms": 0})).await;
    };
    let (finding, ()) = tokio::join!(connector.revoke(&grant, &account), propagate);
    assert!(finding.unwrap().summary.ends_with("refused: explicit deny"));
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());

    let probes = account.calls("ListObjectsV2").await;
    let (last, before) = probes.split_last().unwrap();
    assert!(before.iter().all(|probe| probe["outcome"] == "allowed"), "{before:?}");
    assert_eq!(last["outcome"], "denied");
    assert_eq!(last["session_name"], grant.grant.to_string());
}

#[tokio::test]
async fn an_end_that_does_not_come_into_force_is_not_reported_as_one() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    account.faults(json!({"propagation_ms": AN_HOUR})).await;
    let error = connector.revoke(&grant, &account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StillPresent);
    assert_eq!(ana.get("reports/a.csv").await, Answer::Done);

    account.faults(json!({"propagation_ms": 0})).await;
    connector.revoke(&grant, &account).await.unwrap();
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());
    assert_eq!(account.inline_policies().await.len(), 1);
}

/// The session may read but not list, so that the probe is refused before the deny is in force.
#[tokio::test]
async fn a_refusal_for_want_of_a_right_does_not_pass_for_a_deny() {
    let account = Account::start().await;
    account.replace_rights(&["s3:GetObject"]).await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    assert_eq!(ana.list("reports").await, Answer::denied());
    assert_eq!(ana.get("reports/a.csv").await, Answer::Done);
    account.faults(json!({"propagation_ms": AN_HOUR})).await;
    let propagate = async {
        account.calls_reach("ListObjectsV2", 3).await;
        assert_eq!(ana.get("reports/a.csv").await, Answer::Done);
        account.faults(json!({"propagation_ms": 0})).await;
    };
    let (finding, ()) = tokio::join!(connector.revoke(&grant, &account), propagate);
    let summary = finding.unwrap().summary;
    assert!(summary.ends_with("refused: explicit deny"), "{summary}");
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());
}

#[tokio::test]
async fn what_sts_has_let_expire_needs_no_look() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    account.credentials(&connector, &mut grant).await;
    account.advance(1_800 + 310).await;
    account.faults(json!({"down": true})).await;
    let finding = connector.revoke(&grant, &account).await.unwrap();
    assert_eq!(finding.closed_at, grant.credentials_until.unwrap().min(grant.deadline));
    assert!(finding.summary.contains("STS has let"), "{}", finding.summary);
}

#[tokio::test]
async fn a_bucket_that_is_gone_is_closed() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    grant.native = "gone".to_owned();
    account.credentials(&connector, &mut grant).await;
    account.faults(json!({"propagation_ms": AN_HOUR})).await;
    let finding = connector.revoke(&grant, &account).await.unwrap();
    assert!(finding.summary.ends_with("the bucket does not exist any more"), "{}", finding.summary);
}

#[tokio::test]
async fn a_role_that_is_gone_has_taken_its_sessions_along() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut early = account.grant(1, "read-only", 1_800);
    let mut late = account.grant(2, "read-only", 60);
    let ana = account.person(&connector, &mut early).await;
    account.credentials(&connector, &mut late).await;
    account.delete_ceiling().await;
    assert_ne!(ana.get("reports/a.csv").await, Answer::Done);

    let finding = connector.revoke(&early, &account).await.unwrap();
    assert!(finding.summary.contains("does not exist any more"), "{}", finding.summary);
    account.advance(60).await;
    let finding = connector.revoke(&late, &account).await.unwrap();
    assert_eq!(finding.closed_at, late.deadline);
}

/// The new role has another id, which the sessions made from then on bear.
#[tokio::test]
async fn a_role_that_was_made_anew_is_denied_on_like_the_first() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut first = account.grant(1, "read-only", 1_800);
    account.credentials(&connector, &mut first).await;
    connector.revoke(&first, &account).await.unwrap();
    let denies = account.inline_policies().await;
    let delete = account.iam.delete_role_policy().role_name("ceiling").policy_name(&denies[0]);
    delete.send().await.unwrap();
    account.delete_ceiling().await;
    account.make_ceiling(43_200).await;

    let mut second = account.grant(2, "read-only", 1_800);
    let ana = account.person(&connector, &mut second).await;
    assert_eq!(ana.get("reports/a.csv").await, Answer::Done);
    connector.revoke(&second, &account).await.unwrap();
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());
}

#[tokio::test]
async fn denies_go_when_nothing_is_left_that_they_are_for() {
    let account = Account::start().await;
    let connector = account.connector();
    let foreign = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "*",
    }});
    account.put_inline("ceiling", "ebbgate-deny-somebody-elses", &foreign).await;
    let mut short = account.grant(1, "read-only", 1_800);
    let mut long = account.grant(2, "read-only", 7_200);
    for grant in [&mut short, &mut long] {
        account.credentials(&connector, grant).await;
        connector.revoke(grant, &account).await.unwrap();
    }
    assert_eq!(account.inline_policies().await.len(), 3);

    // STS has let the first one's credentials expire; the margin is not over.
    account.advance(1_800 + 60).await;
    connector.prune(account.now()).await.unwrap();
    assert_eq!(account.inline_policies().await.len(), 3);
    account.advance(600).await;
    connector.prune(account.now()).await.unwrap();
    let left = account.inline_policies().await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().any(|name| name.contains(&long.grant.to_string())), "{left:?}");

    account.advance(7_200).await;
    connector.prune(account.now()).await.unwrap();
    assert_eq!(account.inline_policies().await, ["ebbgate-deny-somebody-elses"]);
}

/// A broker without a memory, as after a crash, clears away what another one wrote.
#[tokio::test]
async fn a_deny_needs_nobody_who_remembers_it() {
    let account = Account::start().await;
    let mut grant = account.grant(1, "read-only", 1_800);
    let first = account.connector();
    account.credentials(&first, &mut grant).await;
    first.revoke(&grant, &account).await.unwrap();
    drop(first);
    account.advance(1_800 + 610).await;
    account.connector().prune(account.now()).await.unwrap();
    assert!(account.inline_policies().await.is_empty());
}

/// What stands behind the grant's id in the session's name does not save it.
#[tokio::test]
async fn an_emergencys_session_shows_what_it_is_and_is_ended_early() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = GrantSpec { recorded: true, ..account.grant(1, "read-only", 1_800) };
    let mut plain = account.grant(2, "read-only", 1_800);
    let told = connector.provision(&grant, account.now()).await.unwrap().recording.unwrap();
    let name = format!("{}.break-glass", grant.grant);
    assert!(
        told.starts_with(&format!("CloudTrail tells its sessions by the name {name};")),
        "{told}"
    );
    assert_eq!(connector.provision(&plain, account.now()).await.unwrap().recording, None);
    let ana = account.person(&connector, &mut grant).await;
    let bo = account.person(&connector, &mut plain).await;
    assert_eq!(ana.get("reports/a.csv").await, Answer::Done);
    let calls = account.calls("GetObject").await;
    assert_eq!(calls.last().unwrap()["session_name"], name);

    let finding = connector.revoke(&grant, &account).await.unwrap();
    assert!(finding.summary.starts_with(&format!("the session {name} is denied")));
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());
    assert_eq!(bo.get("reports/a.csv").await, Answer::Done);
}
