//! The server: made, started, stopped, killed, started again.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use ebbgate_testkit_process::{
    Account, Log, Supervisor, free_port, io, last_lines, make_directory, pause, percent_encoded,
    random_hex,
};
use tempfile::TempDir;

use crate::{Error, binaries::Installation};

/// As whom it runs where we are root.
const ACCOUNTS: [&str; 2] = ["mysql", "nobody"];
/// What ends a server that nobody wants any more: its data go too.
const LAST_SIGNALS: &str = "KILL";
/// Who may do anything.
const ADMIN: &str = "root";
/// How long a server may take until it is ready; a machine with many tests at once is slow.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Somebody else may take the free port before MariaDB does.
const PORT_ATTEMPTS: u32 = 5;
/// Cheap, and what was written survives the server's death: only the machine's would need a sync.
const SETTINGS: [&str; 9] = [
    "bind-address=127.0.0.1",
    "skip-name-resolve",
    "debug-no-sync",
    "innodb-flush-log-at-trx-commit=2",
    "innodb-doublewrite=0",
    "innodb-buffer-pool-size=32M",
    "innodb-log-file-size=8M",
    "key-buffer-size=1M",
    "character-set-server=utf8mb4",
];

/// A MariaDB server of one's own, running or stopped. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct PrivateServer {
    // Dropped before `directory`, so that nobody writes into what is removed.
    running: Option<Supervisor>,
    directory: TempDir,
    installation: Installation,
    account: Account,
    settings: Vec<String>,
    port: u16,
    password: String,
}

impl PrivateServer {
    /// Makes a server and starts it.
    ///
    /// # Errors
    /// MariaDB is not installed, or does not start.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(&[])
    }

    /// Makes a server with more options, such as `max-connections=300`, and starts it. An option
    /// here wins over ours.
    ///
    /// # Errors
    /// MariaDB is not installed, or does not start, perhaps because of an option.
    pub fn start_with(settings: &[&str]) -> Result<Self, Error> {
        let installation = Installation::find()?;
        let account = Account::choose(&ACCOUNTS)?;
        let directory = make_directory("ebbgate-maria-", &account)?;
        let settings = SETTINGS.iter().chain(settings).map(|one| (*one).to_owned()).collect();
        let password = random_hex()?;
        let mut server =
            Self { running: None, directory, installation, account, settings, port: 0, password };
        server.bootstrap()?;
        for attempt in 1.. {
            server.port = free_port()?;
            match server.start_again() {
                Err(Error::NotStarted { tail, .. })
                    if attempt < PORT_ATTEMPTS && tail.contains("Address already in use") => {}
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Ok(server)
    }

    /// The URL of `root`, who may do anything.
    pub fn url(&self) -> String {
        self.user_url("", ADMIN, &self.password)
    }

    /// A URL for `user` and `database`, over TCP; all three may hold any characters.
    pub fn user_url(&self, database: &str, user: &str, password: &str) -> String {
        let [database, user, password] = [database, user, password].map(percent_encoded);
        format!("mysql://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1; it stays the same for as long as the server's value lives.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of `root`.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The directory that holds all that is the server's; it is gone with this value.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The program `mariadb`.
    pub fn client(&self) -> &Path {
        &self.installation.client
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
        Ok(self.running.take().ok_or(Error::NotRunning)?.end("TERM")?)
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
        let (log, file) = Log::open(self.log_path())?;
        let mut command = self.server_command();
        let own = self.directory.path().display();
        command.extend([
            format!("--port={}", self.port),
            format!("--socket={own}/socket"),
            format!("--pid-file={own}/pid"),
        ]);
        command.extend(self.settings.iter().map(|setting| format!("--{setting}")));
        let command = self.account.words(command);
        let server = Supervisor::start(&command, self.directory.path(), LAST_SIGNALS, file)?;
        let deadline = Instant::now() + START_PATIENCE;
        while !log.said().contains("ready for connections") {
            if !server.is_running() || Instant::now() > deadline {
                server.end("KILL")?;
                return Err(Error::NotStarted { log: self.log_path(), tail: log.tail() });
            }
            pause();
        }
        self.running = Some(server);
        Ok(())
    }

    fn server_command(&self) -> Vec<String> {
        let mut command = vec![
            self.installation.server.display().to_string(),
            "--no-defaults".to_owned(),
            format!("--datadir={}/data", self.directory.path().display()),
            // Its own: the names of temporary tables clash between servers.
            format!("--tmpdir={}", self.directory.path().display()),
        ];
        if let Some(plugins) = &self.installation.plugins {
            command.push(format!("--plugin-dir={}", plugins.display()));
        }
        command
    }

    /// Makes the system tables as `mariadb-install-db` does, without the help texts, which take
    /// most of its time.
    fn bootstrap(&self) -> Result<(), Error> {
        let data = self.directory.path().join("data");
        fs::create_dir(&data).map_err(io("make MariaDB's data directory"))?;
        self.account.take(&data)?;
        let mut script = "CREATE DATABASE mysql;\nUSE mysql;\n".to_owned();
        for path in &self.installation.system_tables {
            script += &fs::read_to_string(path).map_err(io("read MariaDB's system tables"))?;
            script.push('\n');
        }
        let _ = writeln!(
            script,
            "DELETE FROM global_priv WHERE User IN ('', '{ADMIN}');\n\
             INSERT INTO global_priv VALUES ('%', '{ADMIN}', JSON_OBJECT('access', \
             18446744073709551615, 'plugin', 'mysql_native_password', 'authentication_string', \
             PASSWORD('{}')));",
            self.password
        );
        let mut command = self.server_command();
        command.push("--bootstrap".to_owned());
        command.extend(
            self.settings
                .iter()
                .filter(|s| SETTINGS.contains(&s.as_str()))
                .map(|s| format!("--{s}")),
        );
        let input = self.directory.path().join("bootstrap.sql");
        fs::write(&input, script).map_err(io("write the script of the system tables"))?;
        let script = File::open(&input).map_err(io("read the script of the system tables"))?;
        let output = self
            .account
            .command(command)
            .stdin(Stdio::from(script))
            .output()
            .map_err(io("run mariadbd --bootstrap"))?;
        fs::remove_file(&input).map_err(io("remove the script of the system tables"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Bootstrap { output: last_lines(&String::from_utf8_lossy(&output.stderr)) })
    }
}
