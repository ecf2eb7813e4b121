//! What outlived a revoke in systems of this kind, and must not here.

use sqlx::Executor as _;

use crate::support::*;

#[tokio::test]
async fn a_session_under_set_role_and_an_open_cursor() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("full").await;
    let mut second = person.log_in().await.unwrap();
    set_role(&mut ana, &format!("ebbgate_full_{}", shop.database)).await;
    run(&mut ana, "INSERT INTO orders (item) VALUES ('x')").await;
    run(
        &mut second,
        "BEGIN; DECLARE all_of_it CURSOR FOR SELECT * FROM orders; FETCH 1 FROM all_of_it",
    )
    .await;
    let finding = shop.revoke(&grant).await;
    assert_eq!(finding.sessions_ended, 2);
    assert!(attempt(&mut ana, "INSERT INTO orders (item) VALUES ('y')").await.is_err());
    assert!(attempt(&mut second, "FETCH 1 FROM all_of_it").await.is_err());
}

/// A role may change its own password: whoever leaves that transaction open has locked the row that
/// a revoke must change.
#[tokio::test]
async fn a_transaction_that_holds_the_role() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("select").await;
    run(&mut ana, "BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine'").await;
    assert_eq!(shop.revoke(&grant).await.sessions_ended, 1);
    assert!(attempt(&mut ana, "COMMIT").await.is_err());
    assert!(!role_exists(&person.user).await);
}

/// A client stays between log-in and session, where no list shows it, as a privilege role.
#[tokio::test]
async fn a_log_in_that_dawdles() {
    let shop = Shop::open().await;
    let grant = shop.grant("full");
    shop.provision(&grant).await;
    let ana = shop.register(&grant).await;
    // Somebody else dawdles as well: that is none of our business.
    let ben = shop.grant("select");
    shop.provision(&ben).await;
    let ben = shop.register(&ben).await;
    let role = format!("ebbgate_full_{}", shop.database);
    let from_16 = is_at_least(16).await;
    let dawdle = move |person: Person, seconds: &'static str, role: Option<String>| {
        tokio::spawn(async move {
            let role = role.unwrap_or_else(|| "none".to_owned());
            person.log_in_with(&[("role", &role), ("post_auth_delay", seconds)]).await
        })
    };
    let role = Some(role).filter(|_| !from_16);
    let ana = dawdle(ana, "60", role);
    let ben = dawdle(ben, "3", None);
    until(&format!(
        "SELECT count(*) = 2 FROM pg_locks l JOIN pg_database d ON d.oid = l.objid
         WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND d.datname = '{}'
           AND NOT EXISTS (SELECT FROM pg_stat_activity a
                           WHERE a.pid = l.pid AND a.usesysid IS NOT NULL)",
        shop.database
    ))
    .await;
    shop.revoke(&grant).await;
    // The server may have told the client that it is in before it ended the process.
    if let Ok(mut session) = ana.await.unwrap() {
        assert!(attempt(&mut session, "SELECT 1").await.is_err());
    }
    let mut ben = ben.await.unwrap().unwrap();
    assert_eq!(value::<String>(&mut ben, "SELECT item FROM orders").await, "tea");
}

/// A client that says nothing after it connected holds nobody up.
#[tokio::test]
async fn a_client_that_never_logs_in_is_not_waited_for() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("select").await;
    let mut silent = tokio::net::TcpStream::connect(("127.0.0.1", server().port())).await.unwrap();
    let parameters = format!("user\0{}\0database\0{}\0\0", person.user, shop.database);
    let mut startup = u32::try_from(parameters.len() + 8).unwrap().to_be_bytes().to_vec();
    startup.extend([0, 3, 0, 0]);
    startup.extend(parameters.as_bytes());
    silent.write_all(&startup).await.unwrap();
    // The server asks for the password.
    assert_eq!(silent.read_u8().await.unwrap(), b'R');
    assert_eq!(shop.revoke(&grant).await.sessions_ended, 1);
}

#[tokio::test]
async fn prepared_transactions() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("full").await;
    let prepare = |name: &str| {
        format!("BEGIN; INSERT INTO orders (item) VALUES ('x'); PREPARE TRANSACTION '{name}'")
    };
    let own = format!("it's {}", shop.database);
    run(&mut ana, &prepare(&own.replace('\'', "''"))).await;
    // Under SET ROLE it belongs to the privilege role.
    set_role(&mut ana, &format!("ebbgate_full_{}", shop.database)).await;
    run(&mut ana, &prepare(&format!("role {}", shop.database))).await;
    // The owner's is none of our business.
    let mut app = shop.as_owner().await;
    let owners = format!("app {}", shop.database);
    run(&mut app, &prepare(&owners)).await;
    let finding = shop.revoke(&grant).await;
    assert!(finding.summary.contains("2 prepared transactions rolled back"), "{}", finding.summary);
    assert!(!role_exists(&person.user).await);
    let left = format!(
        "SELECT string_agg(gid, ',') FROM pg_prepared_xacts WHERE database = '{}'",
        shop.database
    );
    assert_eq!(value::<String>(&mut app, &left).await, owners);
    run(&mut app, &format!("COMMIT PREPARED '{owners}'")).await;
}

