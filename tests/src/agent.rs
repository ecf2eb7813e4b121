//! An agent beside its databases: enrolled with a one-time token, then run from its own directory.

use std::{
    ffi::OsString,
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
    process::{Launch, Output, Program},
    secrets::HandedOut,
    waiting::eventually,
};

/// An agent, running or not.
#[derive(Debug)]
pub struct Agent {
    name: String,
    folder: PathBuf,
    movable_clock: bool,
    within: Vec<OsString>,
    process: Option<Program>,
}

/// One entry of an agent's `integrations`.
#[derive(Debug, Clone)]
pub struct Served {
    /// The integration's name.
    pub name: String,
    /// `postgres` or `mysql`.
    pub kind: &'static str,
    /// The server's port on 127.0.0.1.
    pub port: u16,
    /// The connector's account.
    pub user: &'static str,
    /// Its password.
    pub password: String,
    /// What else is said of it, in YAML's flow style: `, partition: …`, or nothing.
    pub more: String,
}

impl Agent {
    /// Makes an agent whose settings are in `folder/agent.yaml`.
    pub fn new(name: &str, folder: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            folder,
            movable_clock: false,
            within: Vec::new(),
            process: None,
        }
    }

    /// Lets its clock be moved: it runs with libfaketime.
    #[must_use]
    pub fn with_movable_clock(mut self) -> Self {
        self.movable_clock = true;
        self
    }

    /// Runs it by a command that replaces itself with it: on another network.
    #[must_use]
    pub fn within(mut self, words: &[OsString]) -> Self {
        self.within = words.to_vec();
        self
    }

    /// Puts its wall clock `seconds` ahead of the machine's, or behind; running or not. Its boot
    /// clock goes on as it was, as when an administrator or NTP sets the time.
    ///
    /// # Errors
    /// When the file that says so can't be written.
    pub fn set_clock_ahead(&self, seconds: i64) -> Result<()> {
        let path = self.folder.join("clock");
        let new = path.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).context("write the agent's clock")?;
        fs::rename(&new, &path).context("put the agent's clock in place")
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
        self.enroll_with(broker, token).await?.success().context("enrol the agent")?;
        Ok(())
    }

    /// Enrols it with that token, and gives what the program said.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn enroll_with(&self, broker: &str, token: &str) -> Result<Output> {
        let launch = self.program()?;
        let launch = launch.args(["enroll", "--broker", broker, "--token", token, "--dir"]);
        launch.arg(self.dir()).output("").await
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
        if self.movable_clock {
            launch = launch
                .env("LD_PRELOAD", places::faketime()?)
                .env("FAKETIME_TIMESTAMP_FILE", self.folder.join("clock"))
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DONT_FAKE_MONOTONIC", "1");
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
            // One that bore the name before is listed, too.
            let ours =
                |agent: &&Value| agent["name"] == self.name.as_str() && agent["connected"] == true;
            ensure!(agents.iter().any(|agent| ours(&agent)), "agents: {agents:?}");
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

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the agent isn't running")?.signal(signal)
    }

    /// Has it take no new grants.
    ///
    /// # Errors
    /// When the program fails.
    pub async fn drain(&self) -> Result<()> {
        let said = self.program()?.args(["drain", "--dir"]).arg(self.dir()).output("").await?;
        said.success().map(drop)
    }

    /// What `ebbgate-agent check` says of its integrations.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn check(&self) -> Result<Output> {
        self.program()?.args(["check", "--config"]).arg(self.settings()).output("").await
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

    /// Writes its settings and the passwords that they refer to; `more` is added as it is.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn write_settings(&self, broker: &str, served: &[Served], more: &str) -> Result<()> {
        fs::create_dir_all(&self.folder).context("make the agent's folder")?;
        if self.movable_clock {
            self.set_clock_ahead(0)?;
        }
        let mut text =
            format!("broker: {broker}\ndir: {}\n{more}\nintegrations:\n", self.dir().display());
        for Served { name, kind, port, user, password, more } in served {
            let file = self.folder.join(format!("{name}.password"));
            write_private(&file, password)?;
            let database = if *kind == "postgres" { "postgres" } else { "" };
            text += &format!(
                "  - {{name: {name}, kind: {kind}, \
                 url: '{kind}://{user}@127.0.0.1:{port}/{database}', \
                 password: 'file:{}'{more}}}\n",
                file.display()
            );
        }
        fs::write(self.settings(), text).context("write agent.yaml")
    }

    fn program(&self) -> Result<Launch> {
        Ok(Launch::new(places::program("ebbgate-agent")?)?.within(&self.within))
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
