//! What a grant's credentials can do, how long, and in whose name.

use std::{future::Future, ops::RangeInclusive};

use ebbgate_connector_api::{Clock as _, Connector as _, Credential, CredentialWish, ErrorKind};
use ebbgate_domain::Timestamp;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::{
    person::{Answer, Person},
    support::{Account, CONNECTOR, OTHER_ROLE},
};

#[tokio::test]
async fn the_broker_has_what_it_needs() {
    let account = Account::start().await;
    assert_eq!(account.connector().check().await.unwrap(), []);
    let lacks =
        account.connector_with(|s| s.assume_role = Some(CONNECTOR.parse().unwrap())).check().await;
    assert_eq!(lacks.unwrap(), []);
}

#[tokio::test]
async fn provisioning_touches_nothing() {
    let account = Account::start().await;
    let grant = account.grant(1, "read-only", 1_800);
    account.connector().provision(&grant, grant.deadline).await.unwrap();
    let mut nonsense = grant;
    nonsense.native = "reports*".to_owned();
    let error = account.connector().provision(&nonsense, nonsense.deadline).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(account.calls("AssumeRole").await.is_empty());
}

#[tokio::test]
async fn reading_opens_one_bucket_for_reading_and_nothing_else() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    assert_eq!(ana.list("reports").await, Answer::Done);
    assert_eq!(ana.get("reports/a.csv").await, Answer::Done);
    for refused in [
        ana.put("reports/a.csv", "3").await,
        ana.delete("reports/a.csv").await,
        ana.list("payroll").await,
        ana.get("payroll/a.csv").await,
        ana.list_buckets().await,
        ana.assume(OTHER_ROLE).await,
        ana.delete_deny("ebbgate-deny-x").await,
    ] {
        assert_eq!(refused, Answer::denied());
    }
}

#[tokio::test]
async fn writing_opens_one_bucket_for_writing_too() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-write", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    for done in [
        ana.list("reports").await,
        ana.put("reports/b.csv", "3").await,
        ana.get("reports/b.csv").await,
        ana.delete("reports/b.csv").await,
    ] {
        assert_eq!(done, Answer::Done);
    }
    assert_eq!(ana.put("payroll/a.csv", "3").await, Answer::denied());
    assert_eq!(ana.delete("reports").await, Answer::denied());
}

#[tokio::test]
async fn the_ceiling_bounds_what_a_grant_can_give() {
    let account = Account::start().await;
    account.replace_rights(&["s3:ListBucket"]).await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-write", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    assert_eq!(ana.list("reports").await, Answer::Done);
    assert_eq!(ana.put("reports/b.csv", "3").await, Answer::denied());
}

/// The other role trusts this very session, which an allow that is merely missing would not stop.
#[tokio::test]
async fn a_session_goes_on_to_no_other_role() {
    let account = Account::start().await;
    let connector = account.connector();
    assert_eq!(account.root().assume(OTHER_ROLE).await, Answer::Done);
    let mut grant = account.grant(1, "read-write", 1_800);
    let ana = account.person(&connector, &mut grant).await;
    let trust_ana = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:sts::123456789012:assumed-role/ceiling/{}", grant.grant)},
        "Action": ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
    }});
    let update = account.iam.update_assume_role_policy().role_name("elsewhere");
    update.policy_document(trust_ana.to_string()).send().await.unwrap();
    assert_eq!(ana.assume(OTHER_ROLE).await, Answer::denied());
}

#[tokio::test]
async fn each_call_bears_the_grant_and_its_person() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 1_800);
    // What the session may do hangs on its tags here, so that they must have arrived.
    let denies: Vec<Value> = [
        ("grant", grant.grant.to_string()),
        ("flow", "data-reports".to_owned()),
        ("ticket", "OPS-7_ urgent".to_owned()),
    ]
    .into_iter()
    .map(|(tag, value)| {
        let other = json!({format!("aws:PrincipalTag/ebbgate:{tag}"): value});
        json!({"Effect": "Deny", "Action": "s3:*", "Resource": "*",
            "Condition": {"StringNotEquals": other}})
    })
    .collect();
    let tagged = json!({"Version": "2012-10-17", "Statement": denies});
    account.put_inline("ceiling", "tagged", &tagged).await;
    let ana = account.person(&connector, &mut grant).await;
    assert_eq!(ana.get("reports/a.csv").await, Answer::Done);

    let calls = account.calls("GetObject").await;
    let call = calls.last().unwrap();
    assert_eq!(call["session_name"], grant.grant.to_string());
    assert_eq!(call["source_identity"], "ana@example.com");
    assert_eq!(call["outcome"], "allowed");

    let mut others = account.grant(2, "read-only", 1_800);
    let bo = account.person(&connector, &mut others).await;
    assert_eq!(bo.get("reports/a.csv").await, Answer::denied());
}

