//! `ebb db`: psql gets the password and nobody else; signals and codes go through.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    sync::{Arc, Mutex},
};

use ebbgate_domain::scram::ScramVerifier;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::harness::{
    Broker, Home, Running, assert_exit, grant, grant_id, in_an_hour, page, stderr, stdout, with,
};

fn call() -> String {
    format!("POST /grants/{}/credentials", grant_id(1))
}

/// A broker with a live grant on the shop's database.
fn broker() -> Broker {
    let broker = Broker::start();
    let shop = grant(1, "orders/postgres/shop", "select");
    broker.answer(&format!("GET /grants/{}", grant_id(1)), 200, shop.clone());
    broker.answer("GET /grants", 200, page(&[shop]));
    broker.answer(&call(), 200, access());
    broker
}

fn access() -> Value {
    json!({
        "kind": "postgres", "host": "db.internal", "port": 5432, "database": "shop",
        "user": "ebb_1", "valid_until": in_an_hour(),
    })
}

/// Notes what it was given, reads the password file as libpq does, and waits until that is gone.
const PSQL: &str = r#"#!/bin/sh
cd "$HOME"
env > seen-env
echo "$@" > seen-arguments
stat -c %a "$PGPASSFILE" "$(dirname "$PGPASSFILE")" > seen-modes
cat "$PGPASSFILE" > seen-password
while [ -e "$PGPASSFILE" ]; do :; done
exit 7
"#;

#[test]
fn psql_gets_the_password_and_nobody_else() {
    let broker = broker();
    let home = Home::at(&broker);
    home.install("psql", PSQL);
    let mut command = home.command(&["db", "shop", "--", "--csv", "-c", "select 1"]);
    let output = command.env("PGPASSWORD", "other").env("PGHOSTADDR", "10.0.0.1").output().unwrap();
    assert_exit(&output, 7);

    let seen = |name: &str| fs::read_to_string(home.path(name)).unwrap();
    let line = seen("seen-password");
    let password = line.trim_end().strip_prefix("db.internal:5432:*:ebb_1:").unwrap();
    assert_eq!(password.len(), 43);
    assert_eq!(seen("seen-modes"), "600\n700\n");
    assert_eq!(seen("seen-arguments"), "--no-password --csv -c select 1\n");
    let environment = seen("seen-env");
    for expected in ["PGHOST=db.internal", "PGPORT=5432", "PGDATABASE=shop", "PGUSER=ebb_1"] {
        assert!(environment.contains(expected), "{environment}");
    }
    assert!(environment.contains(&format!("PGAPPNAME={}", grant_id(1))));
    assert!(!environment.contains("PGPASSWORD") && !environment.contains("PGHOSTADDR"));

    let body = broker.calls(&call())[0].body.clone();
    body["scram_verifier"].as_str().unwrap().parse::<ScramVerifier>().unwrap();
    let sent = body.to_string();
    for text in [&environment, &sent, &stderr(&output), &stdout(&output)] {
        assert!(!text.contains(password), "{text}");
    }
    assert_eq!(fs::read_dir(home.path("run")).unwrap().count(), 0, "nothing stays");
}

#[test]
fn each_session_has_a_password_of_its_own() {
    let broker = broker();
    let home = Home::at(&broker);
    home.install("psql", "#!/bin/sh\nexit 0\n");
    for _ in 0..2 {
        assert_exit(&home.ebb(&["db", "orders/postgres/shop"]), 0);
    }
    let calls = broker.calls(&call());
    assert_ne!(calls[0].body, calls[1].body);
    assert_eq!(fs::read_dir(home.path("run")).unwrap().count(), 0, "also if it was never read");
}

#[test]
fn sessions_that_begin_at_once_take_turns_until_the_password_is_read() {
    let broker = broker();
    let home = Home::at(&broker);
    // psql doesn't read its password before it may, and both stay until both have read theirs.
    let psql = r#"#!/bin/sh
        while [ ! -e "$HOME/go" ]; do :; done
        cat "$PGPASSFILE" >> "$HOME/seen"
        while [ "$(wc -l < "$HOME/seen")" -lt 2 ]; do :; done
        "#;
    home.install("psql", psql);
    // For each password that is made, how many have been read before.
    let read_before = Arc::new(Mutex::new(Vec::new()));
    let (seen, notes) = (home.path("seen"), Arc::clone(&read_before));
    broker.answer_with(&call(), move |_| {
        let read = fs::read_to_string(&seen).unwrap_or_default().lines().count();
        notes.lock().unwrap().push(read);
        (200, access())
    });
    let mut first = Running::start(home.command(&["db", "shop"]));
    first.wait_for("ends in");
    let second = Running::start(home.command(&["db", "shop"]));
    // It waits for its turn (Linux lists that behind an arrow, with the lock file's inode), or it
    // has gone ahead, which the last line tells.
    let lock = home.path("ebb/cache").join(format!("db-{}.lock", grant_id(1)));
    let inode = fs::metadata(lock).unwrap().ino();
    let waits = |line: &str| line.contains("->") && line.contains(&format!(":{inode} "));
    let went_ahead = || broker.calls(&call()).len() == 2;
    while !went_ahead() && !fs::read_to_string("/proc/locks").unwrap().lines().any(waits) {
        std::thread::yield_now();
    }
    fs::write(home.path("go"), "").unwrap();
    for ebb in [first, second] {
        let (status, text) = ebb.end();
        assert_eq!(status.code(), Some(0), "{text}");
    }
    assert_eq!(*read_before.lock().unwrap(), [0, 1]);
}

