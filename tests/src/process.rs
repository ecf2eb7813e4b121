//! Child processes that leave a log and never outlive the test, whatever kills it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    places,
    waiting::{Hopeless, eventually},
};

/// What children get of our environment; the rest (AWS keys, PG* settings of a developer) would
/// make a test depend on the machine.
const PASSED_ON: [&str; 5] =
    ["TMPDIR", "LANG", "RUST_BACKTRACE", "LLVM_PROFILE_FILE", "PYENV_ROOT"];

/// How to start a program.
#[derive(Debug, Clone)]
pub struct Launch {
    within: Vec<OsString>,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// Starts `program` with a clean environment.
    ///
    /// # Errors
    /// When the search path for it can't be put together.
    pub fn new(program: impl Into<PathBuf>) -> Result<Self> {
        let mut environment = vec![(OsString::from("PATH"), places::search_path_for_children()?)];
        environment.extend(
            PASSED_ON.iter().filter_map(|name| Some((OsString::from(name), env::var_os(name)?))),
        );
        Ok(Self { within: Vec::new(), program: program.into(), arguments: Vec::new(), environment })
    }

    /// Starts it by a command that replaces itself with it, such as `nsenter … --`.
    #[must_use]
    pub fn within(mut self, words: &[OsString]) -> Self {
        self.within = words.to_vec();
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The command, under `setpriv` of util-linux: it asks the kernel to signal the child when the
    /// thread that started it dies, which std can't do without unsafe code.
    pub fn command(&self) -> Command {
        // The innermost: a command that changes its rights is no more signalled.
        let setpriv = ["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from);
        let mut words = self.within.iter().chain(&setpriv);
        let mut command = Command::new(words.next().unwrap_or(&self.program.clone().into()));
        command.args(words).arg(&self.program).args(&self.arguments);
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it with its output appended to `log`.
    ///
    /// # Errors
    /// When the log can't be opened or the program can't be started.
    pub fn start(&self, name: &str, log: &Path) -> Result<Program> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open the log {}", log.display()))?;
        let errors = file.try_clone().context("share the log between stdout and stderr")?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().with_context(|| format!("start {}", self.program.display()))?;
        Ok(Program { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Runs it to its end and gives what it said.
    ///
    /// # Errors
    /// When it can't be started or doesn't end in two minutes.
    pub async fn output(&self, input: &str) -> Result<Output> {
        use tokio::io::AsyncWriteExt as _;

        let mut command = tokio::process::Command::from(self.command());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without reading its input closes the pipe: its exit code tells.
            let _ignored = stdin.write_all(input.as_bytes()).await;
        }
        let ended = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output());
        let output = ended
            .await
            .with_context(|| {
                format!("{} {:?} takes over two minutes", self.program.display(), self.arguments)
            })?
            .with_context(|| format!("wait for {}", self.program.display()))?;
        Ok(Output {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// What a program that ran to its end left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl Output {
    /// Its standard output, if it succeeded.
    ///
    /// # Errors
    /// When the exit code was not 0.
    pub fn success(self) -> Result<String> {
        Ok(self.exit(0)?.stdout)
    }

    /// Itself, if it ended with `code`.
    ///
    /// # Errors
    /// When it ended otherwise.
    pub fn exit(self, code: i32) -> Result<Self> {
        ensure!(
            self.code == Some(code),
            "exit code {:?} instead of {code}\nstdout: {}\nstderr: {}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }
}

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when it has ended, with the last lines of its log.
    ///
    /// # Errors
    /// When it has ended.
    pub fn ensure_running(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("look after {}", self.name))? {
            None => Ok(()),
            Some(status) => {
                let end = tail(&self.log, 25);
                Err(Hopeless(format!("{} ended with {status}:\n{end}", self.name)).into())
            }
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id()).context("read a process id")?;
        kill(Pid::from_raw(id), signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        eventually(&what, async || child.try_wait()?.context("it still runs")).await
    }

    /// Waits until it dies of SIGKILL, as it does by itself at a crash point.
    ///
    /// # Errors
    /// When it goes on or ends otherwise.
    pub async fn killed(&mut self) -> Result<()> {
        let status = self.ended().await?;
        ensure!(
            status.signal() == Some(Signal::SIGKILL as i32),
            "{} ended with {status} instead of SIGKILL:\n{}",
            self.name,
            tail(&self.log, 25)
        );
        Ok(())
    }

    /// Kills it now, as a power cut would.
    ///
    /// # Errors
    /// When that fails.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("kill {}", self.name))?;
        self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        Ok(())
    }
}

impl Program {
    /// Stops it without async, for destructors: a signal, then SIGKILL after `limit`.
    pub fn stop_blocking(&mut self, signal: Signal, limit: Duration) {
        let begin = Instant::now();
        if self.signal(signal).is_ok() {
            while begin.elapsed() < limit && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Nothing is left to do about a failure here, and the kernel's death signal follows.
            let _ignored = self.child.kill();
            let _ignored = self.child.wait();
        }
    }
}

/// The last lines of a file, for a report.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
