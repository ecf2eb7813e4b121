//! The server: made, started, stopped, killed, started again.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use ebbgate_testkit_process::{
    Account, Log, Supervisor, free_port, io, make_directory, pause, percent_encoded, random_hex,
};
use tempfile::TempDir;

use crate::{Error, binaries};

/// As whom it runs where we are root, whom PostgreSQL refuses.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];
/// How the names of directories begin.
pub(crate) const PREFIX: &str = "ebbgate-pg-";
/// What ends a server that nobody wants any more, at once; TERM goes before QUIT for one that has
/// not yet replaced that QUIT is ignored.
pub(crate) const LAST_SIGNALS: &str = "TERM QUIT";
/// The superuser's name.
const SUPERUSER: &str = "postgres";
/// How long a server may take until it is ready; a machine with many tests at once is slow.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Somebody else may take the free port before PostgreSQL does.
const PORT_ATTEMPTS: u32 = 5;

/// A PostgreSQL server of one's own, running or stopped. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct PrivateServer {
    // Dropped before `directory`, so that nobody writes into what is removed.
    running: Option<Supervisor>,
    directory: TempDir,
    binaries: PathBuf,
    account: Account,
    port: u16,
    password: String,
}

impl PrivateServer {
    /// Makes a server and starts it.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&[])
    }

    /// Makes a server with more lines for its `postgresql.conf`, such as
    /// `max_prepared_transactions = 10`, and starts it. A line here wins over ours.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start, perhaps because of a line.
    pub fn start_with(settings: &[&str]) -> Result<Self, Error> {
        let mut server = Self::prepare(settings)?;
        server.start_on_a_free_port()?;
        Ok(server)
    }

    /// Makes a server as [`PrivateServer::start_with`] does, and a standby that streams from it and
    /// answers queries. The same users log in to both.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or one of the two does not start.
    pub fn start_with_standby(settings: &[&str]) -> Result<(Self, Self), Error> {
        let mut primary = Self::prepare(settings)?;
        let directory = make_directory(PREFIX, &primary.account)?;
        let mut standby = Self {
            running: None,
            directory,
            binaries: primary.binaries.clone(),
            account: primary.account.clone(),
            port: 0,
            password: primary.password.clone(),
        };
        // Before its first start: nothing changes under the copy's hands.
        let copied = Command::new("cp")
            .args(["--archive", "--no-target-directory"])
            .args([primary.data(), standby.data()])
            .status()
            .map_err(io("copy the primary's data"))?;
        if !copied.success() {
            let failed = std::io::Error::other(copied.to_string());
            return Err(io("copy the primary's data")(failed).into());
        }
        primary.start_on_a_free_port()?;
        standby.append(&format!(
            "unix_socket_directories = '{}'\nprimary_conninfo = 'host=127.0.0.1 port={} \
             user={SUPERUSER} password={}'\n",
            standby.directory.path().display(),
            primary.port,
            primary.password
        ))?;
        let signal = standby.data().join("standby.signal");
        File::create(&signal).map_err(io("write standby.signal"))?;
        standby.account.take(&signal)?;
        standby.start_on_a_free_port()?;
        Ok((primary, standby))
    }

    /// Everything but the start.
    fn prepare(settings: &[&str]) -> Result<Self, Error> {
        let binaries = binaries::directory()?;
        let account = Account::choose(&ACCOUNTS)?;
        let directory = make_directory(PREFIX, &account)?;
        let password = random_hex()?;
        let server = Self { running: None, directory, binaries, account, port: 0, password };
        server.initdb()?;
        server.configure(settings)?;
        Ok(server)
    }

    fn start_on_a_free_port(&mut self) -> Result<(), Error> {
        for attempt in 1.. {
            self.port = free_port()?;
            match self.start_again() {
                Err(Error::NotStarted { tail, .. })
                    if attempt < PORT_ATTEMPTS && tail.contains("Address already in use") => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Ok(())
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// The superuser's URL for the database `postgres`.
    pub fn url(&self) -> String {
        self.psql_url("postgres", SUPERUSER, &self.password)
    }

    /// A URL for `user` and `database`, over TCP; all three may hold any characters.
    pub fn psql_url(&self, database: &str, user: &str, password: &str) -> String {
        let [database, user, password] = [database, user, password].map(percent_encoded);
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The port on 127.0.0.1; it stays the same for as long as the server's value lives.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the superuser, whose name is `postgres`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The directory of the Unix socket.
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of PostgreSQL's programs.
    pub fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// Where the server logs.
    pub fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Stops it in an orderly way: sessions are ended, nothing is lost.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub fn stop(&mut self) -> Result<(), Error> {
        Ok(self.running.take().ok_or(Error::NotRunning)?.end("INT")?)
    }

    /// Kills it as a crash would; it recovers when it is started again.
    ///
    /// # Errors
    /// [`Error::NotRunning`].
    pub fn kill9(&mut self) -> Result<(), Error> {
        Ok(self.running.take().ok_or(Error::NotRunning)?.end("KILL")?)
    }

    /// Starts it again with what it held, on the same port.
    ///
    /// # Errors
    /// [`Error::Running`], or it does not start.
    pub fn start_again(&mut self) -> Result<(), Error> {
        if self.running.is_some() {
            return Err(Error::Running);
        }
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let error = match self.try_start(deadline) {
                Err(error @ Error::NotStarted { .. }) => error,
                other => return other,
            };
            // The children of a server that was killed take a moment to notice; until then it does
            // not start.
            let Error::NotStarted { tail, .. } = &error else {
                return Err(error);
            };
            if !tail.contains("is still in use") || Instant::now() > deadline {
                return Err(error);
            }
            pause();
        }
    }

    fn try_start(&mut self, deadline: Instant) -> Result<(), Error> {
        let (log, file) = Log::open(self.log_path())?;
        let command = self.account.words(vec![
            self.binaries.join("postgres").display().to_string(),
            "-D".to_owned(),
            self.data().display().to_string(),
            "-p".to_owned(),
            self.port.to_string(),
        ]);
        let server = Supervisor::start(&command, self.directory.path(), LAST_SIGNALS, file)?;
        while !self.is_ready(&server) {
            if !server.is_running() || Instant::now() > deadline {
                server.end("KILL")?;
                return Err(Error::NotStarted { log: self.log_path(), tail: log.tail() });
            }
            pause();
        }
        self.running = Some(server);
        Ok(())
    }

    /// PostgreSQL writes into `postmaster.pid` who it is (line 1) and how it stands (line 8). A
    /// file of an earlier server that was killed names another process.
    fn is_ready(&self, server: &Supervisor) -> bool {
        let Ok(text) = fs::read_to_string(self.data().join("postmaster.pid")) else {
            return false;
        };
        let mut lines = text.lines();
        lines.next() == Some(server.pid().to_string().as_str())
            && lines.nth(6).is_some_and(|status| status.trim() == "ready")
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn initdb(&self) -> Result<(), Error> {
        let password_file = self.directory.path().join("password");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&password_file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, self.password.as_bytes()))
            .map_err(io("write the superuser's password for initdb"))?;
        self.account.take(&password_file)?;
        let output = self
            .account
            .command(vec![self.binaries.join("initdb").display().to_string()])
            .args(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .arg(format!("--username={SUPERUSER}"))
            .arg(format!("--pwfile={}", password_file.display()))
            .arg(format!("--pgdata={}", self.data().display()))
            .env("LC_ALL", "C")
            // It starts in a directory that it may enter, wherever the tests were started.
            .current_dir(self.directory.path())
            .output()
            .map_err(io("run initdb"))?;
        fs::remove_file(&password_file).map_err(io("remove the password file for initdb"))?;
        if output.status.success() {
            return Ok(());
        }
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        Err(Error::Initdb { output: said })
    }

    fn configure(&self, settings: &[&str]) -> Result<(), Error> {
        let mut text = format!(
            "\n# By the testkit. What is written survives the server's death without fsync; only \
             the machine's death would need it.\n\
             listen_addresses = '127.0.0.1'\n\
             unix_socket_directories = '{}'\n\
             fsync = off\n\
             shared_buffers = 32MB\n\
             log_line_prefix = '%m [%p] %u@%d '\n",
            self.directory.path().display(),
        );
        for line in settings {
            text.push_str(line);
            text.push('\n');
        }
        self.append(&text)
    }

    fn append(&self, text: &str) -> Result<(), Error> {
        OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(io("write postgresql.conf"))?;
        Ok(())
    }
}