#[test]
fn an_interrupt_is_psqls_and_an_end_is_passed_on() {
    let broker = broker();
    let home = Home::at(&broker);
    home.install(
        "psql",
        "#!/bin/sh\ntrap 'exit 9' TERM\necho ready >&2\nwhile :; do sleep 0.05; done\n",
    );
    let mut ebb = Running::start(home.command(&["db", "shop"]));
    ebb.wait_for("ready");
    let id = Pid::from_raw(ebb.child.id().try_into().unwrap());
    kill(id, Signal::SIGINT).unwrap();
    kill(id, Signal::SIGQUIT).unwrap();
    kill(id, Signal::SIGTERM).unwrap();
    let (status, text) = ebb.end();
    assert_eq!(status.code(), Some(9), "{text}");
    assert_eq!(fs::read_dir(home.path("run")).unwrap().count(), 0);
}

#[test]
fn when_the_access_ends_it_says_why() {
    let broker = broker();
    let home = Home::at(&broker);
    home.install("psql", "#!/bin/sh\nexit 2\n");
    let ended = json!({"state": "revoked", "end_reason": "expired", "deadline": "2026-03-04T14:30:00Z", "ended_at": "2026-03-04T14:30:01Z"});
    let shop = with(grant(1, "orders/postgres/shop", "select"), ended);
    broker.answer(&format!("GET /grants/{}", grant_id(1)), 200, shop);
    let output = home.ebb(&["db", "shop"]);
    assert_exit(&output, 2);
    assert!(
        stderr(&output).contains("access ended at 2026-03-04 14:30:00Z (expired)"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn without_a_grant_it_says_how_to_ask() {
    let broker = broker();
    let home = Home::at(&broker);
    home.install("psql", "#!/bin/sh\n");
    broker.answer("GET /grants", 200, page(&[]));
    let output = home.ebb(&["db", "orders/postgres/shop"]);
    assert_exit(&output, 3);
    assert!(stderr(&output).contains("ebb request orders/postgres/shop"));
}

#[test]
fn without_psql_it_says_what_to_install_and_makes_no_password() {
    let broker = broker();
    let home = Home::at(&broker);
    let output = home.command(&["db", "shop"]).env("PATH", home.path("bin")).output().unwrap();
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("postgresql-client"), "{}", stderr(&output));
    assert!(broker.calls(&call()).is_empty());
}

#[test]
fn a_url_is_written_once_with_a_warning() {
    let broker = broker();
    let home = Home::at(&broker);
    let output = home.ebb(&["db", "shop", "--print-url"]);
    assert_exit(&output, 0);
    let url = stdout(&output);
    let password = url
        .strip_prefix("postgres://ebb_1:")
        .unwrap()
        .strip_suffix("@db.internal:5432/shop\n")
        .unwrap();
    assert_eq!(password.len(), 43);
    assert!(stderr(&output).starts_with("warning: this URL holds a password"));
    assert!(!stderr(&output).contains(password));
}

#[test]
fn a_file_that_is_no_program_is_not_taken_for_psql() {
    let broker = broker();
    let home = Home::at(&broker);
    home.install("psql", "not a program");
    fs::set_permissions(home.path("bin/psql"), fs::Permissions::from_mode(0o644)).unwrap();
    let output = home.command(&["db", "shop"]).env("PATH", home.path("bin")).output().unwrap();
    assert_exit(&output, 1);
    assert!(broker.calls(&call()).is_empty(), "no password was made for it");
}

mod mysql {
    //! The same for MySQL and MariaDB.

    use ebbgate_domain::mysql_verifier::MysqlVerifiers;

    use super::*;

    /// A broker with a live grant on the till's database.
    fn broker() -> Broker {
        let broker = Broker::start();
        let till = grant(1, "pos/mysql/till", "full");
        let connect =
            json!({"kind": "mysql", "host": "db.internal", "port": 3306, "database": "till"});
        let till = with(till, json!({"connect": connect}));
        broker.answer(&format!("GET /grants/{}", grant_id(1)), 200, till.clone());
        broker.answer("GET /grants", 200, page(&[till]));
        let access = json!({
            "kind": "mysql", "host": "db.internal", "port": 3306, "database": "till",
            "user": "ebb_abc", "valid_until": in_an_hour(),
        });
        broker.answer(&call(), 200, access);
        broker
    }

    /// Notes what it was given, reads the option file, and waits until that is gone.
    const MARIADB: &str = r#"#!/bin/sh
cd "$HOME"
env > seen-env
echo "$@" > seen-arguments
file="${1#--defaults-file=}"
stat -c %a "$file" "$(dirname "$file")" > seen-modes
cat "$file" > seen-options
while [ -e "$file" ]; do :; done
exit 7
"#;

    #[test]
    fn the_client_gets_the_password_and_nobody_else() {
        let broker = broker();
        let home = Home::at(&broker);
        home.install("mariadb", MARIADB);
        fs::write(home.path(".my.cnf"), "[client]\npassword=of-somewhere-else\n").unwrap();
        let mut command = home.command(&["db", "till", "--", "--batch", "-e", "select 1"]);
        let output =
            command.env("MYSQL_PWD", "other").env("MYSQL_HOST", "10.0.0.1").output().unwrap();
        assert_exit(&output, 7);

        let seen = |name: &str| fs::read_to_string(home.path(name)).unwrap();
        let options = seen("seen-options");
        let include = format!("!include {}\n", home.path(".my.cnf").display());
        let (others, ours) = options.split_once("[client]\npassword=").unwrap();
        assert!(others.contains(&include), "{options}");
        let password = ours.trim_end();
        assert_eq!(password.len(), 32);
        assert_eq!(seen("seen-modes"), "600\n700\n");
        let arguments = seen("seen-arguments");
        let rest = "--host=db.internal --port=3306 --protocol=TCP --user=ebb_abc --database=till \
                    --batch -e select 1\n";
        assert!(arguments.ends_with(rest), "{arguments}");
        let environment = seen("seen-env");
        assert!(!environment.contains("MYSQL_PWD") && !environment.contains("MYSQL_HOST"));

        let body = broker.calls(&call())[0].body.clone();
        let form = |name: &str| body["mysql_verifiers"][name].as_str().unwrap();
        MysqlVerifiers::new(form("native"), form("caching_sha2"), form("ed25519")).unwrap();
        let sent = body.to_string();
        for text in [&arguments, &environment, &sent, &stderr(&output), &stdout(&output)] {
            assert!(!text.contains(password), "{text}");
        }
        assert_eq!(fs::read_dir(home.path("run")).unwrap().count(), 0, "nothing stays");
    }

    /// MySQL's client does where MariaDB's is missing.
    #[test]
    fn any_of_both_clients_does() {
        let broker = broker();
        let home = Home::at(&broker);
        home.install("mysql", "#!/bin/sh\nexit 9\n");
        let output = home.command(&["db", "till"]).env("PATH", home.path("bin")).output().unwrap();
        assert_exit(&output, 9);
    }

    #[test]
    fn without_a_client_it_says_what_to_install_and_makes_no_password() {
        let broker = broker();
        let home = Home::at(&broker);
        let output = home.command(&["db", "till"]).env("PATH", home.path("bin")).output().unwrap();
        assert_exit(&output, 1);
        assert!(stderr(&output).contains("mariadb-client"), "{}", stderr(&output));
        assert!(broker.calls(&call()).is_empty());
    }

    #[test]
    fn a_url_is_written() {
        let broker = broker();
        let home = Home::at(&broker);
        let output = home.ebb(&["db", "till", "--print-url"]);
        assert_exit(&output, 0);
        let url = stdout(&output);
        assert!(
            url.starts_with("mysql://ebb_abc:") && url.ends_with("@db.internal:3306/till\n"),
            "{url}"
        );
    }

    /// The real client takes the last password in the file, whatever the person's own holds.
    #[test]
    fn the_real_client_takes_our_password() {
        let broker = broker();
        let home = Home::at(&broker);
        let own = "[client]\npassword=of-somewhere-else\nuser=nobody\n";
        fs::write(home.path(".my.cnf"), own).unwrap();
        // It says what it would connect with instead of connecting.
        home.install(
            "mariadb",
            "#!/bin/sh\nPATH=/usr/local/bin:/usr/bin:/bin\nexec mariadb \"$1\" --print-defaults\n",
        );
        let output = home.ebb(&["db", "till"]);
        let said = stdout(&output);
        let passwords: Vec<_> =
            said.split_whitespace().filter(|word| word.starts_with("--password=")).collect();
        assert_eq!(
            passwords.first(),
            Some(&"--password=of-somewhere-else"),
            "{said}{}",
            stderr(&output)
        );
        assert_eq!(passwords.len(), 2, "{said}");
        let ours = passwords.last().unwrap().trim_start_matches("--password=");
        assert_eq!(ours.len(), 32);
    }
}
