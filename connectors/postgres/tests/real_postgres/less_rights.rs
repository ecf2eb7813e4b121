//! A connector that is no superuser: CREATEROLE, pg_signal_backend, and the tables' owner's rights.

use ebbgate_connector_api::{Connector as _, CredentialWish, ErrorKind};
use ebbgate_connector_postgres::{PostgresConnector, PostgresSettings};
use ebbgate_domain::verifier::Verifier;
use ebbgate_testkit_postgres::PrivateServer;
use futures_util::future::join_all;

use crate::support::*;

/// A shop whose connector has CREATEROLE and nothing else. On PostgreSQL 16 and later the setting
/// is what `check` asks for.
pub(crate) async fn modest_shop(server: &'static PrivateServer, connector: &'static str) -> Shop {
    let mut admin = superuser_on(server, "postgres").await;
    run(&mut admin, &format!("CREATE ROLE {connector} LOGIN CREATEROLE PASSWORD 'modest'")).await;
    if is_at_least(16).await {
        let grants = format!("ALTER ROLE {connector} SET createrole_self_grant = 'set, inherit'");
        run(&mut admin, &grants).await;
    }
    Shop::open_on(server, |settings| be(settings, connector)).await
}

fn be(settings: &mut PostgresSettings, connector: &str) {
    settings.url = settings.url.replace("postgres@", &format!("{connector}@"));
    settings.password = Some("modest".to_owned().into());
}

#[tokio::test]
async fn a_superuser_needs_nothing_more() {
    assert_eq!(Shop::open().await.connector.check().await.unwrap(), []);
}

#[tokio::test]
async fn check_tells_what_is_missing_and_the_sql_that_cures_it() {
    let server = server_of_ones_own().await;
    let shop = modest_shop(server, "checker").await;
    let mut admin = superuser_on(server, "postgres").await;
    let mut lacks = shop.connector.check().await.unwrap();
    if !is_at_least(15).await {
        let public = lacks.pop().unwrap();
        let what = format!("schema public of database {} belongs to a superuser", shop.database);
        assert!(public.what.starts_with(&what), "{}", public.what);
        run(&mut shop.as_superuser().await, &public.cure).await;
    }
    let cures: Vec<_> = lacks.iter().map(|lack| lack.cure.as_str()).collect();
    assert_eq!(
        cures,
        ["GRANT pg_signal_backend TO \"checker\"", "GRANT pg_read_all_stats TO \"checker\""]
    );
    for cure in cures {
        run(&mut admin, cure).await;
    }
    assert_eq!(shop.connector.check().await.unwrap(), []);
    run(&mut admin, "ALTER ROLE checker NOCREATEROLE").await;
    let lacks = shop.connector.check().await.unwrap();
    assert_eq!(lacks[0].what, "it may not create roles");
    run(&mut admin, &lacks[0].cure).await;
    assert_eq!(shop.connector.check().await.unwrap(), []);
    if is_at_least(16).await {
        run(&mut admin, "ALTER ROLE checker SET createrole_self_grant = 'inherit'").await;
        run(&mut admin, "CREATE ROLE ebbgate_graveyard; CREATE ROLE ebbgate_select_x").await;
        let lacks = shop.connector.check().await.unwrap();
        let what: Vec<_> = lacks.iter().map(|lack| lack.what.as_str()).collect();
        let wanted = [
            "it does not act for the roles that it makes",
            "it does not administer roles that another account made",
        ];
        assert_eq!(what, wanted);
        for lack in lacks {
            run(&mut admin, &lack.cure).await;
        }
        assert_eq!(shop.connector.check().await.unwrap(), []);
    }
}

