//! A server's whole life, against the real PostgreSQL, by its own `psql`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ebbgate_testkit_postgres::{Error, PrivateServer};

/// Runs SQL by `psql`; its output, or what it complained of.
fn psql(server: &PrivateServer, url: &str, sql: &str) -> Result<String, String> {
    let output = Command::new(server.binaries().join("psql"))
        .args(["--no-psqlrc", "-XAt", "-v", "ON_ERROR_STOP=1", "-c", sql, url])
        .output()
        .map_err(|error| error.to_string())?;
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
    let url = server.url();
    psql(&server, &url, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)").unwrap();

    server.stop().unwrap();
    assert!(psql(&server, &url, "SELECT 1").is_err());
    assert!(matches!(server.stop(), Err(Error::NotRunning)));
    server.start_again().unwrap();
    assert!(matches!(server.start_again(), Err(Error::Running)));
    psql(&server, &url, "INSERT INTO kept VALUES (2)").unwrap();

    server.kill9().unwrap();
    server.start_again().unwrap();
    assert_eq!(psql(&server, &url, "SELECT sum(n) FROM kept").unwrap(), "3");
    let log = fs::read_to_string(server.log_path()).unwrap();
    assert!(log.contains("automatic recovery in progress"), "{log}");
}

#[test]
fn nobody_gets_in_without_the_password() {
    let server = PrivateServer::start().unwrap();
    let wrong = server.psql_url("postgres", "postgres", "wrong");
    assert!(psql(&server, &wrong, "SELECT 1").unwrap_err().contains("password authentication"));
    let socket = format!(
        "host={} port={} user=postgres dbname=postgres",
        server.socket_directory().display(),
        server.port()
    );
    assert!(psql(&server, &socket, "SELECT 1").is_err());
    let rules = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules";
    assert_eq!(psql(&server, &server.url(), rules).unwrap(), "scram-sha-256");
}

#[test]
fn takes_settings_and_says_when_one_is_wrong() {
    let server = PrivateServer::start_with(&["max_prepared_transactions = 7"]).unwrap();
    let shown = psql(&server, &server.url(), "SHOW max_prepared_transactions").unwrap();
    assert_eq!(shown, "7");

    let error = PrivateServer::start_with(&["no_such_setting = 1"]).unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[test]
fn ends_with_its_value() {
    let server = PrivateServer::start().unwrap();
    let url = server.url();
    let directory = server.socket_directory().to_owned();
    let psql_program = server.binaries().join("psql");
    drop(server);
    assert!(!directory.exists());
    assert!(!Command::new(psql_program).args(["-c", "SELECT 1", &url]).status().unwrap().success());
}

/// Starts a server in a process of its own, which is then killed hard: the server and its data
/// must go with it. That process is this very test, told by a variable to be the victim.
#[test]
fn ends_with_the_process_that_started_it() {
    const VICTIM: &str = "EBBGATE_TESTKIT_VICTIM";
    if std::env::var_os(VICTIM).is_some() {
        // On a thread that ends at once: a server must outlive the thread that started it.
        let server = thread::spawn(PrivateServer::start).join().unwrap().unwrap();
        println!("started {}", server.socket_directory().display());
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
    let postmaster = fs::read_to_string(directory.join("data/postmaster.pid")).unwrap();
    let process = Path::new("/proc").join(postmaster.lines().next().unwrap());
    assert!(process.exists());

    victim.kill().unwrap();
    victim.wait().unwrap();
    until("the server is gone", || !process.exists());
    until("its data is gone", || !directory.exists());
}
