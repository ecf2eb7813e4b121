//! Many at once: clients of one role, grants of one server, grants that are due together.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{digest, hmac, pbkdf2};
use ebbgate_connector_api::{Connector as _, ErrorKind};
use ebbgate_connector_postgres::{Limits, PostgresConnector, PostgresSettings};
use ebbgate_domain::order::GrantSpec;
use ebbgate_testkit_postgres::PrivateServer;
use futures_util::future::join_all;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::Semaphore;

use crate::support::*;

/// How many clients of one role there are.
const CLIENTS: u32 = 500;

/// How many of them may be logging in at the same time: proving a password takes long in an
/// unoptimised build, and with hundreds at it at once nobody ends soon.
const AT_THE_DOOR: usize = 50;

/// Counts who came in and who was turned away.
struct Door {
    step: Semaphore,
    inside: AtomicU32,
    refused: AtomicU32,
    stop: AtomicBool,
}

impl Door {
    /// A client that comes back whenever it is thrown out.
    async fn besiege(self: Arc<Self>, options: PgConnectOptions) {
        while !self.stop.load(Ordering::Relaxed) {
            let step = self.step.acquire().await.unwrap();
            let came_in = options.connect().await;
            drop(step);
            match came_in {
                Ok(mut session) => {
                    self.inside.fetch_add(1, Ordering::Relaxed);
                    while attempt(&mut session, "SELECT pg_sleep(0.5)").await.is_ok() {}
                }
                Err(_) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    async fn wait_for(&self, what: impl Fn(&Self) -> bool) {
        let all = async {
            while !what(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = Duration::from_secs(120);
        tokio::time::timeout(patience, all)
            .await
            .unwrap_or_else(|_| panic!("not within {patience:?}"));
    }
}

/// Gives a person's password a verifier of one iteration (RFC 5802, section 3): with the usual 4,096
/// an unoptimised build is busy for minutes until hundreds of clients are in.
async fn set_cheap_password(admin: &mut PgConnection, person: &Person) {
    let salt = b"a salt for tests";
    let mut salted = [0; 32];
    let once = NonZeroU32::MIN;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, once, salt, person.password.as_bytes(), &mut salted);
    let key = |name: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), name.as_bytes()).as_ref().to_vec()
    };
    let stored = digest::digest(&digest::SHA256, &key("Client Key"));
    let [salt, stored, server] = [salt.as_slice(), stored.as_ref(), &key("Server Key")]
        .map(|bytes| format!("encode('\\x{}', 'base64')", hex::encode(bytes)));
    let set = format!(
        "DO $$ BEGIN
             EXECUTE format('ALTER ROLE %I PASSWORD %L', '{}',
                 'SCRAM-SHA-256$1:' || {salt} || '$' || {stored} || ':' || {server});
         END $$",
        person.user
    );
    run(admin, &set).await;
}

async fn start(settings: &'static [&'static str]) -> PrivateServer {
    let start = || PrivateServer::start_with(settings).unwrap();
    tokio::task::spawn_blocking(start).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sessions_that_come_back_are_cut_and_stay_out() {
    let server: &'static PrivateServer =
        Box::leak(Box::new(start(&["max_connections = 700"]).await));
    let shop = Shop::open_on(server, |settings| {
        settings.connection_limit = u16::try_from(CLIENTS).unwrap();
        settings.limits.sessions = Duration::from_secs(60);
    })
    .await;
    let (grant, other) = (shop.grant("select"), shop.grant("select"));
    shop.provision(&grant).await;
    shop.provision(&other).await;
    let person = shop.register(&grant).await;
    let mut bystanders =
        vec![shop.as_owner().await, shop.register(&other).await.log_in().await.unwrap()];
    let mut admin = superuser_on(server, "postgres").await;
    set_cheap_password(&mut admin, &person).await;
    let url = server.psql_url(&person.database, &person.user, &person.password);
    let options: PgConnectOptions = url.parse().unwrap();
    let door = Arc::new(Door {
        step: Semaphore::new(AT_THE_DOOR),
        inside: AtomicU32::new(0),
        refused: AtomicU32::new(0),
        stop: AtomicBool::new(false),
    });
    let elsewhere = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for _ in 0..CLIENTS {
        elsewhere.spawn(Arc::clone(&door).besiege(options.clone()));
    }
    door.wait_for(|door| door.inside.load(Ordering::Relaxed) >= CLIENTS).await;

    let finding = shop.revoke(&grant).await;
    let left = format!(
        "SELECT count(*) FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
         WHERE a.datname = '{}' AND (r.oid IS NULL OR r.rolname = '{}')",
        shop.database, person.user
    );
    assert_eq!(value::<i64>(&mut admin, &left).await, 0);
    // They all try again, and none gets in.
    let turned_away = door.refused.load(Ordering::Relaxed);
    let came_in = door.inside.load(Ordering::Relaxed);
    door.wait_for(|door| door.refused.load(Ordering::Relaxed) >= turned_away + 50).await;
    assert_eq!(value::<i64>(&mut admin, &left).await, 0);
    assert_eq!(door.inside.load(Ordering::Relaxed), came_in);
    assert!(finding.sessions_ended >= CLIENTS, "{finding:?}");
    for bystander in &mut bystanders {
        run(bystander, "SELECT * FROM orders").await;
    }
    door.stop.store(true, Ordering::Relaxed);
    elsewhere.shutdown_background();
}

#[tokio::test]
async fn forty_at_once_on_one_server() {
    let shop = Shop::open().await;
    let other = Shop::open().await;
    let grants: Vec<_> = (0..40)
        .map(|number| match number % 4 {
            0 => other.grant("full"),
            1 => shop.grant("full"),
            _ => shop.grant("select"),
        })
        .collect();
    // Two agents that know nothing of one another.
    let connector =
        |number: usize| if number.is_multiple_of(2) { &shop.connector } else { &other.connector };
    let provisions = grants.iter().enumerate();
    let provisions = provisions.map(|(number, grant)| connector(number).provision(grant, now()));
    for answer in join_all(provisions).await {
        answer.unwrap();
    }
    let marked = shop.connector.marked().await.unwrap();
    assert!(grants.iter().all(|grant| marked.contains(&grant.grant)));
    let mut sessions = Vec::new();
    for grant in &grants {
        let place = if grant.native == shop.database { &shop } else { &other };
        sessions.push(place.register(grant).await.log_in().await.unwrap());
    }
    let revokes = grants.iter().enumerate();
    let revokes = revokes.map(|(number, grant)| connector(number).revoke(grant, &WallClock));
    for (answer, session) in join_all(revokes).await.into_iter().zip(&mut sessions) {
        assert_eq!(answer.unwrap().sessions_ended, 1);
        assert!(attempt(session, "SELECT 1").await.is_err());
    }
    let marked = shop.connector.marked().await.unwrap();
    assert!(!grants.iter().any(|grant| marked.contains(&grant.grant)));
}

/// Among many that end together, some have a session, some own something, one has a transaction that
/// holds its role, one can't be ended yet, and one was removed by somebody else: each is told for
/// itself.
#[tokio::test]
async fn many_that_are_due_together_do_not_hold_each_other_up() {
    let shop = Shop::open_with(|settings| settings.limits.lock = Duration::from_millis(200)).await;
    let grants: Vec<_> = (0..300).map(|_| shop.grant("select")).collect();
    for answer in join_all(grants.iter().map(|grant| shop.connector.provision(grant, now()))).await
    {
        answer.unwrap();
    }
    let mut admin = shop.as_superuser().await;
    let mut people = Vec::new();
    for n in [7, 70, 110, 200] {
        let person = shop.register(&grants[n]).await;
        let session = person.log_in().await.unwrap();
        run(&mut admin, &format!("GRANT CREATE ON SCHEMA public TO {}", person.user)).await;
        people.push((person, session));
    }
    let [_, (_, stuck), (_, holder), (_, owner)] = people.as_mut_slice() else { panic!() };
    run(stuck, "CREATE TABLE notes (n int)").await;
    run(holder, "BEGIN; ALTER ROLE CURRENT_USER PASSWORD 'mine'").await;
    run(owner, "CREATE TABLE plans (n int)").await;
    run(&mut admin, &format!("DROP ROLE ebb_{}", grants[140].grant)).await;
    run(&mut admin, "BEGIN; LOCK TABLE notes").await;

    let answers =
        join_all(grants.iter().map(|grant| shop.connector.revoke(grant, &WallClock))).await;
    for (number, answer) in answers.into_iter().enumerate() {
        match (number, answer) {
            (70, Err(error)) => assert_eq!(error.kind(), ErrorKind::Throttled),
            (7 | 110 | 200, Ok(finding)) => assert_eq!(finding.sessions_ended, 1),
            (140, Ok(finding)) => assert!(finding.summary.contains("was gone already")),
            (_, Ok(finding)) => {
                assert_eq!(finding.sessions_ended, 0);
                assert!(finding.summary.contains("is gone, no session"), "{}", finding.summary);
            }
            (_, Err(error)) => panic!("{number}: {}", error.chain()),
        }
    }
    for (_, session) in &mut people {
        assert!(attempt(session, "SELECT 1").await.is_err());
    }
    run(&mut admin, "ROLLBACK").await;
    shop.revoke(&grants[70]).await;
    let marked = shop.connector.marked().await.unwrap();
    assert!(!grants.iter().any(|grant| marked.contains(&grant.grant)));
}

#[tokio::test]
async fn one_that_is_asked_for_many_times_at_once_ends_once() {
    let shop = Shop::open().await;
    let (grant, person, _ana) = shop.session("select").await;
    let more: Vec<_> = (0..20).map(|_| shop.grant("select")).collect();
    let all: Vec<_> = more.iter().chain(std::iter::repeat_n(&grant, 20)).collect();
    let findings = join_all(all.into_iter().map(|grant| shop.revoke(grant))).await;
    assert_eq!(findings.len(), 40);
    assert!(findings.iter().all(|finding| finding.sessions_ended <= 1));
    assert!(!role_exists(&person.user).await);
}

/// Makes the grants' roles as the connector does, a few hundred by each statement.
async fn make_roles(admin: &mut PgConnection, grants: &[GrantSpec]) {
    for some in grants.chunks(500) {
        let sql: String = some
            .iter()
            .map(|grant| {
                let id = grant.grant;
                format!(
                    "CREATE ROLE ebb_{id} LOGIN VALID UNTIL '{}' IN ROLE \"ebbgate_select_{}\";
                     ALTER ROLE ebb_{id} SET application_name = '{id}';",
                    grant.deadline, grant.native
                )
            })
            .collect();
        run(admin, &sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_that_were_due_while_the_server_was_down() {
    let mut server = start(&["max_connections = 50"]).await;
    let connector = PostgresConnector::new(settings_for(&server)).unwrap();
    let stays = grant_on("postgres", "select");
    connector.provision(&stays, now()).await.unwrap();
    let mut grants: Vec<_> = (0..10_000).map(|_| grant_on("postgres", "select")).collect();
    make_roles(&mut superuser_on(&server, "postgres").await, &grants).await;
    assert_eq!(connector.marked().await.unwrap().len(), 10_001);

    let mut server = tokio::task::spawn_blocking(move || {
        server.stop().unwrap();
        server
    })
    .await
    .unwrap();
    grants.iter_mut().for_each(|grant| grant.deadline = now());
    for answer in join_all(grants.iter().map(|grant| connector.revoke(grant, &WallClock))).await {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Unreachable);
    }
    let server = tokio::task::spawn_blocking(move || {
        server.start_again().unwrap();
        server
    })
    .await
    .unwrap();
    for answer in join_all(grants.iter().map(|grant| connector.revoke(grant, &WallClock))).await {
        let finding = answer.unwrap();
        assert!(finding.summary.contains("is gone, no session"), "{}", finding.summary);
    }
    assert_eq!(connector.marked().await.unwrap(), [stays.grant]);
    let mut admin = superuser_on(&server, "postgres").await;
    let left =
        "SELECT count(*) FROM pg_auth_members WHERE roleid = 'ebbgate_select_postgres'::regrole";
    assert_eq!(value::<i64>(&mut admin, left).await, 1);
}

#[tokio::test]
async fn thousands_of_members_do_not_overflow_anything() {
    let shop = Shop::open().await;
    shop.provision(&shop.grant("select")).await;
    let mut admin = shop.as_superuser().await;
    // More than rights on a table could be given to one by one.
    let members = format!(
        "DO $$ BEGIN FOR n IN 1..2600 LOOP
             EXECUTE format('CREATE ROLE {0}_%s IN ROLE ebbgate_select_{1}', n);
         END LOOP; END $$",
        shop.owner, shop.database
    );
    run(&mut admin, &members).await;
    let (grant, _, mut ana) = shop.session("select").await;
    assert_eq!(value::<String>(&mut ana, "SELECT item FROM orders").await, "tea");
    shop.revoke(&grant).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_up_no_other() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://ebb@{}/postgres", silent.local_addr().unwrap());
    let mut settings = PostgresSettings::new("orders".parse().unwrap(), url, None);
    settings.limits = Limits { connect: Duration::from_secs(60), ..Limits::default() };
    let dead = Arc::new(PostgresConnector::new(settings).unwrap());
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let dead = Arc::clone(&dead);
            let grant = grant_on("shop", "select");
            tokio::spawn(async move { dead.revoke(&grant, &WallClock).await })
        })
        .collect();
    let shop = Shop::open().await;
    let (grant, _, _ana) = shop.session("select").await;
    assert_eq!(shop.revoke(&grant).await.sessions_ended, 1);
    assert!(waiting.iter().all(|one| !one.is_finished()));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
