//! Starts fake-aws, our double of AWS's wire protocols: it checks signatures, evaluates policies and
//! refuses as AWS does, so that a test sees access end.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use url::Url;

use crate::{
    aws::{Account, Aws, Keys},
    network::Port,
    places,
    process::{Launch, Program},
    secrets::random_hex,
    waiting::eventually,
};

/// A running fake-aws with a furnished account.
#[derive(Debug)]
pub struct FakeAws {
    _process: Program,
    _port: Port,
    endpoint: Url,
}

impl FakeAws {
    /// Starts it on a free port and furnishes the account.
    ///
    /// # Errors
    /// When it doesn't come up.
    pub async fn start(dir: &Path) -> Result<(Self, Account)> {
        let port = Port::reserve()?;
        let root = Keys {
            access_key_id: "AKIAEBBGATETESTSROOT".to_owned(),
            secret_access_key: random_hex()?,
            session_token: None,
        };
        let mut process = Launch::new(places::program("fake-aws")?)?
            .args(["--listen", &port.address().to_string()])
            .env("FAKE_AWS_ROOT_KEY", &root.access_key_id)
            .env("FAKE_AWS_ROOT_SECRET", &root.secret_access_key)
            .start("fake-aws", &dir.join("fake-aws.log"))?;
        let endpoint = Url::parse(&format!("http://{}", port.address())).context("an address")?;
        eventually("fake-aws accepting connections", async || {
            process.ensure_running()?;
            tokio::net::TcpStream::connect(port.address()).await.context("connect")
        })
        .await?;
        let account = Account::furnish(Aws::new(endpoint.clone(), root)).await?;
        Ok((Self { _process: process, _port: port, endpoint }, account))
    }

    /// Changes what goes wrong: the members of `change` are those of `POST /_fake/faults`.
    ///
    /// # Errors
    /// When fake-aws refuses.
    pub async fn faults(&self, change: &Value) -> Result<()> {
        let url = self.endpoint.join("/_fake/faults").context("make an address")?;
        let answer = reqwest::Client::new().post(url).json(change).send().await?;
        ensure!(answer.status().is_success(), "fake-aws refused {change}: {}", answer.status());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::{BUCKET, REPORT, element};

    /// The account is furnished so that the broker's user may do what it must and nothing else.
    #[tokio::test]
    async fn the_connectors_user_gets_at_the_bucket_by_the_ceiling_role_only() {
        let dir = tempfile::tempdir().unwrap();
        let (_fake, account) = FakeAws::start(dir.path()).await.unwrap();
        let connector = account.root.with_keys(account.connector.clone());
        let denied = connector.get_object(BUCKET, REPORT.0).await.unwrap();
        denied.refused("AccessDenied").unwrap();
        let session = [
            ("RoleArn", account.ceiling_role.as_str()),
            ("RoleSessionName", "grt_test"),
            ("SourceIdentity", "ana@example.com"),
            ("DurationSeconds", "900"),
        ];
        let said = connector.sts("AssumeRole", &session).await.unwrap().success().unwrap();
        let text = |name| element(&said, name).unwrap();
        let keys = json!({
            "access_key_id": text("AccessKeyId"),
            "secret_access_key": text("SecretAccessKey"),
            "session_token": text("SessionToken"),
        });
        let session = account.root.with_keys(Keys::from_api(&keys).unwrap());
        let report = session.get_object(BUCKET, REPORT.0).await.unwrap().success().unwrap();
        assert_eq!(report, REPORT.1);
        let role = [("RoleName", account.ceiling_role_name)];
        session.iam("GetRole", &role).await.unwrap().refused("AccessDenied").unwrap();
    }
}
