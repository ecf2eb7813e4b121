//! The broker as its operator runs it: a folder with settings, flows and data, and a program that is
//! started, stopped, killed and started again on the same port.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

use crate::{
    api::Api,
    network::Port,
    places,
    process::{Launch, Output, Program},
    waiting::eventually,
};

/// Debug builds of broker and agent SIGKILL themselves when they first pass the point named here.
pub const CRASH_AT: &str = "EBBGATE_CRASH_AT";

/// A broker, running or not.
#[derive(Debug)]
pub struct Broker {
    folder: PathBuf,
    port: Port,
    environment: Vec<(String, String)>,
    within: Vec<OsString>,
    process: Option<Program>,
}

impl Broker {
    /// Makes a broker whose settings are in `folder/ebbgate.yaml`, listening on `port`.
    pub fn new(folder: PathBuf, port: Port, environment: Vec<(String, String)>) -> Self {
        Self { folder, port, environment, within: Vec::new(), process: None }
    }

    /// Runs it by a command that replaces itself with it: on another network.
    #[must_use]
    pub fn within(mut self, words: &[OsString]) -> Self {
        self.within = words.to_vec();
        self
    }

    /// Its folder, with settings, flows and data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The file of its embedded store.
    pub fn store(&self) -> PathBuf {
        self.data().join("ebbgate.db")
    }

    /// Its settings file.
    pub fn settings(&self) -> PathBuf {
        self.folder.join("ebbgate.yaml")
    }

    /// What it wrote to its standard streams.
    pub fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Where people and agents reach it.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port.number())
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The certificate of its internal authority.
    pub fn ca_file(&self) -> PathBuf {
        self.data().join("ca.pem")
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Program::id)
    }

    /// A client without a token.
    ///
    /// # Errors
    /// Before the broker has run for the first time.
    pub fn api(&self) -> Result<Api> {
        let ca = fs::read(self.ca_file()).context("read the broker's CA certificate")?;
        Api::new(&self.url(), &ca)
    }

    /// Starts it and waits until it accepts connections.
    ///
    /// # Errors
    /// When it runs already or doesn't come up.
    pub async fn start(&mut self) -> Result<()> {
        self.start_with(&[]).await
    }

    /// Starts it so that it dies at a crash point.
    ///
    /// # Errors
    /// When it runs already or doesn't come up.
    pub async fn start_to_crash_at(&mut self, point: &str) -> Result<()> {
        self.start_with(&[(CRASH_AT, point)]).await
    }

    async fn start_with(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        ensure!(self.process.is_none(), "the broker runs already");
        let ready = self.folder.join("ready");
        if ready.exists() {
            fs::remove_file(&ready).context("remove the last run's ready file")?;
        }
        let mut launch = self.launch(&["run"])?.env("EBBGATE_READY_FILE", &ready);
        for (name, value) in environment {
            launch = launch.env(name, value);
        }
        let process = launch.start("the broker", &self.log())?;
        let process = self.process.insert(process);
        eventually("the broker accepting connections", async || {
            process.ensure_running()?;
            fs::read_to_string(&ready).context("read its ready file")
        })
        .await?;
        Ok(())
    }

    /// Asks it to stop and waits until it has, in good order.
    ///
    /// # Errors
    /// When it doesn't run, doesn't stop, or stops with an error.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the broker isn't running")?;
        process.signal(Signal::SIGTERM)?;
        let status = process.ended().await?;
        ensure!(status.success(), "the broker stopped with {status}");
        Ok(())
    }

    /// Lets it read its settings again.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn reload(&self) -> Result<()> {
        self.process.as_ref().context("the broker isn't running")?.signal(Signal::SIGHUP)
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the broker isn't running")?.kill()
    }

    /// Waits until it has died at its crash point.
    ///
    /// # Errors
    /// When it lives on or ended otherwise.
    pub async fn crashed(&mut self) -> Result<()> {
        self.process.take().context("the broker isn't running")?.killed().await
    }

    /// Runs one of its other subcommands, such as `audit verify`.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn command(&self, arguments: &[&str]) -> Result<Output> {
        self.launch(arguments)?.output("").await
    }

    /// Runs one of its other subcommands so that it dies at a crash point.
    ///
    /// # Errors
    /// When it can't be run, or ends otherwise.
    pub async fn command_to_crash_at(&self, arguments: &[&str], point: &str) -> Result<()> {
        let output = self.launch(arguments)?.env(CRASH_AT, point).output("").await?;
        ensure!(output.code.is_none(), "it did not die: {output:?}");
        Ok(())
    }

    fn launch(&self, arguments: &[&str]) -> Result<Launch> {
        let mut launch = Launch::new(places::program("ebbgate-broker")?)?
            .within(&self.within)
            .args(arguments)
            .arg("--config")
            .arg(self.settings());
        for (name, value) in &self.environment {
            launch = launch.env(name, value);
        }
        Ok(launch)
    }
}
