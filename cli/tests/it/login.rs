//! `ebb login`, `logout`, `whoami`: what is stored, for whom, and whom it trusts.

use std::{fs, net::SocketAddr, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::harness::{Broker, Home, TOKEN, assert_exit, mode, stderr, stdout};

#[test]
fn a_token_from_standard_input_is_stored_for_its_owner() {
    let broker = Broker::start();
    let home = Home::new();
    let login = ["login", "--broker", &broker.url(), "--token", "-"];
    let output = home.ebb_with_input(&login, &format!("{TOKEN}\n"));
    assert_exit(&output, 0);
    assert_eq!(
        stderr(&output),
        format!("logged in to {} as Ana <ana@example.com>\n", broker.url())
    );
    assert_eq!(mode(&home.path("ebb")), 0o700);
    assert_eq!(mode(&home.path("ebb/token")), 0o600);
    assert_eq!(fs::read_to_string(home.path("ebb/token")).unwrap(), format!("{TOKEN}\n"));
    assert!(!fs::read_to_string(home.path("ebb/config.json")).unwrap().contains(TOKEN));

    let who = home.ebb(&["whoami"]);
    assert_eq!(
        stdout(&who),
        format!(
            "id      ana@example.com\nname    Ana\ngroups  data\nroles\nbroker  {}\n",
            broker.url()
        )
    );
    let calls = broker.calls("GET /whoami");
    assert!(calls.iter().all(|call| call.token.as_deref() == Some(&format!("Bearer {TOKEN}"))));
}

#[test]
fn a_token_among_the_arguments_works_with_a_hint() {
    let broker = Broker::start();
    let home = Home::new();
    let output = home.ebb(&["login", "--broker", &broker.url(), "--token", TOKEN]);
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("use `--token -`"));
    assert!(!stderr(&output).contains(TOKEN));
    assert_exit(&home.ebb(&["whoami"]), 0);
}

#[test]
fn a_token_that_the_broker_refuses_is_not_stored() {
    let broker = Broker::start();
    broker.refuse("GET /whoami", 401, "unauthenticated");
    let home = Home::new();
    let output = home.ebb_with_input(&["login", "--broker", &broker.url(), "--token", "-"], TOKEN);
    assert_exit(&output, 3);
    assert!(!home.path("ebb").exists());
    assert!(!stderr(&output).contains(TOKEN));
}

#[test]
fn logging_out_forgets_the_token() {
    let home = Home::at(&Broker::start());
    assert_exit(&home.ebb(&["logout"]), 0);
    assert!(!home.path("ebb/token").exists());
    assert_exit(&home.ebb(&["whoami"]), 3);
    assert_exit(&home.ebb(&["logout"]), 0);
}

#[test]
fn the_next_log_in_knows_the_broker() {
    let broker = Broker::start();
    let home = Home::at(&broker);
    home.ebb(&["logout"]);
    assert_exit(&home.ebb_with_input(&["login", "--token", "-"], TOKEN), 0);
    assert_exit(&home.ebb(&["whoami"]), 0);
}

#[test]
fn the_environment_comes_first() {
    let broker = Broker::start();
    let home = Home::new();
    let mut command = home.command(&["whoami", "--output", "json"]);
    let output =
        command.env("EBB_BROKER", broker.url()).env("EBB_TOKEN", "ebu_env").output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(broker.calls("GET /whoami")[0].token.as_deref(), Some("Bearer ebu_env"));
    let me: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(me["groups"], serde_json::json!(["data"]));
}

#[test]
fn a_token_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let broker = Broker::start();
    let home = Home::at(&broker);
    fs::set_permissions(home.path("ebb/token"), fs::Permissions::from_mode(0o640)).unwrap();
    let output = home.ebb(&["whoami"]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("chmod 600"));
    assert_eq!(broker.calls("GET /whoami").len(), 1, "only the log-in's");
}

#[test]
fn plain_http_is_for_this_machine_only() {
    let output =
        Home::new().ebb(&["login", "--broker", "http://access.example.com", "--token", "-"]);
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("plain http is only for a broker on this machine"));
}

/// Answers `/whoami` over TLS with a certificate that no system trusts.
fn tls_broker(runtime: &tokio::runtime::Runtime) -> (SocketAddr, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that doesn't trust us ends the handshake: the next one may.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await.unwrap();
            let body = r#"{"id": "ana@example.com", "name": "Ana", "groups": [], "roles": []}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                 connection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, cert.pem())
}

#[test]
fn a_private_ca_is_trusted_only_when_it_is_named() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (address, pem) = tls_broker(&runtime);
    let url = format!("https://localhost:{}", address.port());
    let home = Home::new();
    let output = home.ebb_with_input(&["login", "--broker", &url, "--token", "-"], TOKEN);
    assert_exit(&output, 6);
    assert!(stderr(&output).contains("--ca-file"), "{}", stderr(&output));

    let ca = home.path("ca.pem");
    fs::write(&ca, pem).unwrap();
    let login = ["login", "--broker", &url, "--ca-file", ca.to_str().unwrap(), "--token", "-"];
    assert_exit(&home.ebb_with_input(&login, TOKEN), 0);
    // It is remembered.
    assert_exit(&home.ebb(&["whoami"]), 0);

    fs::write(&ca, "no certificate").unwrap();
    let output = home.ebb(&["whoami"]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("ca.pem holds no certificate"), "{}", stderr(&output));
}
