//! A server's whole life, against the real MariaDB, by its own client.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ebbgate_testkit_mariadb::{Error, PrivateServer};

/// Runs SQL as `root`; its output, or what the client complained of.
fn run(server: &PrivateServer, sql: &str) -> Result<String, String> {
    run_with(server, server.password(), sql)
}

fn run_with(server: &PrivateServer, password: &str, sql: &str) -> Result<String, String> {
    let mut client = Command::new(server.client())
        .args(["--no-defaults", "--batch", "--skip-column-names", "--host=127.0.0.1"])
        .args([&format!("--port={}", server.port()), "--user=root"])
        .env("MYSQL_PWD", password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut input) = client.stdin.take() {
        input.write_all(sql.as_bytes()).map_err(|error| error.to_string())?;
    }
    let output = client.wait_with_output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn keeps_what_it_holds_through_a_stop_and_a_crash() {
    let mut server = PrivateServer::start().unwrap();
    run(&server, "CREATE DATABASE k; CREATE TABLE k.kept (n int); INSERT INTO k.kept VALUES (1)")
        .unwrap();

    server.stop().unwrap();
    assert!(run(&server, "SELECT 1").is_err());
    assert!(matches!(server.stop(), Err(Error::NotRunning)));
    server.start_again().unwrap();
    assert!(matches!(server.start_again(), Err(Error::Running)));
    run(&server, "INSERT INTO k.kept VALUES (2)").unwrap();

    server.kill9().unwrap();
    server.start_again().unwrap();
    assert_eq!(run(&server, "SELECT sum(n) FROM k.kept").unwrap(), "3");
    let log = fs::read_to_string(server.log_path()).unwrap();
    assert!(log.contains("Starting crash recovery"), "{log}");
}

#[test]
fn nobody_gets_in_without_the_password() {
    let server = PrivateServer::start().unwrap();
    assert!(run_with(&server, "wrong", "SELECT 1").unwrap_err().contains("Access denied"));
    let able = "SELECT count(*) FROM mysql.global_priv
                WHERE JSON_VALUE(priv, '$.account_locked') IS NULL
                  AND JSON_VALUE(priv, '$.authentication_string') = ''";
    assert_eq!(run(&server, able).unwrap(), "0");
}

#[test]
fn takes_options_and_says_when_one_is_wrong() {
    let server = PrivateServer::start_with(&["max-connections=77"]).unwrap();
    assert_eq!(run(&server, "SELECT @@max_connections").unwrap(), "77");

    let error = PrivateServer::start_with(&["no-such-option=1"]).unwrap_err();
    assert!(error.to_string().contains("no-such-option"), "{error}");
}

#[test]
fn ends_with_its_value() {
    let server = PrivateServer::start().unwrap();
    let directory = server.directory().to_owned();
    let port = server.port();
    drop(server);
    assert!(!directory.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

/// Starts a server in a process of its own, which is then killed hard: the server and its data
/// must go with it. That process is this very test, told by a variable to be the victim.
#[test]
fn ends_with_the_process_that_started_it() {
    const VICTIM: &str = "EBBGATE_TESTKIT_VICTIM";
    if std::env::var_os(VICTIM).is_some() {
        // On a thread that ends at once: a server must outlive the thread that started it.
        let server = thread::spawn(PrivateServer::start).join().unwrap().unwrap();
        println!("started {}", server.directory().display());
        loop {
            thread::park();
        }
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ends_with_the_process_that_started_it", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let directory = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .find_map(|line| Some(PathBuf::from(line.split_once("started ")?.1)))
        .expect("the victim says where its server is");
    let pid = fs::read_to_string(directory.join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());

    victim.kill().unwrap();
    victim.wait().unwrap();
    until("the server is gone", || !process.exists());
    until("its data is gone", || !directory.exists());
}
