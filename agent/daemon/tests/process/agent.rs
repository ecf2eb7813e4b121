//! The agent's process, its settings and its directory.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
};

use ebbgate_testkit_postgres::PrivateServer;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{broker::Broker, support::eventually};

/// An agent, running or not, and the PostgreSQL server beside it, which is its own: an agent
/// removes every role with its mark that it does not know.
pub(crate) struct Agent {
    home: TempDir,
    pub(crate) server: PrivateServer,
    url: String,
    broker_url: String,
    child: Option<Child>,
    log: Arc<Mutex<String>>,
}

impl Agent {
    /// An agent that is enrolled with `broker` and does not run yet.
    pub(crate) fn enrolled(broker: &Broker) -> Self {
        let server = PrivateServer::start().unwrap();
        let home = tempfile::tempdir().unwrap();
        let password = home.path().join("orders.password");
        fs::write(&password, server.password()).unwrap();
        let url =
            format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", server.port());
        let broker_url = broker.url();
        let agent = Self { home, server, url, broker_url, child: None, log: Arc::default() };
        agent.set("", "sweep: {orphan_age: 0s}");
        let enrolled = agent.enroll(&broker.url(), &broker.token(), &[]);
        assert!(enrolled.status.success(), "{enrolled:?}");
        agent
    }

    /// Writes its settings, with more for the integration and for the whole.
    pub(crate) fn set(&self, integration: &str, whole: &str) {
        let settings = format!(
            "broker: {}\ndir: state\n{whole}\nintegrations:\n  - {{name: orders, kind: postgres, url: '{}', password: file:orders.password{integration}}}\n",
            self.broker_url, self.url
        );
        fs::write(self.config(), settings).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("agent.yaml")
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    pub(crate) fn enroll(&self, broker: &str, token: &str, more: &[&str]) -> Output {
        command()
            .args(["enroll", "--broker", broker, "--token", token, "--dir"])
            .arg(self.dir())
            .args(more)
            .output()
            .unwrap()
    }

    pub(crate) fn start(&mut self) {
        self.spawn(command());
    }

    pub(crate) fn start_to_crash_at(&mut self, point: &str) {
        let mut command = command();
        command.env("EBBGATE_CRASH_AT", point);
        self.spawn(command);
    }

    /// Starts it so that no file of its can grow beyond so many blocks of 512 bytes.
    pub(crate) fn start_with_little_disk(&mut self, blocks: u32) {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_ebbgate-agent"));
        self.spawn(command);
    }

    fn spawn(&mut self, mut command: Command) {
        assert!(self.child.is_none(), "it runs already");
        let mut child = command
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        self.child = Some(child);
    }

    /// All that it has logged, in all its lives.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until its log has a text.
    pub(crate) async fn logs(&self, text: &str) {
        eventually(text, async || if self.log().contains(text) { Ok(()) } else { Err(self.log()) })
            .await;
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until it has killed itself at its crash point.
    pub(crate) async fn crashes(&mut self) {
        let status = self.ends().await;
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}\n{}", self.log());
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Asks it to stop.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ends().await
    }

    async fn ends(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        eventually("the agent's end", async || child.try_wait().unwrap().ok_or("it runs")).await
    }

    /// What `status` prints.
    pub(crate) fn status(&self) -> serde_json::Value {
        let output = command()
            .args(["status", "--output", "json", "--dir"])
            .arg(self.dir())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn drain(&self, more: &[&str]) {
        let output =
            command().args(["drain", "--dir"]).arg(self.dir()).args(more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
        }
    }
}

pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebbgate-agent"));
    command.env("EBBGATE_LOG_FORMAT", "json");
    command
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