/// The moments between which a session of so many seconds ends, when it is made by `make`. STS cuts
/// fractions of a second off.
async fn made_between<T>(
    account: &Account,
    seconds: i64,
    make: impl Future<Output = T>,
) -> (T, RangeInclusive<Timestamp>) {
    let first = account.now() + SignedDuration::from_secs(seconds - 1);
    let made = make.await;
    (made, first..=account.now() + SignedDuration::from_secs(seconds))
}

#[tokio::test]
async fn credentials_of_a_short_grant_end_with_it_although_sts_lets_them_live() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 300);
    let make = account.credentials(&connector, &mut grant);
    let (issued, ends) = made_between(&account, 900, make).await;
    assert_eq!(issued.expires_at, grant.deadline);
    assert!(ends.contains(&issued.sts_expires_at), "{issued:?} {ends:?}");
}

#[tokio::test]
async fn credentials_of_a_long_grant_live_as_long() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(2, "read-only", 8 * 3_600);
    let issued = account.credentials(&connector, &mut grant).await;
    let second = SignedDuration::from_secs(1);
    assert!(issued.expires_at > grant.deadline - second, "{issued:?}");
    assert!(issued.expires_at <= grant.deadline, "{issued:?}");
}

/// A broker that is an assumed role itself gets one hour at most, and AWS refuses more.
#[tokio::test]
async fn a_broker_with_a_role_of_its_own_asks_for_an_hour_at_most() {
    let account = Account::start().await;
    let connector = account.connector_with(|s| s.assume_role = Some(CONNECTOR.parse().unwrap()));
    let mut grant = account.grant(1, "read-only", 8 * 3_600);
    let make = account.credentials(&connector, &mut grant);
    let (issued, ends) = made_between(&account, 3_600, make).await;
    assert!(ends.contains(&issued.expires_at), "{issued:?} {ends:?}");
    assert_eq!(connector.credential_lifetime_seconds(&grant, account.now()), Some(3_600));

    let ana = Person::new(&account.endpoint, &issued);
    connector.revoke(&grant, &account).await.unwrap();
    assert_eq!(ana.get("reports/a.csv").await, Answer::denied());
}

#[tokio::test]
async fn the_roles_own_maximum_is_kept_even_when_it_is_lowered() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 8 * 3_600);
    account.credentials(&connector, &mut grant).await;
    account.delete_ceiling().await;
    account.make_ceiling(7_200).await;

    let now = account.now();
    let refused = connector.credential(&grant, CredentialWish::Issue, now).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.chain().contains("MaxSessionDuration"), "{}", refused.chain());
    let make = account.credentials(&connector, &mut grant);
    let (issued, ends) = made_between(&account, 7_200, make).await;
    assert!(ends.contains(&issued.expires_at), "{issued:?} {ends:?}");
}

/// A deny is cleared away by what is on record, so nothing may outlive it.
#[tokio::test]
async fn credentials_never_outlive_what_is_on_record() {
    let account = Account::start().await;
    let connector = account.connector();
    let mut grant = account.grant(1, "read-only", 8 * 3_600);
    grant.credentials_until = Some(account.now() + SignedDuration::from_secs(1_200));
    let make = connector.credential(&grant, CredentialWish::Issue, account.now());
    let (issued, ends) = made_between(&account, 1_200, make).await;
    let Credential::Aws(issued) = issued.unwrap() else { panic!("a log-in on AWS") };
    assert!(ends.contains(&issued.sts_expires_at), "{issued:?} {ends:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_told_without_asking_aws() {
    let account = Account::start().await;
    let connector = account.connector();
    let grant = account.grant(1, "read-only", 60);
    let late = grant.deadline;
    let error = connector.credential(&grant, CredentialWish::Issue, late).await.unwrap_err();
    assert!(error.chain().ends_with("the grant has ended"), "{}", error.chain());
    assert!(account.calls("AssumeRole").await.is_empty());
    assert!(connector.marked().await.unwrap().is_empty());
}

#[tokio::test]
async fn no_secret_is_shown() {
    let account = Account::start().await;
    let mut grant = account.grant(1, "read-only", 60);
    let issued = account.credentials(&account.connector(), &mut grant).await;
    let shown = format!("{issued:?}");
    assert!(!shown.contains(issued.secret_access_key.expose_secret()));
    assert!(!shown.contains(issued.session_token.expose_secret()));
}
