//! An agent beside its databases: enrolled with a one-time token, then run from its own directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    api::Api,
    broker::CRASH_AT,
    places,
    process::{Launch, Program},
    secrets::HandedOut,
    waiting::eventually,
};

/// An agent, running or not.
#[derive(Debug)]
pub struct Agent {
    name: String,
    folder: PathBuf,
    process: Option<Program>,
}

impl Agent {
    /// Makes an agent whose settings are in `folder/agent.yaml`.
    pub fn new(name: &str, folder: PathBuf) -> Self {
        Self { name: name.to_owned(), folder, process: None }
    }

    /// Its name, as in `at: agent/NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own directory: key, certificate and journal.
    pub fn dir(&self) -> PathBuf {
        self.folder.join("dir")
    }

    /// Its settings file.
    pub fn settings(&self) -> PathBuf {
        self.folder.join("agent.yaml")
    }

    /// The folder of all that.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it wrote to its standard streams.
    pub fn log(&self) -> PathBuf {
        self.folder.join("agent.log")
    }

    /// Its process id while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Program::id)
    }

    /// Enrols it: an administrator makes a token, the agent turns it into a certificate.
    ///
    /// # Errors
    /// When the broker or the agent refuses.
    pub async fn enroll(&self, broker: &str, admin: &Api, handed_out: &HandedOut) -> Result<()> {
        let made = admin.post("agents/tokens", json!({ "agent": self.name })).await?.status(201)?;
        let token = made["token"].as_str().context("an enrolment token")?;
        handed_out.note(format!("{}'s enrolment token", self.name), token);
        self.program()?
            .args(["enroll", "--broker", broker, "--token", token, "--dir"])
            .arg(self.dir())
            .output("")
            .await?
            .success()
            .context("enrol the agent")?;
        Ok(())
    }

    /// Starts it. It needs no broker for that.
    ///
    /// # Errors
    /// When it runs already or can't be started.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// Starts it so that it dies at a crash point.
    ///
    /// # Errors
    /// When it runs already or can't be started.
    pub fn start_to_crash_at(&mut self, point: &str) -> Result<()> {
        self.start_with(&[(CRASH_AT, point)])
    }

    fn start_with(&mut self, environment: &[(&str, &str)]) -> Result<()> {
        ensure!(self.process.is_none(), "the agent runs already");
        let mut launch = self.program()?.args(["run", "--config"]).arg(self.settings());
        for (name, value) in environment {
            launch = launch.env(name, value);
        }
        self.process = Some(launch.start("the agent", &self.log())?);
        Ok(())
    }

    /// Waits until the broker says that it is connected.
    ///
    /// # Errors
    /// When it isn't for long.
    pub async fn connected(&mut self, admin: &Api) -> Result<()> {
        let process = self.process.as_mut().context("the agent isn't running")?;
        eventually("the agent being connected", async || {
            process.ensure_running()?;
            let agents = admin.list("agents").await?;
            let ours = agents.iter().find(|agent| agent["name"] == self.name.as_str());
            ensure!(ours.is_some_and(|agent| agent["connected"] == true), "agents: {agents:?}");
            Ok(())
        })
        .await
    }

    /// Asks it to stop and waits until it has, in good order.
    ///
    /// # Errors
    /// When it doesn't run, doesn't stop, or stops with an error.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the agent isn't running")?;
        process.signal(Signal::SIGTERM)?;
        let status = process.ended().await?;
        ensure!(status.success(), "the agent stopped with {status}");
        Ok(())
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("the agent isn't running")?.kill()
    }

    /// Waits until it has died at its crash point.
    ///
    /// # Errors
    /// When it lives on or ended otherwise.
    pub async fn crashed(&mut self) -> Result<()> {
        self.process.take().context("the agent isn't running")?.killed().await
    }

    /// What its journal says it holds; works whether or not it runs.
    ///
    /// # Errors
    /// When its journal can't be read.
    pub async fn status(&self) -> Result<Value> {
        let said = self
            .program()?
            .args(["status", "--output", "json", "--dir"])
            .arg(self.dir())
            .output("")
            .await?
            .success()?;
        serde_json::from_str(&said).with_context(|| format!("read the agent's status {said}"))
    }

    /// Writes its settings and the passwords that they refer to.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn write_settings(
        &self,
        broker: &str,
        databases: &[(&str, u16, &str, &str)],
    ) -> Result<()> {
        fs::create_dir_all(&self.folder).context("make the agent's folder")?;
        let mut text = format!("broker: {broker}\ndir: {}\nintegrations:\n", self.dir().display());
        for (integration, port, user, password) in databases {
            let file = self.folder.join(format!("{integration}.password"));
            write_private(&file, password)?;
            text += &format!(
                "  - {{name: {integration}, kind: postgres, \
                 url: 'postgres://{user}@127.0.0.1:{port}/postgres', password: 'file:{}'}}\n",
                file.display()
            );
        }
        fs::write(self.settings(), text).context("write agent.yaml")
    }

    fn program(&self) -> Result<Launch> {
        Launch::new(places::program("ebbgate-agent")?)
    }
}

/// Writes a file that only we can read.
///
/// # Errors
/// When it can't be written.
pub fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

    let mut file = fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    file.write_all(content.as_bytes()).with_context(|| format!("write {}", path.display()))
}