#[tokio::test]
async fn tables_of_a_role_it_may_not_act_for_are_told_with_the_cure() {
    let shop = modest_shop(server(), "stranger").await;
    let error = shop.connector.provision(&shop.grant("select"), now()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let cure = format!("GRANT \"{}\" TO", shop.owner);
    assert!(error.chain().contains(&cure), "{}", error.chain());
}

#[tokio::test]
async fn with_those_rights_a_grant_lives_and_ends() {
    let shop = modest_shop(server_of_ones_own().await, "modest").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT pg_signal_backend, {} TO modest", shop.owner)).await;
    if !is_at_least(15).await {
        // Of the schema `public`: what `check` asks an operator for.
        let cure = shop.connector.check().await.unwrap().pop().unwrap().cure;
        let wanted = format!("ALTER SCHEMA public OWNER TO \"{}\"", shop.owner);
        assert!(cure.starts_with(&wanted), "{cure}");
        run(&mut admin, &cure).await;
    }
    let (grant, person, mut ana) = shop.session("full").await;
    run(&mut ana, "INSERT INTO orders (item) VALUES ('coffee')").await;
    // Whatever a person may make where somebody lets them.
    run(&mut admin, &format!("GRANT CREATE ON SCHEMA public TO {}", person.user)).await;
    run(
        &mut ana,
        "SELECT lo_create(0); CREATE TABLE notes (id serial, n int); CREATE VIEW seen AS SELECT 1 AS n;
         CREATE FUNCTION peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$SELECT 'x'$$;
         CREATE TYPE mood AS ENUM ('fine'); CREATE STATISTICS s ON id, n FROM notes;
         CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int);
         CREATE COLLATION plain FROM \"C\"",
    )
    .await;
    let prepared = format!("modest {}", shop.database);
    run(&mut ana, &format!("BEGIN; DELETE FROM orders; PREPARE TRANSACTION '{prepared}'")).await;
    let finding = shop.revoke(&grant).await;
    assert_eq!(finding.sessions_ended, 1);
    assert!(finding.summary.contains("1 prepared"), "{}", finding.summary);
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert!(!role_exists_in(&mut admin, &person.user).await);
    assert_eq!(value::<i64>(&mut admin, "SELECT count(*) FROM orders").await, 2);
    for owner in [
        "lomowner::regrole::text FROM pg_largeobject_metadata",
        "relowner::regrole::text FROM pg_class WHERE relname = 'seen'",
        "proowner::regrole::text FROM pg_proc WHERE proname = 'peek'",
        "oprowner::regrole::text FROM pg_operator WHERE oprname = '==='",
        "collowner::regrole::text FROM pg_collation WHERE collname = 'plain'",
        "stxowner::regrole::text FROM pg_statistic_ext WHERE stxname = 's'",
    ] {
        let owner: String = value(&mut admin, &format!("SELECT {owner}")).await;
        assert_eq!(owner, "ebbgate_graveyard");
    }
    // The graveyard needed a right for that, and has lost it again.
    let rights = "SELECT coalesce(array_to_string(nspacl, ','), '') FROM pg_namespace
                  WHERE nspname = 'public'";
    assert!(!value::<String>(&mut admin, rights).await.contains("graveyard"));
}

#[tokio::test]
async fn with_those_rights_many_end_together() {
    let shop = modest_shop(server_of_ones_own().await, "modest").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT pg_signal_backend, {} TO modest", shop.owner)).await;
    let grants: Vec<_> = (0..60).map(|_| shop.grant("select")).collect();
    for grant in &grants {
        shop.provision(grant).await;
    }
    let mut ana = shop.register(&grants[30]).await.log_in().await.unwrap();
    let findings = join_all(grants.iter().map(|grant| shop.revoke(grant))).await;
    for (number, finding) in findings.iter().enumerate() {
        assert_eq!(finding.sessions_ended, u32::from(number == 30));
        assert!(finding.summary.contains("is gone, no session"), "{}", finding.summary);
    }
    assert!(attempt(&mut ana, "SELECT 1").await.is_err());
    assert_eq!(shop.connector.marked().await.unwrap(), []);
}

/// A new owner of some things needs rights that the graveyard has not.
#[tokio::test]
async fn what_an_admin_makes_is_cleared_away_with_those_rights() {
    let shop = modest_shop(server_of_ones_own().await, "modest").await;
    let owner = shop.give_to_plain_owner().await;
    let mut admin = shop.as_superuser().await;
    let option = if is_at_least(16).await { "" } else { " WITH ADMIN OPTION" };
    let grants = format!("GRANT pg_signal_backend TO modest; GRANT {owner} TO modest{option}");
    run(&mut admin, &grants).await;
    if is_at_least(16).await {
        let join = format!("GRANT {owner} TO modest WITH ADMIN TRUE, INHERIT TRUE, SET TRUE");
        run(&mut admin, &join).await;
    }
    let (grant, person, mut ana) = shop.session("admin").await;
    run(
        &mut ana,
        "CREATE SCHEMA mine; CREATE TABLE mine.notes (n int); CREATE PUBLICATION all_of_it;
         CREATE FUNCTION mine.peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$SELECT 'x'$$;
         CREATE VIEW mine.seen AS SELECT 1 AS n",
    )
    .await;
    shop.revoke(&grant).await;
    assert!(!role_exists_in(&mut admin, &person.user).await);
    for owner in [
        "nspowner::regrole::text FROM pg_namespace WHERE nspname = 'mine'",
        "pubowner::regrole::text FROM pg_publication",
    ] {
        let owner: String = value(&mut admin, &format!("SELECT {owner}")).await;
        assert_eq!(owner, "ebbgate_graveyard");
    }
    let rights = "SELECT coalesce(array_to_string(datacl, ','), '') FROM pg_database
                  WHERE datname = current_database()";
    assert!(!value::<String>(&mut admin, rights).await.contains("graveyard"));
}

