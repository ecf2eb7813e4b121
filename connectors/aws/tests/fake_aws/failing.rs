//! What goes wrong on AWS, and what the connector says about it.

use ebbgate_connector_api::{Clock as _, Connector as _, CredentialWish, ErrorKind};
use serde_json::{Value, json};

use crate::{
    person::Answer,
    support::{Account, CONNECTOR},
};

#[tokio::test]
async fn a_throttled_call_is_made_again_and_then_given_up_as_throttled() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    account.faults(json!({"throttle_next": 2, "action": "AssumeRole"})).await;
    account.credentials(&connector, &mut grant).await;

    account.faults(json!({"throttle_next": 50, "action": "AssumeRole"})).await;
    let wish = CredentialWish::Issue;
    let error = connector.credential(&grant, wish, account.now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert!(error.chain().contains("Rate exceeded"), "{}", error.chain());
}

#[tokio::test]
async fn a_busy_s3_is_no_proof_of_anything() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    account.credentials(&connector, &mut grant).await;
    account.faults(json!({"throttle_next": 1, "action": "ListObjectsV2"})).await;
    let error = connector.revoke(&grant, &account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    connector.revoke(&grant, &account).await.unwrap();
}

/// The deny is in force, but the broker was not told.
#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    account.faults(json!({"lose_answer_next": 1, "action": "PutRolePolicy"})).await;
    connector.revoke(&grant, &account).await.unwrap();
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());
    assert_eq!(account.inline_policies().await.len(), 1);
}

#[tokio::test]
async fn aws_out_of_order_is_unreachable() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    account.credentials(&connector, &mut grant).await;
    account.faults(json!({"down": true})).await;
    let error = connector.revoke(&grant, &account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
    let error = connector.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
}

#[tokio::test]
async fn aws_out_of_reach_is_unreachable() {
    let account = Account::start().await;
    let connector = account.connector();
    let chained = account.connector_with(|s| s.assume_role = Some(CONNECTOR.parse().unwrap()));
    let mut grant = account.grant(1, "read-only", 1_800);
    account.credentials(&connector, &mut grant).await;
    let clock = account.vanish();
    let errors = [
        connector.revoke(&grant, &clock).await.unwrap_err(),
        connector
            .credential(&grant, CredentialWish::Issue, clock.now())
            .await
            .map(drop)
            .unwrap_err(),
        connector.prune(clock.now()).await.unwrap_err(),
        chained.check().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{}", error.chain());
    }
}

#[tokio::test]
async fn a_role_that_does_not_trust_the_broker_is_told_as_aws_tells_it() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    let nobody = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole",
    }});
    let update = account.iam.update_assume_role_policy().role_name("ceiling");
    update.policy_document(nobody.to_string()).send().await.unwrap();
    let lacks = connector.check().await.unwrap();
    assert_eq!(lacks.len(), 1, "{lacks:?}");
    let told = "is not authorized to perform: sts:AssumeRole";
    assert!(lacks[0].what.contains(told), "{lacks:?}");
    assert!(lacks[0].cure.contains("in the role's trust policy too"), "{lacks:?}");

    // The look can't be had, but the session is denied all the same.
    let error = connector.revoke(&grant, &account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());
}

#[tokio::test]
async fn the_wrong_account_is_told_before_anything_is_written() {
    let account = Account::start().await;
    let connector = account.connector_with(|settings| {
        settings.ceiling_role = "arn:aws:iam::999999999999:role/ebbgate/ceiling".parse().unwrap();
    });
    let lacks = connector.check().await.unwrap();
    assert_eq!(lacks.len(), 1, "{lacks:?}");
    assert!(lacks[0].what.contains("set assume_role in the settings"), "{lacks:?}");
}

/// A missing role in some other account must not pass for a deleted one.
#[tokio::test]
async fn a_role_that_is_elsewhere_is_not_gone() {
    let account = Account::start().await;
    let mut grant = account.grant(1, "read-only", 1_800);
    account.credentials(&account.connector(), &mut grant).await;
    let connector = account.connector_with(|settings| {
        settings.ceiling_role = "arn:aws:iam::999999999999:role/gone".parse().unwrap();
    });
    let error = connector.revoke(&grant, &account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{}", error.chain());
}

#[tokio::test]
async fn a_ceiling_role_that_was_never_made_is_named() {
    let account = Account::start().await;
    account.delete_ceiling().await;
    let lacks = account.connector().check().await.unwrap();
    assert!(lacks[0].what.contains("correct ceiling_role in the settings"), "{lacks:?}");
}

/// A policy of so many characters.
fn filler(length: usize) -> Value {
    let with = |sid: String| {
        json!({"Version": "2012-10-17", "Statement": {
            "Sid": sid, "Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "*",
        }})
    };
    let rest = length - with(String::new()).to_string().len();
    with("x".repeat(rest))
}

#[tokio::test]
async fn full_of_denies_that_are_needed_it_says_so_and_makes_room_when_it_can() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut first = account.grant(1, "read-only", 900);
    account.credentials(&connector, &mut first).await;
    connector.revoke(&first, &account).await.unwrap();
    // Room for the first deny, and not for one more.
    account.put_inline("ceiling", "rights", &filler(9_950)).await;

    let mut second = account.grant(2, "read-only", 7_200);
    let ana = account.person(&connector, &mut second).await;
    let error = connector.revoke(&second, &account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.chain().contains("deny space is full"), "{}", error.chain());
    assert_eq!(ana.get("reports/a.csv").await, Answer::Done);

    account.advance(900 + 610).await;
    connector.revoke(&second, &account).await.unwrap();
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());
}