#[tokio::test]
async fn owned_objects_default_privileges_and_rights_in_two_databases() {
    let shop = Shop::open().await;
    let other = Shop::open().await;
    let (grant, person, mut ana) = shop.session("full").await;
    let role = &person.user;
    for place in [&shop, &other] {
        let mut admin = place.as_superuser().await;
        run(&mut admin, &format!("GRANT CREATE ON SCHEMA public TO {role}")).await;
        run(&mut admin, &format!("CREATE POLICY mine ON orders TO {role}, {}", place.owner)).await;
    }
    run(
        &mut ana,
        "CREATE TABLE notes (id serial, text text); CREATE TYPE mood AS ENUM ('fine');
         SELECT lo_create(0);
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    )
    .await;
    let elsewhere = Person { database: other.database.clone(), ..person.clone() };
    let mut elsewhere = elsewhere.log_in().await.unwrap();
    run(&mut elsewhere, "CREATE VIEW everything AS SELECT 1 AS n").await;
    let finding = shop.revoke(&grant).await;
    assert!(!role_exists(role).await);
    assert_eq!(finding.sessions_ended, 2);
    for place in [&shop, &other] {
        assert!(finding.summary.contains(&place.database), "{}", finding.summary);
        let mut admin = place.as_superuser().await;
        let owner = "SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class
                     WHERE relname IN ('notes', 'notes_id_seq', 'everything')";
        assert_eq!(value::<String>(&mut admin, owner).await, "ebbgate_graveyard");
        let policy = "SELECT polroles::regrole[]::text FROM pg_policy WHERE polname = 'mine'";
        assert_eq!(value::<String>(&mut admin, policy).await, format!("{{{}}}", place.owner));
    }
}

#[tokio::test]
async fn a_function_that_runs_as_its_owner_gains_nobody_anything() {
    let shop = Shop::open().await;
    let (grant, person, mut ana) = shop.session("full").await;
    let mut admin = shop.as_superuser().await;
    run(&mut admin, &format!("GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE standing_{} LOGIN PASSWORD 'standing'", shop.owner)).await;
    let peek = |name: &str| {
        format!(
            "CREATE FUNCTION {name}() RETURNS text LANGUAGE sql SECURITY DEFINER
             AS 'SELECT item FROM public.orders LIMIT 1'"
        )
    };
    run(&mut ana, &peek("peek")).await;
    // The same under SET ROLE: it belongs to the privilege role.
    set_role(&mut ana, &format!("ebbgate_full_{}", shop.database)).await;
    run(&mut ana, &peek("peek_more")).await;
    let standing =
        server().psql_url(&shop.database, &format!("standing_{}", shop.owner), "standing");
    let mut standing = connect(&standing).await.unwrap();
    assert_eq!(value::<String>(&mut standing, "SELECT peek()").await, "tea");
    shop.revoke(&grant).await;
    assert!(!role_exists(&person.user).await);
    for call in ["SELECT peek()", "SELECT peek_more()"] {
        assert_eq!(code(attempt(&mut standing, call).await), "42501", "{call}");
    }
    let powers = "SELECT rolsuper OR rolcanlogin OR rolcreaterole FROM pg_roles WHERE rolname = 'ebbgate_graveyard'";
    assert!(!value::<bool>(&mut admin, powers).await);
}

#[tokio::test]
async fn somebody_to_whom_the_role_was_given() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("full").await;
    let mut admin = shop.as_superuser().await;
    let friend = format!("friend_{}", shop.owner);
    run(
        &mut admin,
        &format!("CREATE ROLE {friend} LOGIN PASSWORD 'friend' IN ROLE {}", person.user),
    )
    .await;
    let url = server().psql_url(&shop.database, &friend, "friend");
    let mut before = connect(&url).await.unwrap();
    if !set_role(&mut before, &format!("ebbgate_full_{}", shop.database)).await {
        run(&mut before, &format!("SET ROLE {}", person.user)).await;
    }
    let finding = shop.revoke(&grant).await;
    assert!(before.execute("INSERT INTO orders (item) VALUES ('y')").await.is_err());
    assert!(finding.summary.contains(&friend), "{}", finding.summary);
    // The friend's own account stays, without the rights.
    let mut after = connect(&url).await.unwrap();
    assert_eq!(code(attempt(&mut after, "SELECT * FROM orders").await), "42501");
}
