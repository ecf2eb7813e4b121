//! Starts LocalStack: software that we did not write, for proving our calls of STS and IAM. It
//! enforces no policy and lets no session expire, so it proves what we send, not that access ends.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use url::Url;

use crate::{
    aws::{Account, Aws, Keys},
    network::Port,
    places,
    process::{Launch, Program},
    waiting::within,
};

/// A running LocalStack with a furnished account.
#[derive(Debug)]
pub struct LocalStack {
    process: Program,
    _port: Port,
}

impl LocalStack {
    /// Starts it on a free port and furnishes the account.
    ///
    /// # Errors
    /// When it isn't installed or doesn't come up.
    pub async fn start(dir: &Path) -> Result<(Self, Account)> {
        let port = Port::reserve()?;
        let address = port.address().to_string();
        let data = dir.join("localstack");
        let mut process = Launch::new(places::localstack_python()?)?
            .args(["-m", "localstack.runtime.main"])
            .env("HOME", dir)
            // Inside a container it would use the machine's /var/lib; this keeps it in our folder.
            .env("OVERRIDE_IN_DOCKER", "0")
            .env("FILESYSTEM_ROOT", &data)
            .env("GATEWAY_LISTEN", &address)
            .env("LOCALSTACK_HOST", &address)
            // The default server binds every interface; this one binds what it is told.
            .env("GATEWAY_SERVER", "hypercorn")
            .env("PARITY_AWS_ACCESS_KEY_ID", "1")
            .env("SKIP_SSL_CERT_DOWNLOAD", "1")
            .env("DISABLE_EVENTS", "1")
            .env("DNS_ADDRESS", "0")
            .start("LocalStack", &dir.join("localstack.log"))?;
        let endpoint = Url::parse(&format!("http://{address}")).context("an address")?;
        let health = endpoint.join("/_localstack/health").context("make an address")?;
        within(Duration::from_secs(120), "LocalStack answering", async || {
            process.ensure_running()?;
            let status = reqwest::get(health.clone()).await.context("ask for its health")?.status();
            ensure!(status.is_success(), "its health is {status}");
            Ok(())
        })
        .await?;
        let root = Keys {
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
            session_token: None,
        };
        let account = Account::furnish(Aws::new(endpoint, root)).await?;
        Ok((Self { process, _port: port }, account))
    }
}

impl Drop for LocalStack {
    fn drop(&mut self) {
        // It stops in 3 seconds as a rule and sometimes not at all.
        self.process.stop_blocking(Signal::SIGTERM, Duration::from_secs(6));
    }
}