/// Amazon RDS gives nobody a superuser, but a master user like this one.
#[tokio::test]
async fn as_the_master_user_of_rds() {
    let server = server_of_ones_own().await;
    let mut superuser = superuser_on(server, "postgres").await;
    run(
        &mut superuser,
        "CREATE ROLE rds_superuser NOLOGIN; CREATE ROLE rds_password NOLOGIN;
         GRANT pg_monitor, pg_signal_backend, rds_password TO rds_superuser WITH ADMIN OPTION;
         CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD 'modest' IN ROLE rds_superuser;
         ALTER ROLE master SET rds.restrict_password_commands = 'on'",
    )
    .await;
    let mut settings = settings_for(server);
    be(&mut settings, "master");
    let connector = PostgresConnector::new(settings).unwrap();
    let url = |database: &str| server.psql_url(database, "master", "modest");
    // What the master user does on its own server.
    let mut master = connect(&url("postgres")).await.unwrap();
    for lack in connector.check().await.unwrap() {
        run(&mut master, &lack.cure).await;
    }
    assert_eq!(connector.check().await.unwrap(), []);
    let mut master = connect(&url("postgres")).await.unwrap();
    run(&mut master, "CREATE ROLE shop NOLOGIN; CREATE ROLE app LOGIN PASSWORD 'app' IN ROLE shop")
        .await;
    run(&mut master, "GRANT shop TO master").await;
    run(&mut master, "CREATE DATABASE shop OWNER shop").await;
    let mut master = connect(&url("shop")).await.unwrap();
    run(&mut master, "CREATE TABLE orders (item text); ALTER TABLE orders OWNER TO shop").await;

    for permission in ["select", "full", "ddl", "admin"] {
        let grant = grant_on("shop", permission);
        connector.provision(&grant, now()).await.unwrap();
        let wish = CredentialWish::Verifier(Verifier::Scram(verifier().parse().unwrap()));
        connector.credential(&grant, wish, now()).await.unwrap();
        let role = format!("ebb_{}", grant.grant);
        let mut ana = connect(&server.psql_url("shop", &role, PASSWORD)).await.unwrap();
        run(&mut ana, "SELECT * FROM orders").await;
        let write = attempt(&mut ana, "INSERT INTO orders VALUES ('x')").await;
        assert_eq!(write.is_ok(), permission != "select", "{permission}: {write:?}");
        if matches!(permission, "ddl" | "admin") {
            run(
                &mut ana,
                &format!(
                    "ALTER TABLE orders ADD COLUMN {permission} int;
                     CREATE TABLE {permission}_notes (n int);
                     CREATE FUNCTION {permission}_peek() RETURNS int LANGUAGE sql AS 'SELECT 1'"
                ),
            )
            .await;
        }
        let finding = connector.revoke(&grant, &WallClock).await.unwrap();
        assert_eq!(finding.sessions_ended, 1);
        assert!(!role_exists_in(&mut superuser, &role).await);
    }
    let mut superuser = superuser_on(server, "shop").await;
    let owners = "SELECT string_agg(DISTINCT proowner::regrole::text, ',') FROM pg_proc
                  WHERE proname LIKE '%_peek'";
    assert_eq!(value::<String>(&mut superuser, owners).await, "ebbgate_graveyard");
}

#[tokio::test]
async fn sessions_it_may_not_end_are_refused_loudly() {
    if is_at_least(16).await {
        // There its membership in the grants' roles is enough.
        return;
    }
    let shop = modest_shop(server(), "powerless").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT {} TO powerless", shop.owner)).await;
    let (grant, _, mut ana) = shop.session("select").await;
    let error = shop.connector.revoke(&grant, &WallClock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{}", error.chain());
    // Nothing is claimed that isn't so: the session is there, and the role, which admits nobody.
    assert_eq!(value::<i32>(&mut ana, "SELECT 1").await, 1);
    run(&mut admin, "GRANT pg_signal_backend TO powerless").await;
    assert_eq!(shop.revoke(&grant).await.sessions_ended, 1);
}
