//! A person at a terminal: `ebb` with a home of its own, and the real AWS CLI that calls it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    aws::REGION,
    broker::Broker,
    people::Person,
    places,
    process::{Launch, Output},
};

/// Somebody's `ebb`, logged in.
#[derive(Debug, Clone)]
pub struct Ebb {
    home: PathBuf,
    aws_endpoint: Option<String>,
}

impl Ebb {
    /// Makes a home for `person` under `dir` and logs in.
    ///
    /// # Errors
    /// When `ebb login` fails.
    pub async fn login(
        dir: &Path,
        person: Person,
        token: &str,
        broker: &Broker,
        aws_endpoint: Option<String>,
    ) -> Result<Self> {
        let home = dir.join("people").join(person.name());
        fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
        let ebb = Self { home, aws_endpoint };
        let ca = broker.ca_file();
        let ca = ca.to_str().context("a path in UTF-8")?;
        let login = ["login", "--broker", &broker.url(), "--ca-file", ca, "--token", "-"];
        ebb.run_with_input(&login, token).await?.success().context("log in by ebb")?;
        Ok(ebb)
    }

    /// Where its settings, token and cache are: `EBB_HOME`.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The AWS settings that `ebb aws configure` writes for this person.
    pub fn aws_config(&self) -> PathBuf {
        self.home.join("aws-config")
    }

    /// Runs `ebb`.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.run_with_input(arguments, "").await
    }

    /// Runs `ebb` with something on its standard input.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        self.launch(places::program("ebb")?)?.args(arguments).output(input).await
    }

    /// Runs `ebb … --output json` and reads what it prints.
    ///
    /// # Errors
    /// When it fails or prints no JSON.
    pub async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
        let said = self.run(&arguments).await?.success()?;
        serde_json::from_str(&said).with_context(|| format!("read what {arguments:?} said: {said}"))
    }

    /// How this person starts a program: with their homes and nobody else's settings.
    ///
    /// # Errors
    /// When the search path can't be put together.
    pub fn launch(&self, program: PathBuf) -> Result<Launch> {
        Ok(Launch::new(program)?
            .env("HOME", &self.home)
            .env("EBB_HOME", &self.home)
            .env("AWS_CONFIG_FILE", self.aws_config()))
    }

    /// Runs the real AWS CLI with a profile.
    ///
    /// # Errors
    /// When it is missing.
    pub async fn aws(&self, profile: &str, arguments: &[&str]) -> Result<Output> {
        let mut launch = self
            .launch(places::aws_cli()?)?
            .env("AWS_SHARED_CREDENTIALS_FILE", self.home.join("no-such-file"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_PAGER", "")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_REGION", REGION)
            .args(["--profile", profile])
            .args(arguments);
        if let Some(endpoint) = &self.aws_endpoint {
            launch = launch.env("AWS_ENDPOINT_URL", endpoint);
        }
        // A Python that pyenv manages is found through the real home.
        if let Some(root) = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv"))
            && root.is_dir()
            && std::env::var_os("PYENV_ROOT").is_none()
        {
            launch = launch.env("PYENV_ROOT", root);
        }
        launch.output("").await
    }
}
