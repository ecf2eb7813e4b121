//! `fake-aws`: a double of AWS behind real wire protocols, for tests, CI and the demo. Never part
//! of the products.
//!
//! It exists because no emulator that can be installed enforces session policies, expiry and
//! revocation: see README.md beside it for what it does and what it does not.

mod auth;
mod caller;
mod calls;
mod clock;
mod control;
mod error;
mod fake;
mod faults;
mod iam;
mod ids;
mod policy;
mod query;
mod request;
mod s3;
mod server;
mod service;
mod sigv4;
mod sts;
#[cfg(test)]
mod testing;
mod xml;

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::signal::unix::{SignalKind, signal};

use fake::Fake;

/// How long connections may finish what they do after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// A double of AWS (STS, IAM, S3) for tests.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The account's twelve digits.
    #[arg(long, default_value = "123456789012", value_parser = account)]
    account: String,
    /// Once listening, write endpoint, account and admin's access key there as JSON (mode 0600).
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// The access key id of the user `admin`; generated if absent.
    #[arg(long, env = "FAKE_AWS_ROOT_KEY", requires = "root_secret")]
    root_key: Option<String>,
    /// Its secret. It guards nothing but this double.
    #[arg(long, env = "FAKE_AWS_ROOT_SECRET", requires = "root_key", hide_env_values = true)]
    root_secret: Option<SecretString>,
}

fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account has twelve digits".to_owned())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let args = Args::parse();
    let (key_id, secret) = match (args.root_key, args.root_secret) {
        (Some(key_id), Some(secret)) => (key_id, secret),
        _ if args.ready_file.is_none() => bail!(
            "nobody would know the admin's access key: give --root-key and --root-secret (or \
             FAKE_AWS_ROOT_KEY and FAKE_AWS_ROOT_SECRET), or --ready-file, which a generated one \
             is written to"
        ),
        _ => (ids::unique_id("AKIA", 16), ids::secret_access_key()),
    };

    // Before anybody can know that we listen, so that no SIGTERM is missed.
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let listener = tokio::net::TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("listening on {}", args.listen))?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let fake = Fake::new(args.account, key_id, secret.clone()).map_err(anyhow::Error::msg)?;
    let ready = serde_json::json!({
        "endpoint": endpoint,
        "account": fake.account,
        "access_key_id": fake.admin_key_id,
        "secret_access_key": secret.expose_secret(),
    });
    let router = server::router(Arc::new(fake));

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        // An error means that the sender is gone, which asks for the same.
        stopped.await.ok();
    });
    let mut server = tokio::spawn(server.into_future());
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {endpoint}").context("writing to stdout")?;
    stdout.flush().context("writing to stdout")?;
    if let Some(path) = &args.ready_file {
        write_ready(path, &ready.to_string())
            .with_context(|| format!("writing the ready file {}", path.display()))?;
    }

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = &mut server => return ended?.context("serving"),
    }
    drop(stop);
    match tokio::time::timeout(GRACE, server).await {
        Ok(ended) => ended?.context("serving"),
        // What still runs then is a client that keeps its connection busy: it is cut off.
        Err(_) => Ok(()),
    }
}

/// Writes beside and renames, so that whoever waits for the file finds it whole.
fn write_ready(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&beside, path)
}
