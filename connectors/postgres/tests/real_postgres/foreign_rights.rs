//! Rights that somebody else gave a grant's role. Each binds the role to an object, and not all of them
//! can be taken back by the connector.

use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_domain::order::GrantSpec;

use crate::{less_rights::modest_shop, support::*};

#[tokio::test]
async fn what_somebody_passed_on_is_taken_back_in_their_name() {
    let shop = Shop::open().await;
    let mut admin = shop.as_superuser().await;
    let (grant, person, _ana) = shop.session("select").await;
    let ben = format!("ben_{}", shop.owner);
    let user = &person.user;
    run(
        &mut admin,
        &format!(
            "CREATE ROLE {ben};
             GRANT SELECT ON orders TO {ben} WITH GRANT OPTION;
             GRANT UPDATE (item) ON orders TO {ben} WITH GRANT OPTION;
             GRANT USAGE ON SEQUENCE orders_id_seq TO {ben} WITH GRANT OPTION;
             GRANT USAGE ON SCHEMA public TO {ben} WITH GRANT OPTION;
             GRANT CREATE ON DATABASE {database} TO {ben} WITH GRANT OPTION;
             CREATE FUNCTION \"peek at\"(text, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
             GRANT EXECUTE ON FUNCTION \"peek at\" TO {ben} WITH GRANT OPTION;
             SET ROLE {ben};
             GRANT SELECT, UPDATE (item) ON orders TO {user} WITH GRANT OPTION;
             GRANT USAGE ON SEQUENCE orders_id_seq TO {user};
             GRANT USAGE ON SCHEMA public TO {user};
             GRANT CREATE ON DATABASE {database} TO {user};
             GRANT EXECUTE ON FUNCTION \"peek at\" TO {user}",
            database = shop.database,
        ),
    )
    .await;
    shop.revoke(&grant).await;
    assert!(!role_exists(user).await);
    // Nobody else lost anything.
    let kept = format!("SELECT has_table_privilege('{ben}', 'orders', 'SELECT WITH GRANT OPTION')");
    assert!(value::<bool>(&mut admin, &kept).await);
}

/// Why a teardown can't be finished; nobody can log in by its role all the same.
async fn bound(shop: &Shop, grant: &GrantSpec, person: &Person) -> (ErrorKind, String) {
    let error = shop.connector.revoke(grant, &WallClock).await.unwrap_err();
    person.log_in().await.unwrap_err();
    let mut admin = shop.as_superuser().await;
    let user = &person.user;
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'");
    assert_eq!(value::<i64>(&mut admin, &sessions).await, 0);
    assert!(role_exists_in(&mut admin, user).await);
    (error.kind(), error.chain())
}

/// The part of an error that an operator copies into `psql`.
fn cure<'a>(error: &'a str, begin: &str) -> &'a str {
    &error[error.find(begin).unwrap_or_else(|| panic!("{error}"))..]
}

#[tokio::test]
async fn what_a_superuser_granted_is_named_with_the_cure() {
    let server = server_of_ones_own().await;
    let shop = modest_shop(server, "modest").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT pg_signal_backend, {} TO modest", shop.owner)).await;
    let (grant, person, mut ana) = shop.session("full").await;
    run(
        &mut admin,
        &format!(
            "CREATE SCHEMA hidden; CREATE TABLE hidden.secrets (n int);
             GRANT SELECT ON hidden.secrets TO {}",
            person.user
        ),
    )
    .await;
    let (kind, error) = bound(&shop, &grant, &person).await;
    assert_eq!(kind, ErrorKind::StillPresent, "{error}");
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    let place = format!("as a superuser, in database {}, about a right on table", shop.database);
    assert!(error.contains(&place) && error.contains("which postgres granted"), "{error}");
    run(&mut admin, cure(&error, "SET ROLE \"postgres\"; REVOKE SELECT ON TABLE hidden.secrets"))
        .await;
    shop.revoke(&grant).await;
    assert!(!role_exists_in(&mut admin, &person.user).await);
}

#[tokio::test]
async fn before_15_a_right_on_public_is_the_superusers() {
    if is_at_least(15).await {
        // There it is the database's owner's.
        return;
    }
    let shop = modest_shop(server_of_ones_own().await, "modest").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT pg_signal_backend, {} TO modest", shop.owner)).await;
    let lacks = shop.connector.check().await.unwrap();
    assert!(lacks.iter().any(|lack| lack.what.contains("can't be taken back")), "{lacks:?}");
    let (grant, person, mut ana) = shop.session("full").await;
    run(&mut admin, &format!("GRANT CREATE ON SCHEMA public TO {}", person.user)).await;
    run(&mut ana, "CREATE TABLE notes (n int)").await;
    let (kind, error) = bound(&shop, &grant, &person).await;
    assert_eq!(kind, ErrorKind::StillPresent, "{error}");
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    // What was made is handed over, whatever else can't be done.
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'notes'";
    assert_eq!(value::<String>(&mut admin, owner).await, "ebbgate_graveyard");
    run(&mut admin, cure(&error, "SET ROLE \"postgres\"; REVOKE CREATE ON SCHEMA public FROM"))
        .await;
    shop.revoke(&grant).await;
    assert!(!role_exists_in(&mut admin, &person.user).await);
}

/// A function's new owner must be allowed to create in its schema, which only that schema's owner
/// can see to.
#[tokio::test]
async fn what_was_made_in_a_superusers_schema_waits_for_an_operator() {
    let shop = modest_shop(server_of_ones_own().await, "modest").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT pg_signal_backend, {} TO modest", shop.owner)).await;
    let (grant, person, mut ana) = shop.session("full").await;
    let user = &person.user;
    run(
        &mut admin,
        &format!("CREATE SCHEMA hidden; GRANT USAGE, CREATE ON SCHEMA hidden TO {user}"),
    )
    .await;
    run(&mut ana, "CREATE FUNCTION hidden.peek() RETURNS int LANGUAGE sql AS 'SELECT 1'").await;
    let (kind, error) = bound(&shop, &grant, &person).await;
    assert_eq!(kind, ErrorKind::Refused, "{error}");
    assert!(error.contains("ALTER SCHEMA hidden OWNER TO <a role that"), "{error}");
    run(&mut admin, &format!("ALTER SCHEMA hidden OWNER TO {}", shop.owner)).await;
    shop.revoke(&grant).await;
    assert!(!role_exists_in(&mut admin, user).await);
    let owner = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'peek'";
    assert_eq!(value::<String>(&mut admin, owner).await, "ebbgate_graveyard");
}

#[tokio::test]
async fn a_superusers_schema_is_not_asked_for_by_membership() {
    let shop = modest_shop(server_of_ones_own().await, "modest").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT {} TO modest; CREATE SCHEMA hidden", shop.owner)).await;
    let refusal = shop.refusal(&shop.grant("select")).await;
    assert!(refusal.contains("ALTER SCHEMA \"hidden\" OWNER TO <a role"), "{refusal}");
    assert!(!refusal.contains("GRANT \"postgres\""), "{refusal}");
    run(&mut admin, &format!("ALTER SCHEMA hidden OWNER TO {}", shop.owner)).await;
    shop.provision(&shop.grant("select")).await;
}
