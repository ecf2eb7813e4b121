//! Becoming known to the broker, and staying so.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use crate::{
    agent::{Agent, command, stderr},
    broker::Broker,
    support::eventually,
};

#[tokio::test]
async fn enrolment_leaves_a_private_key_and_no_token() {
    let broker = Broker::start().await;
    let agent = Agent::enrolled(&broker);
    let mode =
        |name: &str| fs::metadata(agent.dir().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("key.pem")), (0o700, 0o600));
    for entry in fs::read_dir(agent.dir()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("sesame"));
    }
    let enrolment = fs::read_to_string(agent.dir().join("agent.json")).unwrap();
    assert!(enrolment.contains("\"name\": \"db-eu\""), "{enrolment}");
}

#[tokio::test]
async fn an_identity_is_replaced_only_when_asked_to() {
    let broker = Broker::start().await;
    let agent = Agent::enrolled(&broker);
    let key = || fs::read_to_string(agent.dir().join("key.pem")).unwrap();
    let before = key();
    let again = agent.enroll(&broker.url(), &broker.token(), &[]);
    assert!(!again.status.success());
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    assert_eq!((key(), broker.enrolled()), (before.clone(), 1), "the token is not spent");
    let forced = agent.enroll(&broker.url(), &broker.token(), &["--force"]);
    assert!(forced.status.success(), "{}", stderr(&forced));
    assert_ne!(key(), before);
}

#[tokio::test]
async fn a_token_names_the_broker_that_it_is_for() {
    let (broker, impostor) = (Broker::start().await, Broker::start().await);
    let dir = tempfile::tempdir().unwrap();
    let token = broker.token();
    impostor.token();
    let output = command()
        .args(["enroll", "--broker", &impostor.url(), "--token", &token, "--dir"])
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = stderr(&output);
    assert!(
        error.contains("does not present the authority that the token was made for"),
        "{error}"
    );
    assert!(!error.contains("sesame"), "{error}");
    assert_eq!(impostor.enrolled(), 0);
    assert!(!dir.path().join("agent.json").exists());
}

#[tokio::test]
async fn a_spent_token_says_how_to_get_another() {
    let broker = Broker::start().await;
    let token = broker.token();
    let enroll = || {
        let dir = tempfile::tempdir().unwrap();
        let mut command = command();
        command
            .args(["enroll", "--broker", &broker.url(), "--token", &token, "--dir"])
            .arg(dir.path());
        command.output().unwrap()
    };
    assert!(enroll().status.success());
    let error = stderr(&enroll());
    assert!(error.contains("ebb admin agents token NAME"), "{error}");
}

#[tokio::test]
async fn a_token_comes_from_standard_input_too() {
    use std::{io::Write as _, process::Stdio};

    let broker = Broker::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut child = command()
        .args(["enroll", "--broker", &broker.url(), "--token", "-", "--dir"])
        .arg(dir.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", broker.token()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(broker.enrolled(), 1);
}

#[tokio::test]
async fn a_certificate_is_renewed_in_time_and_the_stream_opened_anew() {
    let mut broker = Broker::start().await;
    // Valid since a minute ago: a third of its life is less than what is left of these 20 seconds.
    broker.certificates_live(Duration::from_secs(20));
    let mut agent = Agent::enrolled(&broker);
    broker.certificates_live(Duration::from_secs(24 * 3_600));
    let before = certificate_text(&agent);
    agent.start();
    let mut stream = broker.welcome(vec![]).await;
    eventually("a new certificate", async || match certificate_text(&agent) {
        now if now == before => Err(now),
        _ => Ok(()),
    })
    .await;
    // The first stream may have been opened before or after that.
    while stream.certificate != der(&agent) {
        stream = broker.welcome(vec![]).await;
    }
    assert_eq!(broker.renewed(), 1);
}

fn certificate_text(agent: &Agent) -> String {
    fs::read_to_string(agent.dir().join("cert.pem")).unwrap()
}

fn der(agent: &Agent) -> Vec<u8> {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};

    CertificateDer::from_pem_slice(certificate_text(agent).as_bytes()).unwrap().to_vec()
}
